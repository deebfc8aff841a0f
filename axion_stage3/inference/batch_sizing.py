"""How many tiles of a size go through the network at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from axion_stage3.inference.batch_queue import Shape

_TRIALS: Final = 2
"""Batches that are timed at each size: the first at a size pays for its preparation."""

_WORTHWHILE_GAIN: Final = 0.97
"""A larger batch must need at most this share of the time a tile."""


@dataclass(slots=True)
class _Probe:
    """What was measured at one shape.

    Attributes:
        size: Size that is tried, or the size that was chosen.
        is_settled: Whether the choice is made.
        best_seconds: Seconds a tile at half of ``size``.
        seconds: Seconds a tile in each trial at ``size``.
    """

    size: int = 1
    is_settled: bool = False
    best_seconds: float = float("inf")
    seconds: list[float] = field(default_factory=list)


class BatchSizes:
    """Batch size of each shape: given, or measured on the run's own first batches.

    ``auto`` doubles the batch of a shape as long as a tile gets clearly quicker, and then stays.
    A batch that ran out of memory halves the ceiling of its shape for the rest of the run. Neither
    changes a result: a tile does not depend on its batch. Safe to use from several threads.

    Args:
        batch_size: Number of tiles, or ``auto``.
        max_batch_px: Most pixels in a batch of several tiles.
    """

    def __init__(self, batch_size: int | Literal["auto"], max_batch_px: int) -> None:
        self._given = None if batch_size == "auto" else batch_size
        self._max_batch_px = max_batch_px
        self._ceilings: dict[Shape, int] = {}
        self._probes: defaultdict[Shape, _Probe] = defaultdict(_Probe)
        self._lock = Lock()

    def size(self, shape: Shape) -> int:
        """Return the number of tiles that a batch of this shape is to have, at least 1."""
        wanted = self._given or self._probes[shape].size
        return min(wanted, self._ceiling(shape))

    def record(self, shape: Shape, n_tiles: int, seconds: float) -> None:
        """Take note of how long a batch took; decides about the next size with ``auto``."""
        with self._lock:
            probe = self._probes[shape]
            if self._given or probe.is_settled or n_tiles != probe.size:
                return
            probe.seconds.append(seconds / n_tiles)
            if len(probe.seconds) < _TRIALS:
                return
            quickest = min(probe.seconds)
            if quickest > probe.best_seconds * _WORTHWHILE_GAIN:
                probe.size //= 2
                probe.is_settled = True
            elif probe.size * 2 > self._ceiling(shape):
                probe.is_settled = True
            else:
                probe.best_seconds, probe.seconds = quickest, []
                probe.size *= 2

    def lower(self, shape: Shape, n_tiles: int) -> None:
        """Take note that a batch of ``n_tiles`` ran out of memory."""
        with self._lock:
            self._ceilings[shape] = max(1, min(self._ceiling(shape), n_tiles // 2))

    def _ceiling(self, shape: Shape) -> int:
        by_pixels = max(1, self._max_batch_px // (shape[0] * shape[1]))
        return min(by_pixels, self._ceilings.get(shape, by_pixels))
