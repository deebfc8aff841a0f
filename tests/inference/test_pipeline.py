from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from inference_workbench import loaded_tile

from axion_stage3.errors import OutputError
from axion_stage3.inference.batch_grounding import BatchDropped
from axion_stage3.inference.pipeline import Pipeline, PipelineSize, Stages
from axion_stage3.inference.tile_stages import GroundedTile, ReadTile
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.tiles.pairing import TilePair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIZE = PipelineSize(n_readers=2, n_workers=2, n_compute_threads=1, n_writers=2, queue_px=4 * 256)


def pairs(n_tiles: int) -> list[TilePair]:
    return [TilePair(f"tile_{i:03d}.npz", Path(), Path()) for i in range(n_tiles)]


class Bench:
    """Stages that do nothing but count, and fail where they are told."""

    def __init__(self) -> None:
        self.reported: list[TileOutcome] = []
        self.threads: set[str] = set()
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = Lock()
        self.stages = Stages(self.read, self.ground, self.write, self.report, lambda _: 1)

    def read(self, pair: TilePair) -> ReadTile | TileOutcome:
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        return ReadTile(loaded_tile(pair.name), "print", {})

    def ground(self, batch: list[ReadTile]) -> Iterable[GroundedTile | TileOutcome]:
        self.threads.add(threading.current_thread().name)
        return [GroundedTile(tile, np.zeros((4, 16, 16), np.float32), None) for tile in batch]

    def write(self, tile: GroundedTile) -> TileOutcome:
        seconds = tile.source.stage_seconds
        return TileOutcome(tile.source.tile.name, "written", "print", stage_seconds=seconds)

    def report(self, outcome: TileOutcome) -> None:
        with self._lock:
            self._in_flight -= 1
            self.reported.append(outcome)

    def names(self) -> list[str]:
        return sorted(outcome.tile for outcome in self.reported)


def is_quiet() -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(thread.name.startswith("axion-") for thread in threading.enumerate()):
            return True
        time.sleep(0.01)
    return False


def test_every_tile_goes_through_once_and_the_caller_computes_nothing() -> None:
    bench = Bench()
    Pipeline(bench.stages, SIZE, Event()).run(pairs(200))
    assert bench.names() == [pair.name for pair in pairs(200)]
    assert all(name.startswith("axion-ground") for name in bench.threads)
    assert is_quiet()


def test_threads_that_begin_later_compute_as_they_would_have_before() -> None:
    """Torch gives a new thread the number that any thread was told last."""
    former = torch.get_num_threads()
    torch.set_num_threads(2)
    seen: list[int] = []
    try:
        Pipeline(Bench().stages, SIZE, Event()).run(pairs(4))
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(former)
    assert seen == [2]


def test_what_is_in_memory_does_not_grow_with_the_number_of_tiles() -> None:
    bench = Bench()

    def slow_write(tile: GroundedTile) -> TileOutcome:
        time.sleep(0.001)
        return bench.write(tile)

    Pipeline(replace(bench.stages, write=slow_write), SIZE, Event()).run(pairs(300))
    # Two queues of four tiles, and one tile in the hands of each of six threads.
    assert bench.most_in_flight <= 2 * 4 + 6


def test_the_last_tiles_are_shared_out_among_the_workers() -> None:
    bench = Bench()
    sizes: list[int] = []

    def ground(batch: list[ReadTile]) -> Iterable[GroundedTile | TileOutcome]:
        time.sleep(0.3)  # meanwhile all tiles are read
        sizes.append(len(batch))
        return bench.ground(batch)

    stages = replace(bench.stages, ground=ground, batch_size=lambda _: 4)
    size = replace(SIZE, queue_px=16 * 256, n_shares=2)
    Pipeline(stages, size, Event()).run(pairs(10))
    assert len(bench.names()) == 10
    assert sizes == [4, 4, 1, 1]


