from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.cli.app import run
from axion_stage3.statistics.grounding import GroundingReference
from axion_stage3.statistics.grounding_measures import MIN_SCORED_PX
from axion_stage3.statistics.image_quality import psnr
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.evaluation import PSNR_CEILING_DB, EvaluationCase, evaluate_cases

if TYPE_CHECKING:
    from pathlib import Path


def case(seed: int, group: str, share: float) -> EvaluationCase:
    """A tile whose opt_final has gone a share of the way from opt_v2 to the truth."""
    tile = make_tile(seed, 32)
    opt_final = tile.opt_v2 + np.float32(share) * (tile.truth - tile.opt_v2)
    return EvaluationCase(f"t{seed}.npz", group, "given", tile.truth, tile.opt_v2, opt_final)


def test_figures_are_means_over_groups_not_tiles() -> None:
    cases = [case(0, "a", 0.9), case(1, "a", 0.5), case(2, "a", 0.2), case(3, "b", 0.1)]
    (family,) = evaluate_cases(cases).families
    gains = [psnr(c.opt_final, c.truth) - psnr(c.opt_v2, c.truth) for c in cases]
    expected = (np.mean(gains[:3]) + gains[3]) / 2
    assert family.metrics["psnr"].difference == pytest.approx(expected)
    assert (family.n_tiles, family.n_groups) == (4, 2)


def test_improvement_knows_which_way_is_better() -> None:
    cases = [case(0, "a", 0.5), case(1, "b", -0.5), case(2, "c", 0.5), case(3, "c", 0.4)]
    (family,) = evaluate_cases(cases).families
    for name in ("psnr", "ssim", "sam_degrees", "mae", "rmse"):
        assert family.metrics[name].groups_improved == pytest.approx(2 / 3), name
        assert family.metrics[name].tiles_improved == 0.75, name
    assert family.metrics["hf_power_ratio"].groups_improved is None
    assert family.metrics["hf_power_ratio"].tiles_improved is None


def test_the_five_that_gained_least_are_named_the_least_first() -> None:
    shares = [0.3, 0.1, 0.6, -0.2, 0.5, 0.4, 0.2]
    cases = [case(seed, f"g{seed}", share) for seed, share in enumerate(shares)]
    (family,) = evaluate_cases(cases).families
    assert family.worst == ("t3.npz", "t1.npz", "t6.npz", "t0.npz", "t5.npz")


def test_the_interval_holds_the_difference_and_widens_with_disagreement() -> None:
    alike = evaluate_cases([case(k, f"g{k}", 0.5) for k in range(6)]).families[0]
    apart = evaluate_cases([case(k, f"g{k}", 0.15 * k) for k in range(6)]).families[0]
    for family in (alike, apart):
        metric = family.metrics["psnr"]
        assert metric.low <= metric.difference <= metric.high
    widths = [f.metrics["psnr"].high - f.metrics["psnr"].low for f in (alike, apart)]
    assert widths[0] < widths[1]


def test_the_interval_is_that_of_a_mean_over_groups_at_95_percent() -> None:
    shares = np.random.default_rng(0).uniform(0, 0.5, 40)
    cases = [case(k, f"g{k}", share) for k, share in enumerate(shares)]
    evaluation = evaluate_cases(cases)
    gains = [tile.opt_final["psnr"] - tile.opt_v2["psnr"] for tile in evaluation.tiles]
    metric = evaluation.families[0].metrics["psnr"]
    standard_error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert metric.high - metric.low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert metric.difference - metric.low == pytest.approx(1.96 * standard_error, rel=0.15)
    again = evaluate_cases(cases).families[0].metrics["psnr"]
    assert (again.low, again.high) == (metric.low, metric.high)


