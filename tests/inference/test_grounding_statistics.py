"""The grounding score in the statistics of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inference_workbench import lively_network, read_output

from axion_stage3.diffusion.checkpoint import save_checkpoint
from axion_stage3.statistics.grounding import GroundingReference, grounding_score
from axion_stage3.testing.tile_factories import make_tile, write_pairs
from axion_stage3.tiles.tile_loading import load_optical, load_radar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def reference() -> GroundingReference:
    true_tiles = [make_tile(seed, 64) for seed in range(4)]
    return GroundingReference.from_pairs([(tile.truth, tile.s1) for tile in true_tiles])


@pytest.fixture
def judging_checkpoint(tmp_path: Path, reference: GroundingReference) -> Path:
    path = tmp_path / "judging.safetensors"
    config = {"timesteps": 2, "grounding_reference": reference.to_json()}
    save_checkpoint(path, lively_network(), epoch=1, config=config)
    return path


def test_a_checkpoint_with_a_reference_scores_every_tile_that_is_large_enough(
    infer: Callable[..., object],
    judging_checkpoint: Path,
    reference: GroundingReference,
    tmp_path: Path,
) -> None:
    write_pairs(tmp_path, 2, sizes=(32, 64))
    infer(checkpoint=judging_checkpoint, opt_v2_dir=tmp_path / "opt_v2", s1_dir=tmp_path / "s1")
    n_scored = 0
    for path in sorted((tmp_path / "opt_v2").rglob("*.npz")):
        name = path.name
        opt_final = read_output(tmp_path / "out" / name)["opt_final"]
        statistics = json.loads((tmp_path / "out" / name).with_suffix(".json").read_text())
        if opt_final.shape[1] < 48:
            assert "grounding_gain" not in statistics
            continue
        s1 = load_radar(tmp_path / "s1" / name)
        before = grounding_score(load_optical(path), s1, reference).score
        after = grounding_score(opt_final, s1, reference).score
        assert statistics["grounding_opt_v2"] == pytest.approx(before, rel=1e-5)
        assert statistics["grounding_opt_final"] == pytest.approx(after, rel=1e-5)
        assert statistics["grounding_gain"] == pytest.approx(after - before, rel=1e-3, abs=1e-6)
        n_scored += 1
    summary = json.loads((tmp_path / "out" / "inference_summary.json").read_text())
    assert n_scored == 1
    assert summary["aggregate_stats"]["grounding_gain"] == pytest.approx(
        after - before, rel=1e-3, abs=1e-6
    )


def test_without_a_reference_there_is_no_score(
    infer: Callable[..., object], tmp_path: Path
) -> None:
    write_pairs(tmp_path, 1, sizes=(64,))
    infer(opt_v2_dir=tmp_path / "opt_v2", s1_dir=tmp_path / "s1")
    summary = json.loads((tmp_path / "out" / "inference_summary.json").read_text())
    assert "grounding_gain" not in summary["aggregate_stats"]
