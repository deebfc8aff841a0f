"""Read, ground, write: three stages of threads with bounded queues between them.

Reading and writing happen while other tiles are computed. What is in memory at a time is bounded by
the queues, not by the number of tiles. The stages take a tile's own failures for that tile's; an
exception that leaves a stage concerns the run, stops all threads and is raised again by ``run``.

Each tile's ``stage_seconds`` say where the time went: ``read``, ``compute`` and ``write`` count
what the threads of a stage did, ``wait_for_read`` and ``wait_for_write`` how long the network had
to wait for tiles, or for room behind it. Together they name the bottleneck of a run.

The caller's thread computes nothing: it starts, watches and ends the others, so that it is free for
signals at any moment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

import torch

from axion_stage3.inference.batch_grounding import BatchDropped
from axion_stage3.inference.batch_queue import BatchQueue, QueueClosed
from axion_stage3.runs.outcome import TileOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from axion_stage3.inference.batch_queue import Shape
    from axion_stage3.inference.tile_stages import GroundedTile, ReadTile
    from axion_stage3.tiles.pairing import TilePair

_WATCH_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Stages:
    """What the threads do; each function is called by several threads at the same time.

    Attributes:
        read: Reads a pair.
        ground: Grounds a batch of one shape.
        write: Checks and writes a tile.
        report: Takes note of what became of a tile.
        batch_size: Wanted number of tiles in a batch of a shape.
    """

    read: Callable[[TilePair], ReadTile | TileOutcome]
    ground: Callable[[list[ReadTile]], Iterable[GroundedTile | TileOutcome]]
    write: Callable[[GroundedTile], TileOutcome]
    report: Callable[[TileOutcome], None]
    batch_size: Callable[[Shape], int]


@dataclass(frozen=True, slots=True)
class PipelineSize:
    """How many threads and how much memory a pipeline has.

    Attributes:
        n_readers: Threads that read.
        n_workers: Threads that compute.
        n_compute_threads: Threads of torch within each of them.
        n_writers: Threads that write.
        queue_px: Most pixels that wait before the network, and again behind it.
        n_shares: Workers that are to end at the same time, see :class:`BatchQueue`.
    """

    n_readers: int
    n_workers: int
    n_compute_threads: int
    n_writers: int
    queue_px: int
    n_shares: int = 1


class Pipeline:
    """One run of tiles through the stages.

    Args:
        stages: What the threads do.
        size: How many they are.
        stop: Once it is set, no more tiles are read, ``ground`` is to raise BatchDropped, and
            tiles that are grounded are still written. The pipeline sets it when a stage raises.
    """

    def __init__(self, stages: Stages, size: PipelineSize, stop: Event) -> None:
        self._stages = stages
        self._size = size
        self._stop = stop
        self._read: BatchQueue[ReadTile] = BatchQueue(
            size.queue_px, stages.batch_size, size.n_shares
        )
        self._grounded: BatchQueue[GroundedTile] = BatchQueue(size.queue_px)
        self._threads: list[Thread] = []
        self._fault: BaseException | None = None

    def run(self, pairs: Iterable[TilePair]) -> None:
        """Take all pairs through the stages.

        Raises:
            BaseException: What a stage raised first.
        """
        source = _SharedIterator(pairs)
        n_torch_threads = torch.get_num_threads()
        try:
            readers = self._start("read", self._size.n_readers, lambda: self._read_all(source))
            workers = self._start("ground", self._size.n_workers, self._ground_all)
            writers = self._start("write", self._size.n_writers, self._write_all)
            _wait(readers, self._stop.is_set)
            self._read.close()
            _wait(workers)
            self._grounded.close()
            _wait(writers)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            # A reader may hang on a dead network disk: it holds nothing, and is left to itself.
            deadline = time.monotonic() + _PATIENCE_SECONDS
            _wait(self._threads, lambda: time.monotonic() > deadline)
            # New threads get the number that any thread was told last.
            torch.set_num_threads(n_torch_threads)
        if self._fault is not None:
            raise self._fault

    def _start(self, stage: str, n_threads: int, work: Callable[[], None]) -> list[Thread]:
        def guarded() -> None:
            try:
                work()
            except (QueueClosed, BatchDropped):
                pass
            except BaseException as error:  # noqa: BLE001 - raised again by run
                self._fail(error)

        threads = [
            Thread(target=guarded, name=f"axion-{stage}-{i}", daemon=True) for i in range(n_threads)
        ]
        for thread in threads:
            thread.start()
            self._threads.append(thread)
        return threads

    def _fail(self, fault: BaseException) -> None:
        self._fault = self._fault or fault
        self._stop.set()
        self._read.abort()
        self._grounded.abort()

    def _read_all(self, source: _SharedIterator[TilePair]) -> None:
        for pair in source:
            result = self._stages.read(pair)
            if self._stop.is_set():
                return
            if isinstance(result, TileOutcome):
                self._stages.report(result)
            else:
                self._read.put(result)

    def _ground_all(self) -> None:
        torch.set_num_threads(self._size.n_compute_threads)
        waited_to_write = 0.0
        while True:
            batch, waited_to_read = self._read.take()
            batch[0].stage_seconds["wait_for_read"] = waited_to_read
            batch[0].stage_seconds["wait_for_write"] = waited_to_write
            waited_to_write = 0.0
            for result in self._stages.ground(batch):
                if isinstance(result, TileOutcome):
                    self._stages.report(result)
                else:
                    waited_to_write += self._grounded.put(result)

    def _write_all(self) -> None:
        while True:
            for tile in self._grounded.take()[0]:
                self._stages.report(self._stages.write(tile))


def _wait(threads: list[Thread], is_over: Callable[[], bool] = lambda: False) -> None:
    """Wait until the threads have ended, or ``is_over`` says so."""
    for thread in threads:
        # In short turns: a wait without end would hold up signals on some systems.
        while thread.is_alive() and not is_over():
            thread.join(_WATCH_SECONDS)


T = TypeVar("T")


class _SharedIterator(Generic[T]):
    """Hands each item to one of several threads."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._lock = Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        with self._lock:
            return next(self._items)