def test_tiles_that_fail_in_a_stage_are_reported_and_go_no_further() -> None:
    bench = Bench()

    def read(pair: TilePair) -> ReadTile | TileOutcome:
        result = bench.read(pair)
        return TileOutcome(pair.name, "failed", "", "read") if "1" in pair.name else result

    def ground(batch: list[ReadTile]) -> Iterator[GroundedTile | TileOutcome]:
        for tile in bench.ground(batch):
            assert isinstance(tile, GroundedTile)
            name = tile.source.tile.name
            yield TileOutcome(name, "failed", "", "compute") if "2" in name else tile

    Pipeline(replace(bench.stages, read=read, ground=ground), SIZE, Event()).run(pairs(100))
    assert len(bench.reported) == 100
    phases = {outcome.tile: outcome.phase for outcome in bench.reported}
    for name, phase in phases.items():
        assert phase == ("read" if "1" in name else "compute" if "2" in name else None)


@pytest.mark.parametrize("stage", ["read", "ground", "write", "report"])
@pytest.mark.parametrize("fault", [OutputError("disk full"), KeyboardInterrupt()])
def test_what_a_stage_raises_ends_the_run(stage: str, fault: BaseException) -> None:
    bench = Bench()
    real = getattr(bench, stage)
    calls: list[int] = []

    def faulty(argument: object) -> object:
        calls.append(1)
        if len(calls) == 5:
            raise fault
        return real(argument)

    stop = Event()
    pipeline = Pipeline(replace(bench.stages, **{stage: faulty}), SIZE, stop)
    with pytest.raises(type(fault)):
        pipeline.run(pairs(10_000))
    assert is_quiet()
    assert len(bench.reported) < 5000, "on a busy machine the others go on for a while"
    assert stop.is_set()


@pytest.mark.timeout(60)
def test_a_worker_that_waits_for_the_last_writer_learns_of_its_end() -> None:
    bench = Bench()

    def fail_when_the_queue_is_full(_: GroundedTile) -> TileOutcome:
        time.sleep(0.2)
        raise OutputError("disk full")

    stages = replace(bench.stages, write=fail_when_the_queue_is_full)
    with pytest.raises(OutputError, match="disk full"):
        Pipeline(stages, replace(SIZE, n_writers=1), Event()).run(pairs(100))
    assert is_quiet()


def test_a_stop_drops_the_batch_in_flight_and_writes_what_is_grounded() -> None:
    bench = Bench()
    stop = Event()
    n_grounded: list[int] = []

    def ground(batch: list[ReadTile]) -> Iterable[GroundedTile | TileOutcome]:
        if stop.is_set():
            raise BatchDropped
        n_grounded.append(len(batch))
        if len(n_grounded) == 10:
            stop.set()
        return bench.ground(batch)

    Pipeline(replace(bench.stages, ground=ground), SIZE, stop).run(pairs(1000))
    assert len(bench.reported) == sum(n_grounded) < 20
    assert is_quiet()


def test_a_reader_that_hangs_does_not_hold_up_a_stop() -> None:
    bench = Bench()
    stop, may_go_on = Event(), Event()

    def read(pair: TilePair) -> ReadTile | TileOutcome:
        if pair.name == "tile_020.npz":
            stop.set()
            may_go_on.wait(10)
        return bench.read(pair)

    began = time.monotonic()
    Pipeline(replace(bench.stages, read=read), SIZE, stop).run(pairs(100))
    assert time.monotonic() - began < 5
    n_reported = len(bench.reported)
    may_go_on.set()
    assert is_quiet()
    assert len(bench.reported) == n_reported


def test_waiting_is_noted_in_seconds() -> None:
    bench = Bench()

    def slow_read(pair: TilePair) -> ReadTile | TileOutcome:
        time.sleep(0.01)
        return bench.read(pair)

    Pipeline(replace(bench.stages, read=slow_read), SIZE, Event()).run(pairs(20))
    waited = sum(outcome.stage_seconds["wait_for_read"] for outcome in bench.reported)
    assert 0.05 < waited < 10
    assert sum(outcome.stage_seconds["wait_for_write"] for outcome in bench.reported) < waited


def test_waiting_for_writers_is_noted_too() -> None:
    bench = Bench()

    def slow_write(tile: GroundedTile) -> TileOutcome:
        time.sleep(0.01)
        return bench.write(tile)

    Pipeline(replace(bench.stages, write=slow_write), SIZE, Event()).run(pairs(40))
    assert sum(outcome.stage_seconds["wait_for_write"] for outcome in bench.reported) > 0.05
