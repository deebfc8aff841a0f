"""Every kind of finding is made in its situation, and by no clean tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from finding_triggers import TRIGGERS
from inspection_bench import Bench, ids

from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.validation import validate_inputs, validate_run
from axion_stage3.testing.tile_factories import write_pairs
from axion_stage3.tiles.checks import CATALOGUE
from axion_stage3.tiles.tile_loading import LoadOptions, load_optical

if TYPE_CHECKING:
    from pathlib import Path


def test_every_kind_has_its_situation() -> None:
    assert list(TRIGGERS) == list(CATALOGUE)


@pytest.mark.parametrize("finding_id", TRIGGERS)
def test_situation_is_found(finding_id: str, bench: Bench) -> None:
    found = [finding for finding in TRIGGERS[finding_id](bench) if finding.id == finding_id]

    assert found
    for finding in found:
        assert finding.message.endswith(".")
        assert finding.advice
        assert finding.title == CATALOGUE[finding_id].title


@pytest.mark.parametrize("finding_id", TRIGGERS)
def test_situation_causes_no_other_error(finding_id: str, bench: Bench) -> None:
    errors = {f.id for f in TRIGGERS[finding_id](bench) if f.severity == "error"}

    assert errors <= {finding_id}


def test_clean_pair_is_clean(bench: Bench) -> None:
    bench.write()

    assert bench.findings() == []


def test_clean_run_is_clean(bench: Bench) -> None:
    bench.run(bench.truth)

    assert bench.run_findings() == []


def test_synthetic_tiles_of_all_sizes_and_layouts_are_clean(tmp_path: Path) -> None:
    write_pairs(tmp_path, 24, sizes=(16, 40, 64, 120))

    results = list(validate_inputs(tmp_path / "opt_v2", tmp_path / "s1"))

    assert len(results) == 24
    assert [result for result in results if result.findings] == []


def test_real_tiles_are_clean(real_folders: tuple[Path, Path]) -> None:
    """Not even a warning, but for the one radar tile that was clipped at 0 dB where it was made."""
    results = list(validate_inputs(*real_folders))

    found = {(result.tile, f.id, f.subject) for result in results for f in result.findings}
    assert len(results) >= 12
    assert found <= {("s12cr_sample4287.npz", "AX-T024", "s1")}


def test_real_outputs_are_clean(real_folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The truth passes for the output of a run."""
    opt_v2_dir, s1_dir = real_folders
    for path in sorted((opt_v2_dir.parent / "truth").iterdir()):
        np.savez(tmp_path / path.name, opt_final=load_optical(path))

    results = list(validate_run(tmp_path, opt_v2_dir=opt_v2_dir, s1_dir=s1_dir))

    found = {f.id for result in results for f in result.findings}
    assert len(results) >= 12
    # Dark water and shadow are clipped at the least value of the product, as Sentinel-2 tiles are.
    assert found <= {"AX-T024"}


@pytest.mark.parametrize(
    ("options", "finding_id", "severity"),
    [
        (LoadOptions(fill_invalid=True), "AX-T020", "warning"),
        (LoadOptions(resample_s1=True), "AX-T007", "info"),
    ],
)
def test_options_of_infer_soften_findings(
    options: LoadOptions, finding_id: str, severity: str, bench: Bench
) -> None:
    TRIGGERS[finding_id](bench)

    findings = bench.findings(CheckOptions(load=options))

    assert [f.severity for f in findings if f.id == finding_id] == [severity]


def test_scaled_tiles_are_clean_with_the_scale(bench: Bench) -> None:
    bench.write((bench.opt_v2 * 10000), 10 ** (bench.s1 / 10))

    options = CheckOptions(load=LoadOptions(opt_scale=10000, s1_units="linear"))

    assert ids(bench.findings(options)) == set()
