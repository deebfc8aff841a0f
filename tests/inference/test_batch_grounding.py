from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from inference_workbench import loaded_tile

from axion_stage3.errors import UsageError
from axion_stage3.inference.batch_grounding import BatchDropped, BatchGrounder
from axion_stage3.inference.batch_sizing import BatchSizes
from axion_stage3.inference.predictor import Prediction
from axion_stage3.inference.tile_stages import GroundedTile, ReadTile
from axion_stage3.runs.outcome import TileOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

CPU = torch.device("cpu")


class FakePredict:
    """Adds 1; raises what ``fault`` returns for a batch."""

    def __init__(self, fault: Callable[[list[str], int], Exception | None]) -> None:
        self.batches: list[list[str]] = []
        self.windows: list[int] = []
        self.n_faults = 0
        self._fault = fault

    def __call__(
        self, opt_v2: NDArray[Any], s1: NDArray[Any], names: Sequence[str], *, window_px: int
    ) -> Prediction:
        self.batches.append(list(names))
        self.windows.append(window_px)
        fault = self._fault(list(names), window_px)
        if fault is not None:
            self.n_faults += 1
            raise fault
        assert opt_v2.shape[0] == s1.shape[0] == len(names)
        return Prediction(torch.from_numpy(opt_v2 + 1), None)


def read_tiles(n_tiles: int, height: int = 16, width: int = 16) -> list[ReadTile]:
    return [
        ReadTile(loaded_tile(f"tile_{i}.npz", height, width, value=i / 100), f"print-{i}", {})
        for i in range(n_tiles)
    ]


def ground_all(
    predict: FakePredict, batch: list[ReadTile], sizes: BatchSizes | None = None
) -> tuple[dict[str, float], dict[str, TileOutcome]]:
    """Grounded tiles with their first value, and failed ones."""
    grounder = BatchGrounder(predict, sizes or BatchSizes(len(batch), 10**9), CPU)
    results = list(grounder(batch))
    grounded = [result for result in results if isinstance(result, GroundedTile)]
    failed = [result for result in results if isinstance(result, TileOutcome)]
    assert len(results) == len(batch)
    return (
        {tile.source.tile.name: float(tile.opt_final[0, 0, 0]) for tile in grounded},
        {outcome.tile: outcome for outcome in failed},
    )


def out_of_memory_above(n_fit: int) -> Callable[[list[str], int], Exception | None]:
    return lambda names, _: torch.OutOfMemoryError("no room") if len(names) > n_fit else None


EXPECTED = {f"tile_{i}.npz": pytest.approx(1 + i / 100) for i in range(16)}


def test_a_batch_that_fits_is_computed_once_and_its_time_is_shared() -> None:
    predict = FakePredict(lambda *_: None)
    batch = read_tiles(16)
    grounded, failed = ground_all(predict, batch)
    assert grounded == EXPECTED
    assert not failed
    assert len(predict.batches) == 1
    assert len({tile.stage_seconds["compute"] for tile in batch}) == 1


@pytest.mark.parametrize("n_fit", [1, 2, 3, 5, 8, 15, 16])
def test_out_of_memory_costs_at_most_log2_of_the_batch(n_fit: int) -> None:
    predict = FakePredict(out_of_memory_above(n_fit))
    sizes = BatchSizes(16, 10**9)
    grounded, failed = ground_all(predict, read_tiles(16), sizes)
    assert grounded == EXPECTED
    assert not failed
    assert predict.n_faults == math.ceil(math.log2(16 / n_fit))
    assert sizes.size((16, 16)) <= n_fit
    # The ceiling is remembered: nothing runs out of memory again.
    ground_all(predict, read_tiles(16), sizes)
    assert predict.n_faults == math.ceil(math.log2(16 / n_fit))


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not execute a primitive"),
    ],
)
def test_every_kind_of_running_out_of_memory_is_recognised(fault: Exception) -> None:
    predict = FakePredict(lambda names, _: fault if len(names) > 4 else None)
    grounded, failed = ground_all(predict, read_tiles(16))
    assert grounded == EXPECTED
    assert not failed
    assert predict.n_faults == 2


def test_one_tile_that_breaks_the_network_fails_alone() -> None:
    predict = FakePredict(lambda names, _: RuntimeError("boom") if "tile_5.npz" in names else None)
    grounded, failed = ground_all(predict, read_tiles(16))
    assert grounded == {name: value for name, value in EXPECTED.items() if name != "tile_5.npz"}
    outcome = failed["tile_5.npz"]
    assert (outcome.outcome, outcome.phase) == ("failed", "compute")
    assert outcome.fingerprint == "print-5"
    assert "boom" in outcome.message
    assert predict.n_faults == 2


def test_the_error_of_a_tile_keeps_its_code_and_hint() -> None:
    predict = FakePredict(lambda *_: UsageError("cannot work", hint="do this"))
    _, failed = ground_all(predict, read_tiles(1))
    assert failed["tile_0.npz"].error_code == UsageError.code
    assert failed["tile_0.npz"].hint == "do this"


def test_a_huge_tile_that_does_not_fit_goes_by_smaller_windows() -> None:
    predict = FakePredict(lambda _, px: torch.OutOfMemoryError() if px > 256 else None)
    sizes = BatchSizes(1, 10**9)
    grounder = BatchGrounder(predict, sizes, CPU)
    batch = read_tiles(1, 16, 600)
    assert isinstance(next(iter(grounder(batch))), GroundedTile)
    assert predict.windows == [512, 256]
    # Remembered for the shape.
    assert isinstance(next(iter(grounder(batch))), GroundedTile)
    assert predict.windows == [512, 256, 256]


@pytest.mark.parametrize(("width", "n_attempts"), [(600, 2), (300, 2), (256, 1), (16, 1)])
def test_a_tile_that_never_fits_fails_and_not_the_run(width: int, n_attempts: int) -> None:
    predict = FakePredict(lambda *_: torch.OutOfMemoryError())
    _, failed = ground_all(predict, read_tiles(1, 16, width))
    outcome = failed["tile_0.npz"]
    assert outcome.error_code == "AX-E700"
    assert f"16 x {width} px" in outcome.message
    assert len(predict.batches) == n_attempts


def test_memory_and_a_bad_tile_together() -> None:
    def fault(names: list[str], _: int) -> Exception | None:
        if len(names) > 4:
            return torch.OutOfMemoryError()
        return ValueError("bad") if "tile_9.npz" in names else None

    predict = FakePredict(fault)
    grounded, failed = ground_all(predict, read_tiles(16))
    assert set(failed) == {"tile_9.npz"}
    assert len(grounded) == 15


def test_a_batch_that_is_dropped_is_not_tried_again() -> None:
    predict = FakePredict(lambda *_: BatchDropped())
    with pytest.raises(BatchDropped):
        ground_all(predict, read_tiles(4))
    assert len(predict.batches) == 1


def test_the_spread_goes_to_its_tile() -> None:
    def predict(
        opt_v2: NDArray[Any], s1: NDArray[Any], names: Sequence[str], *, window_px: int
    ) -> Prediction:
        return Prediction(torch.from_numpy(opt_v2), torch.from_numpy(opt_v2 * 2))

    grounder = BatchGrounder(predict, BatchSizes(4, 10**9), CPU)
    for i, tile in enumerate(grounder(read_tiles(4))):
        assert isinstance(tile, GroundedTile)
        assert tile.std is not None
        np.testing.assert_allclose(tile.std, 2 * i / 100)
