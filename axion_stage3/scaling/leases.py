"""Which tiles are with which worker, which come back when one is lost, and which are given up."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from axion_stage3.tiles.pairing import TilePair

LEASE_SECONDS: Final = 4.0
"""How long a worker is to be busy with a lease: as much is lost when it dies, and as often does a
worker wait for the next one, which takes milliseconds."""

MAX_CRASHES: Final = 2
"""How often a tile may be with a worker that dies."""

MAX_LOST_NODES: Final = 5
"""How often a tile may be on a machine that is lost; machines are lost for other reasons."""

FIRST_SIZE: Final = 4
FIRST_SIZE_ON_A_GPU: Final = 256
"""A GPU takes its time with the first batches of a size: a few tiles would tell nothing."""

_LARGEST_SIZE: Final = 4096
_SHARE_OF_REST: Final = 2
_LEAST_SECONDS: Final = 0.5
"""Shorter leases would not bring the workers' ends closer: each costs a few tenths of a second."""


@dataclass(frozen=True, slots=True)
class TileLease:
    """Tiles that one worker is to process.

    Attributes:
        pairs: The pairs.
        replaced: Names of those of which an output is there or on record, to be replaced.
    """

    pairs: tuple[TilePair, ...]
    replaced: frozenset[str]


class LeaseBook:
    """Hands out leases, and takes back those that were lost.

    A lease is as long as a worker needs ``LEASE_SECONDS`` for, as far as that is known, and shorter
    towards the end, down to half a second, so that all workers end together. Tiles of a lease whose
    worker died are tried once more, each in a lease of its own: one that kills its worker takes no
    other with it.

    Args:
        pairs: The pairs to do.
        replaced: Names of those of which an output is there or on record.
        n_workers: How many workers there are.
        first_size: Tiles of a lease as long as nothing is known of their cost.
    """

    def __init__(
        self,
        pairs: Sequence[TilePair],
        replaced: Collection[str],
        n_workers: int,
        first_size: int = FIRST_SIZE,
    ) -> None:
        self._rest = iter(pairs)
        self._n_rest = len(pairs)
        self._again: deque[TilePair] = deque()
        self._replaced = replaced
        self._n_workers = n_workers
        self._first_size = first_size
        self._n_out = 0
        self._n_crashes: Counter[str] = Counter()
        self._n_lost_nodes: Counter[str] = Counter()
        self._seconds_per_tile: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether no tile is left, neither here nor with a worker."""
        return not (self._n_rest or self._again or self._n_out)

    def take(self) -> TileLease | None:
        """Hand out a lease; None if there is nothing to hand out now."""
        if self._again:
            pairs: tuple[TilePair, ...] = (self._again.popleft(),)
        else:
            pairs = tuple(islice(self._rest, self._size()))
            self._n_rest -= len(pairs)
        if not pairs:
            return None
        self._n_out += len(pairs)
        return TileLease(
            pairs, frozenset(pair.name for pair in pairs if pair.name in self._replaced)
        )

    def settle(self, lease: TileLease, seconds: float) -> None:
        """Take note that a worker has done a lease, and how long it took."""
        self._n_out -= len(lease.pairs)
        self._seconds_per_tile = seconds / len(lease.pairs)

    def lose(
        self, lease: TileLease, done: Collection[str], *, is_node_lost: bool
    ) -> tuple[TilePair, ...]:
        """Take back a lease whose worker is gone.

        Args:
            lease: The lease.
            done: Names of its tiles that are done, as the worker's journal says.
            is_node_lost: Whether the machine is gone too, which is hardly a tile's fault.

        Returns:
            Pairs that are given up: they were with too many workers that died.
        """
        self._n_out -= len(lease.pairs)
        given_up = []
        for pair in lease.pairs:
            if pair.name in done:
                continue
            losses, limit = (
                (self._n_lost_nodes, MAX_LOST_NODES)
                if is_node_lost
                else (self._n_crashes, MAX_CRASHES)
            )
            losses[pair.name] += 1
            if losses[pair.name] >= limit:
                given_up.append(pair)
            else:
                self._again.append(pair)
        return tuple(given_up)

    def _size(self) -> int:
        fair = -(-self._n_rest // (_SHARE_OF_REST * self._n_workers))
        if self._seconds_per_tile is None:
            return max(1, min(self._first_size, fair))
        seconds_per_tile = max(self._seconds_per_tile, LEASE_SECONDS / _LARGEST_SIZE)
        wanted, least = (int(s / seconds_per_tile) for s in (LEASE_SECONDS, _LEAST_SECONDS))
        return max(1, least, min(wanted, fair))
