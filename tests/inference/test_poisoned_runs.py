"""Rotten tiles among good ones: each fails alone, with its reason, and no good one is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from inference_workbench import Watcher, hashes

from axion_stage3.inference.predictor import Predictor
from axion_stage3.testing.tile_factories import write_pair, write_pairs
from axion_stage3.tiles.npz_writer import write_npz

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.inference.predictor import Prediction
    from axion_stage3.tiles.pairing import TilePair

    Infer = Callable[..., RunResult]


def optical(value: float, *, shape: tuple[int, ...] = (4, 16, 16), key: str = "opt_v2") -> Any:
    return lambda pair: write_npz(pair.opt_v2_path, {key: np.full(shape, value, np.float32)})


def radar(value: float) -> Any:
    return lambda pair: write_npz(pair.s1_path, {"s1": np.full((2, 16, 16), value, np.float32)})


def one_pixel(pair: TilePair) -> None:
    opt_v2 = np.full((4, 16, 16), 0.2, np.float32)
    opt_v2[1, 3, 4] = np.nan
    write_npz(pair.opt_v2_path, {"opt_v2": opt_v2})


def cut_off(pair: TilePair) -> None:
    pair.s1_path.write_bytes(pair.s1_path.read_bytes()[:-25])


POISONS: dict[str, tuple[str, Callable[[TilePair], Any]]] = {
    "empty": ("AX-E411", lambda pair: pair.opt_v2_path.write_bytes(b"")),
    "text": ("AX-E411", lambda pair: pair.s1_path.write_text("no tile")),
    "cut_off": ("AX-E411", cut_off),
    "pickled": (
        "AX-E411",
        lambda pair: np.savez(pair.opt_v2_path, opt_v2=np.array([None], dtype=object)),
    ),
    "other_keys": ("AX-E412", optical(0.2, key="image")),
    "three_bands": ("AX-E413", optical(0.2, shape=(3, 16, 16))),
    "other_size": ("AX-E413", optical(0.2, shape=(4, 16, 17))),
    "too_small": ("AX-E413", optical(0.2, shape=(4, 8, 16))),
    "digital_numbers": ("AX-E414", optical(2000)),
    "linear_radar": ("AX-E414", radar(0.05)),
    "nan_pixel": ("AX-E415", one_pixel),
    "all_zero": ("AX-E415", optical(0)),
}


def poison(folder: Path, n_each: int) -> dict[str, str]:
    """Write ``n_each`` tiles of each kind; name to expected error code."""
    codes = {}
    for kind, (code, spoil) in POISONS.items():
        for i in range(n_each):
            pair = write_pair(folder, f"{kind}_{i}.npz", seed=i, height=16)
            spoil(pair)
            codes[pair.name] = code
    return codes


def check_poisoned_run(infer: Infer, folder: Path, n_good: int, n_each: int) -> None:
    good = [pair.name for pair in write_pairs(folder, n_good, sizes=(16, 20))]
    codes = poison(folder, n_each)
    watcher = Watcher()
    result = infer(
        opt_v2_dir=folder / "opt_v2", s1_dir=folder / "s1", batch_size=4, observer=watcher
    )
    assert result.exit_code == 3
    assert {tile.tile_name: tile.error_code for tile in result.failed_tiles} == codes
    assert all(tile.phase == "read" for tile in result.failed_tiles)
    assert all(tile.tile_name in tile.reason for tile in result.failed_tiles)
    assert sorted(hashes(result.output_dir)) == good
    assert len(watcher.outcomes) == n_good + len(codes)
    summary = result.summary
    assert (summary["processed"], summary["failed"]) == (n_good, len(codes))
    assert summary["success_rate"] == pytest.approx(n_good / (n_good + len(codes)))


def test_each_kind_of_poison_fails_alone(infer: Infer, tmp_path: Path) -> None:
    check_poisoned_run(infer, tmp_path, n_good=5, n_each=1)


@pytest.mark.slow
def test_a_thousand_tiles_with_poison_among_them(infer: Infer, tmp_path: Path) -> None:
    check_poisoned_run(infer, tmp_path, n_good=760, n_each=20)


def test_a_tile_that_breaks_the_network_fails_alone(
    infer: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Predictor.predict

    def predict(
        self: Predictor, opt_v2: Any, s1: Any, names: Sequence[str], **options: Any
    ) -> Prediction:
        if "tile_003.npz" in names:
            raise RuntimeError("boom")
        return real(self, opt_v2, s1, names, **options)

    monkeypatch.setattr(Predictor, "predict", predict)
    result = infer(batch_size=2)
    assert [(t.tile_name, t.phase, t.error_code) for t in result.failed_tiles] == [
        ("tile_003.npz", "compute", "AX-E900")
    ]
    assert result.summary["processed"] == 5


def test_running_out_of_memory_fails_no_tile_and_changes_no_result(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = infer(output_dir=tmp_path / "roomy", batch_size=1).output_dir
    real = Predictor._ground

    def ground(self: Predictor, opt_v2: torch.Tensor, *arguments: Any) -> list[torch.Tensor]:
        if len(opt_v2) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, opt_v2, *arguments)

    monkeypatch.setattr(Predictor, "_ground", ground)
    result = infer(batch_size=2)
    assert result.exit_code == 0
    assert hashes(result.output_dir, "tile_0*") == hashes(expected, "tile_0*")
