"""The bounded queue between two stages of the pipeline, which hands out batches of one shape."""

from __future__ import annotations

import time
from collections import deque
from threading import Condition
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Shape = tuple[int, int]
"""Height and width of a tile, in pixels."""


class HasShape(Protocol):
    """Anything with the height and width of a tile."""

    @property
    def shape(self) -> Shape:
        """Height and width, in pixels."""
        ...


T = TypeVar("T", bound=HasShape)


class QueueClosed(Exception):  # noqa: N818 - no error: how a stage learns that it is done
    """Nothing more can be put in, or nothing is left to take."""


class BatchQueue(Generic[T]):
    """First in, first out within each shape, for several threads at both ends.

    Tiles of different sizes wait apart from each other until one size has a full batch. When
    there is no room for the next tile, the size that has waited longest goes out as it is: so any
    mixture of sizes fits into the same memory.

    Args:
        capacity_px: Most pixels that wait inside. A single tile always fits.
        batch_size: Wanted number of tiles in a batch of a shape. A full batch must fit.
        n_shares: Once it is closed, no batch is larger than this part of what is left, so that as
            many threads that take batches come to their end at the same time.
    """

    def __init__(
        self,
        capacity_px: int,
        batch_size: Callable[[Shape], int] = lambda _: 1,
        n_shares: int = 1,
    ) -> None:
        self._capacity_px = capacity_px
        self._batch_size = batch_size
        self._n_shares = n_shares
        # In the order in which their oldest tiles came.
        self._buckets: dict[Shape, deque[T]] = {}
        self._waiting_px = 0
        self._n_blocked = 0
        self._is_open = True
        self._changed = Condition()

    def put(self, tile: T) -> float:
        """Add a tile, waiting for room.

        Returns:
            How long it waited, in seconds.

        Raises:
            QueueClosed: The queue was closed, before or while waiting; the tile is dropped.
        """
        n_px = tile.shape[0] * tile.shape[1]
        with self._changed:
            self._n_blocked += 1
            self._changed.notify_all()
            waited = self._wait_until(lambda: not self._is_open or self._has_room(n_px))
            self._n_blocked -= 1
            if not self._is_open:
                raise QueueClosed
            self._buckets.setdefault(tile.shape, deque()).append(tile)
            self._waiting_px += n_px
            self._changed.notify_all()
        return waited

    def take(self) -> tuple[list[T], float]:
        """Remove a batch of one shape, waiting for one.

        Returns:
            The batch, and how long it waited, in seconds.

        Raises:
            QueueClosed: The queue is closed and empty.
        """
        with self._changed:
            waited = self._wait_until(lambda: not self._is_open or self._ready() is not None)
            shape = self._ready()
            if shape is None:
                raise QueueClosed
            n_most = min(self._batch_size(shape), self._share())
            bucket = self._buckets.pop(shape)
            batch = [bucket.popleft() for _ in range(min(len(bucket), n_most))]
            if bucket:
                self._buckets[shape] = bucket
            self._waiting_px -= len(batch) * shape[0] * shape[1]
            self._changed.notify_all()
        return batch, waited

    def close(self) -> None:
        """Let nothing more in; what is inside can still be taken."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def abort(self) -> None:
        """Close, and drop what is inside."""
        with self._changed:
            self._is_open = False
            self._buckets.clear()
            self._waiting_px = 0
            self._changed.notify_all()

    def _has_room(self, n_px: int) -> bool:
        return not self._waiting_px or self._waiting_px + n_px <= self._capacity_px

    def _share(self) -> int:
        """How many of the tiles inside one batch may take."""
        n_tiles = sum(map(len, self._buckets.values()))
        return n_tiles if self._is_open else -(-n_tiles // self._n_shares)

    def _ready(self) -> Shape | None:
        """The shape whose batch goes out next, None if there is none yet."""
        for shape, bucket in self._buckets.items():
            if len(bucket) >= self._batch_size(shape):
                return shape
        is_urgent = self._n_blocked > 0 or not self._is_open
        return next(iter(self._buckets), None) if is_urgent else None

    def _wait_until(self, condition: Callable[[], bool]) -> float:
        if condition():
            return 0.0
        began = time.perf_counter()
        self._changed.wait_for(condition)
        return time.perf_counter() - began