@pytest.mark.parametrize("most_picks", [1, 100, 10**6])
def test_intervals_do_not_depend_on_how_many_draws_are_made_at_once(
    most_picks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axion_stage3.training.evaluation._MOST_PICKS", most_picks)
    shares = np.random.default_rng(1).uniform(0, 0.5, 12)
    evaluation = evaluate_cases(case(k, "abcdefg"[k // 2], share) for k, share in enumerate(shares))
    picks = np.random.default_rng(0).integers(6, size=(2000, 6))
    for name, metric in evaluation.families[0].metrics.items():
        change = [tile.opt_final[name] - tile.opt_v2[name] for tile in evaluation.tiles]
        by_group = np.reshape(change, (6, 2)).mean(axis=1)
        expected = np.percentile(by_group[picks].mean(axis=1), [2.5, 97.5])
        np.testing.assert_allclose([metric.low, metric.high], expected, rtol=1e-9, atol=1e-12)


def test_memory_does_not_grow_with_groups_times_resamples_or_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = {"psnr": 20.0, "mae": 0.1}
    monkeypatch.setattr("axion_stage3.training.evaluation.image_quality", lambda *_: dict(figures))
    one = case(0, "a", 0.5)
    cases = [replace(one, tile=f"{k}.npz", group=f"{k}") for k in range(12_000)]
    tracemalloc.start()
    (family,) = evaluate_cases(cases).families
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert family.n_groups == 12_000
    assert peak < 50e6, "12,000 groups by 2000 resamples take 190 MB, by 12,000 tiles 140 MB"


def test_a_perfect_tile_counts_as_the_ceiling() -> None:
    tile = make_tile(0, 32)
    perfect = EvaluationCase("t.npz", "a", "given", tile.truth, tile.opt_v2, tile.truth)
    (family,) = evaluate_cases([perfect]).families
    assert family.metrics["psnr"].opt_final == PSNR_CEILING_DB


def test_no_tile_is_better_than_a_perfect_one() -> None:
    tile = make_tile(0, 32)
    nearly = tile.truth.copy()
    nearly[0, 0, 0] += 1e-6
    assert psnr(nearly, tile.truth) > PSNR_CEILING_DB
    near = EvaluationCase(
        "t.npz", "a", "given", tile.truth, tile.opt_v2, nearly, draws=(nearly, 0 * nearly)
    )
    (found,) = evaluate_cases([near]).tiles
    for name in ("psnr", "psnr_blue", "psnr_nir"):
        assert found.opt_final[name] == PSNR_CEILING_DB, name
    assert found.draws is not None
    assert found.draws["psnr_of_mean"] == PSNR_CEILING_DB


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["truth", "opt_v2", "opt_final", "s1", "mean", "spread"])
def test_what_is_not_finite_has_no_figures(name: str, value: float) -> None:
    tile = make_tile(0, 32)
    arrays = {"truth": tile.truth, "opt_v2": tile.opt_v2, "opt_final": tile.opt_v2, "s1": tile.s1}
    arrays |= {"mean": tile.truth, "spread": tile.truth}
    arrays[name] = arrays[name].copy()
    arrays[name][1, 2, 3] = value
    draws = arrays.pop("mean"), arrays.pop("spread")
    bad = EvaluationCase("bad.npz", "a", "given", **arrays, draws=draws)
    evaluation = evaluate_cases([bad, case(1, "b", 0.5), replace(bad, family="hard")])
    assert [each.tile for each in evaluation.tiles] == ["t1.npz"]
    (left_out,) = evaluation.left_out
    assert left_out.tile == "bad.npz"
    assert left_out.reason.startswith(name)
    assert "NaN or infinite: 1 of " in left_out.reason


def test_draws_are_judged_by_how_often_the_truth_lies_within_their_spread() -> None:
    tile = make_tile(0, 32)
    random = np.random.default_rng(0)
    std = np.full_like(tile.truth, 0.01)
    mean = tile.truth + random.normal(0, 0.01, tile.truth.shape).astype(np.float32)
    honest = EvaluationCase("t.npz", "a", "given", tile.truth, tile.opt_v2, mean, draws=(mean, std))
    (family,) = evaluate_cases([honest]).families
    assert family.draws is not None
    for k, share in ((1, 0.683), (2, 0.954), (3, 0.997)):
        assert family.draws[f"within_{k}_std"] == pytest.approx(share, abs=0.02)
    assert family.draws["psnr_of_mean"] == pytest.approx(psnr(mean, tile.truth))
    without_draws = case(1, "b", 0.5)
    (family,) = evaluate_cases([honest, without_draws]).families
    assert family.draws is None, "a mean over some of the groups would be another figure"


def test_draws_are_judged_over_groups_not_tiles() -> None:
    cases = [case(k, group, 0.5) for k, group in enumerate("aab")]
    wide, narrow = (np.full_like(cases[0].truth, std) for std in (1.0, 0.0))
    spreads = (wide, wide, narrow)
    cases = [replace(c, draws=(c.opt_v2, s)) for c, s in zip(cases, spreads, strict=True)]
    (family,) = evaluate_cases(cases).families
    assert family.draws is not None
    assert family.draws["within_1_std"] == pytest.approx(0.5, abs=0.01)


def test_grounding_is_scored_for_all_versions_and_the_truth_beats_noise() -> None:
    tiles = [make_tile(seed, 64) for seed in range(6)]
    reference = GroundingReference.from_pairs([(tile.truth, tile.s1) for tile in tiles])
    random = np.random.default_rng(0)
    cases = [
        EvaluationCase(
            f"{k}.npz",
            f"{k}",
            "given",
            tile.truth,
            random.permutation(tile.truth.reshape(4, -1), axis=1).reshape(tile.truth.shape),
            tile.truth,
            tile.s1,
        )
        for k, tile in enumerate(tiles)
    ]
    evaluation = evaluate_cases(cases, reference)
    (family,) = evaluation.families
    assert family.grounding_accuracy == 1.0
    assert family.metrics["grounding"].groups_improved == 1.0
    for tile in evaluation.tiles:
        assert tile.opt_final["grounding"] == tile.truth_grounding
    undecided = [replace(each, opt_v2=each.truth) for each in cases]
    assert evaluate_cases(undecided, reference).families[0].grounding_accuracy == 0.0
    length = MIN_SCORED_PX - 1
    small = [
        replace(
            each,
            truth=each.truth[:, :length, :length],
            opt_v2=each.opt_v2[:, :length, :length],
            opt_final=each.opt_final[:, :length, :length],
            s1=tile.s1[:, :length, :length],
        )
        for each, tile in zip(cases, tiles, strict=True)
    ]
    (unscored,) = evaluate_cases(small, reference).families
    assert unscored.grounding_accuracy is None
    assert "grounding" not in unscored.metrics
    (without,) = evaluate_cases(cases).families
    assert without.grounding_accuracy is None
    assert "grounding" not in without.metrics


@pytest.mark.parametrize(
    ("tile", "judged"),
    [("tile_1.npz", ["tile_4.npz", "tile_5.npz"]), ("tile_5.npz", ["tile_4.npz"])],
    ids=["train", "val"],
)
def test_a_bad_tile_among_held_out_scenes_is_left_out_and_named(
    tile: str, judged: list[str], data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = data_dir / "s2_truth" / tile
    truth.write_bytes(truth.read_bytes()[:-200])
    scenes = ["--data-dir", str(data_dir), "--split-file", str(data_dir / "split.csv")]

    assert run(["evaluate", *scenes, "--family", "blurred", "--method", "smoothed", "--json"]) == 3

    text, said = capsys.readouterr()
    document = json.loads(text)
    assert [each["tile"] for each in document["left_out"]] == [tile]
    assert [each["tile"] for each in document["tiles"]] == judged
    assert f"1 tile left out:\n  - {tile}\n" in said
    assert run(["train", *scenes, "--output-dir", str(data_dir.parent / "out")]) == 4
    assert f"Training tile {tile}" in capsys.readouterr().err


def test_held_out_scenes_without_one_figure_are_an_error(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "axion_stage3.training.evaluation_run.smoothed", lambda opt_v2: opt_v2 * np.float32("nan")
    )
    scenes = ["--data-dir", str(data_dir), "--split-file", str(data_dir / "split.csv")]
    families = ["--family", "blurred", "--family", "truth"]

    assert run(["evaluate", *scenes, *families, "--method", "smoothed"]) == 4

    error = capsys.readouterr().err
    assert "None of the 2 tiles can be evaluated. Tile tile_4.npz: opt_final has values" in error
