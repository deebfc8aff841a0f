"""Whole folders: what is found, in which order, by how many processes, and saved."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from inspection_bench import NAME, Bench, ids
from tile_damage import DAMAGED_EVERY, DAMAGES, write_damaged_folder

from axion_stage3.errors import InputError, InputFolderError, TileError, UsageError
from axion_stage3.inspection.finding_record import TileFindings
from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.validation import MIN_PARALLEL_TILES, validate_inputs, validate_run
from axion_stage3.inspection.validation_summary import (
    N_REMEDIES,
    FindingFilter,
    SummaryBuilder,
)
from axion_stage3.testing.tile_factories import write_pairs
from axion_stage3.tiles.findings import Severity
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.pixel_filling import resample_bilinear
from axion_stage3.tiles.tile_loading import LoadOptions, load_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.tiles.pairing import TilePair


Damaged = tuple["Path", dict[str, str | None]]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """A folder with each kind of damage once, not to be changed, and what must be found in it."""
    root = tmp_path_factory.mktemp("damaged")
    return root, write_damaged_folder(root, DAMAGED_EVERY * len(DAMAGES))


def check_damaged_folder(root: Path, expected: dict[str, str | None], n_workers: int) -> None:
    results = list(validate_inputs(root / "opt_v2", root / "s1", n_workers=n_workers))

    assert [result.tile for result in results] == sorted(expected)
    for result in results:
        found = ids(list(result.findings))
        errors = {finding.id for finding in result.findings if finding.severity == "error"}
        wanted = expected[result.tile]
        if wanted is None:
            assert errors == set(), result
        else:
            assert wanted in found, result
            assert errors <= {wanted}, result
    assert set(expected.values()) == {None, *DAMAGES}


def test_every_damaged_tile_is_found(damaged: Damaged) -> None:
    check_damaged_folder(*damaged, n_workers=1)  # 12 damaged, 24 clean


@pytest.mark.slow
def test_every_damaged_tile_is_found_among_300(tmp_path: Path) -> None:
    check_damaged_folder(tmp_path, write_damaged_folder(tmp_path, 300), n_workers=2)


def test_what_infer_refuses_is_an_error_and_what_it_takes_is_not(damaged: Damaged) -> None:
    root, _ = damaged
    for options in (LoadOptions(), LoadOptions(fill_invalid=True, resample_s1=True)):
        results = validate_inputs(root / "opt_v2", root / "s1", CheckOptions(load=options))
        by_name = {result.tile: result for result in results}
        for pair in find_pairs(root / "opt_v2", root / "s1").pairs:
            errors = ids([f for f in by_name[pair.name].findings if f.severity == "error"])
            # Read without complaint, but certainly wrong: copies and swaps.
            refusals = errors - {"AX-T032", "AX-T043"}
            assert bool(refusals) == _is_refused(pair, options), (pair.name, errors)


def _is_refused(pair: TilePair, options: LoadOptions) -> bool:
    try:
        load_pair(pair, options)
    except TileError:
        return True
    return False


def test_processes_find_the_same_in_the_same_order(tmp_path: Path) -> None:
    write_pairs(tmp_path, MIN_PARALLEL_TILES + 20, sizes=(16, 24))
    for name in ("tile_03.npz", "tile_70.npz"):
        (tmp_path / "s1" / name).write_bytes(b"not a tile")
    folders = tmp_path / "opt_v2", tmp_path / "s1"

    alone, together = (list(validate_inputs(*folders, n_workers=n)) for n in (1, 2))

    assert together == alone
    assert [result.tile for result in alone if result.findings] == ["tile_03.npz", "tile_70.npz"]


def test_one_folder_is_checked_alone(bench: Bench) -> None:
    bench.write(s1=np.zeros_like(bench.s1))

    assert [result.findings for result in validate_inputs(bench.opt_v2_dir, None)] == [()]
    (radar,) = validate_inputs(None, bench.s1_dir)
    assert ids(list(radar.findings)) == {"AX-T021"}


def test_names_without_partner_come_with_the_nearest(tmp_path: Path) -> None:
    write_pairs(tmp_path, 3, sizes=(16,))
    (tmp_path / "s1" / "tile_001.npz").rename(tmp_path / "s1" / "tile_0001.npz")

    results = list(validate_inputs(tmp_path / "opt_v2", tmp_path / "s1"))

    named = {result.tile: result for result in results if not result.is_checked}
    assert set(named) == {"tile_001.npz", "tile_0001.npz"}
    (finding,) = named["tile_001.npz"].findings
    assert (finding.id, finding.severity, finding.subject) == ("AX-T014", "warning", "opt_v2")
    assert "tile_0001.npz" in finding.message
    assert sum(result.is_checked for result in results) == 2


def test_folders_without_any_pair_name_every_tile(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2, sizes=(16,))
    for path in (tmp_path / "s1").iterdir():
        path.rename(path.with_stem(path.stem + "_S1"))

    results = list(validate_inputs(tmp_path / "opt_v2", tmp_path / "s1"))

    assert len(results) == 4
    assert {(f.id, f.severity) for r in results for f in r.findings} == {("AX-T014", "error")}
    assert "tile_000_S1.npz" in results[0].findings[0].message


@pytest.mark.parametrize(
    ("start", "error", "word"),
    [
        (lambda root: validate_inputs(None, None), UsageError, "nothing to validate"),
        (lambda root: validate_inputs(root / "no", None), InputFolderError, "no"),
        (lambda root: validate_inputs(root, None), InputFolderError, "no NPZ file"),
        (lambda root: validate_inputs(root, root), InputError, "No matching tile pairs found"),
        (validate_run, InputFolderError, "no output tile"),
        (lambda root: validate_run(root / "no"), InputFolderError, "does not exist"),
    ],
)
def test_nothing_to_check_is_one_clear_error(
    start: Callable[[Path], object], error: type[Exception], word: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=word):
        start(tmp_path)


def test_run_is_checked_against_inputs_of_its_options(bench: Bench) -> None:
    bench.opt_v2 *= 10000
    bench.run(bench.opt_v2 / np.float32(10000), opt_scale=10000.0)

    assert "AX-T060" in ids(bench.run_findings())


def test_pair_of_another_scale_is_judged_after_resampling(bench: Bench) -> None:
    height, width = bench.s1.shape[1:]
    bench.write(s1=resample_bilinear(bench.s1, height * 2, width * 2))

    findings = bench.findings(CheckOptions(load=LoadOptions(resample_s1=True)))

    assert ids(findings) == {"AX-T007"}


def test_summary_counts_tiles_once_and_keeps_few_examples(bench: Bench) -> None:
    bench.opt_v2[1, :4, :4] = np.nan
    bench.write()
    (result,) = validate_inputs(bench.opt_v2_dir, bench.s1_dir)
    builder = SummaryBuilder()
    for number in range(100):
        builder.add(TileFindings(f"tile_{number}.npz", result.findings * 2))
    builder.add(TileFindings("clean.npz"))
    builder.add(TileFindings("alone.npz", result.findings, is_checked=False))

    summary = builder.summary()

    (count,) = summary.findings
    (remedy,) = count.remedies
    assert (count.id, count.n_tiles) == ("AX-T020", 101)
    assert (remedy.advice, remedy.n_tiles) == (result.findings[0].advice, 101)
    assert [example.tile for example in remedy.examples] == [f"tile_{n}.npz" for n in range(5)]
    assert (summary.n_checked, summary.n_without_findings) == (101, 1)
    assert summary.n_tiles_by_worst == {"error": 101}
    assert summary.reaches(Severity.ERROR)


def test_tiles_are_counted_by_what_is_to_be_done(bench: Bench) -> None:
    bench.run(None)
    ((finding,),) = (result.findings for result in validate_run(bench.output_dir))
    builder = SummaryBuilder()
    for number in range(100):
        advice = f"Do {number % 10}." if number % 10 else finding.advice
        builder.add(TileFindings(f"tile_{number}.npz", (replace(finding, advice=advice),)))

    (count,) = builder.summary().findings

    assert count.n_tiles == 100
    assert [(each.advice, each.n_tiles) for each in count.remedies] == [
        ("Give it tea.", 10),
        *((f"Do {number}.", 10) for number in range(1, N_REMEDIES)),
        ("Look at each of them with `axion-stage3 inspect-tile`.", 40),
    ]
    assert [example.tile for example in count.remedies[1].examples[:2]] == [
        "tile_1.npz",
        "tile_11.npz",
    ]


def test_filter_leaves_out_what_is_not_wanted(bench: Bench) -> None:
    bench.opt_v2[1, :4, :4] = np.nan
    bench.write({"opt_v2": bench.opt_v2, "note": np.zeros(3)})
    (result,) = validate_inputs(bench.opt_v2_dir, bench.s1_dir)

    assert [f.id for f in result.findings] == ["AX-T020", "AX-T011"]
    errors = FindingFilter(Severity.ERROR).apply(result)
    others = FindingFilter(ignored={"AX-T020"}).apply(result)
    assert [f.id for f in errors.findings] == ["AX-T020"]
    assert [f.id for f in others.findings] == ["AX-T011"]


def test_journal_name_may_hold_no_output(bench: Bench) -> None:
    bench.run(None)

    (result,) = validate_run(bench.output_dir)

    assert result.tile == NAME
    assert "The disk coughed." in result.findings[0].message
    assert result.findings[0].advice == "Give it tea."


def _degraded(truth: np.ndarray, how: str) -> np.ndarray:
    """Simple versions of what a Stage 2 makes of the truth."""
    if how == "blurred":
        half = resample_bilinear(truth, truth.shape[1] // 2, truth.shape[2] // 2)
        return resample_bilinear(half, *truth.shape[1:])
    if how == "brighter":
        return truth * np.float32(1.25) + np.float32(0.01)
    noise = np.random.default_rng(0).normal(0, 0.01, truth.shape)
    return (truth + noise).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["truth", "blurred", "brighter", "noisy"])
def test_no_error_in_the_full_data(full_data: Path, how: str, tmp_path: Path) -> None:
    with (full_data / "tiles.csv").open() as file:
        wanted = {row["tile"] for row in csv.DictReader(file) if row["split"] != "extra"}
    opt_v2_dir = full_data / "s2_truth"
    if how != "truth":
        opt_v2_dir = tmp_path
        for pair in find_pairs(full_data / "s2_truth", full_data / "s1").pairs:
            if pair.name in wanted:
                np.savez(tmp_path / pair.name, opt_v2=_degraded(load_pair(pair).opt_v2, how))
    warnings: Counter[str] = Counter()
    for result in validate_inputs(opt_v2_dir, full_data / "s1", n_workers=2):
        if result.tile in wanted and result.is_checked:
            assert [f for f in result.findings if f.severity == "error"] == []
            warnings.update(f.id for f in result.findings if f.severity == "warning")
            wanted.remove(result.tile)
    assert not wanted
    # Real clipping and bright fields are reported; the checks of the eye stay quiet.
    assert sum(warnings[each] for each in ("AX-T026", "AX-T027", "AX-T028", "AX-T051")) <= 2
    assert warnings["AX-T050"] <= 2


def test_swapped_folders_are_called_so(bench: Bench) -> None:
    bench.write()
    bench.write_output({"opt_final": bench.truth})
    folders = (bench.s1_dir, bench.opt_v2_dir), (bench.output_dir, bench.s1_dir)

    swapped, outputs = (next(iter(validate_inputs(*pair))).findings for pair in folders)
    (inputs,) = next(iter(validate_run(bench.s1_dir))).findings

    assert [finding.advice for finding in swapped] == [
        f"It is an {kind} tile: were --opt-v2-dir and --s1-dir swapped?"
        for kind in ("s1", "opt_v2")
    ]
    assert "It is an output of a run" in outputs[0].advice
    assert inputs.advice == ("It is an input tile (s1): check it with --opt-v2-dir and --s1-dir.")


@pytest.mark.parametrize("has_opt_v2", [True, False])
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_recorded_statistics_are_compared_with_or_without_opt_v2(
    bench: Bench, factor: float, has_opt_v2: bool
) -> None:
    """What the run recorded of the change can only be judged where opt_v2 still is."""
    bench.run(bench.truth)
    rewritten = bench.truth * np.float32(factor)
    np.savez(bench.output_dir / NAME, opt_final=rewritten, opt_v3=rewritten)
    if not has_opt_v2:
        (bench.opt_v2_dir / NAME).unlink()

    findings = {finding.id: finding for finding in bench.run_findings()}

    assert ("AX-T064" in findings) == (factor != 1.0)
    if factor != 1.0:
        assert ("change" in findings["AX-T064"].message) == has_opt_v2


def test_statistics_of_a_change_are_judged_where_opt_v2_is(bench: Bench) -> None:
    """The output is what it was; opt_v2 is not."""
    bench.run(bench.truth)
    np.savez(bench.opt_v2_dir / NAME, opt_v2=bench.opt_v2 + np.float32(0.05))

    assert "AX-T064" in ids(bench.run_findings())
    np.savez(bench.opt_v2_dir / NAME, opt_v2=bench.opt_v2[:, :64, :64])
    assert "AX-T064" not in ids(bench.run_findings())
