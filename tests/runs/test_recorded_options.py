"""How a run read its tiles, as its manifest says, which anybody may have edited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.tiles.tile_loading import LoadOptions

if TYPE_CHECKING:
    from pathlib import Path


def options_of(output_dir: Path, **configuration: Any) -> LoadOptions:
    (output_dir / "runs").mkdir(exist_ok=True)
    manifest = {"configuration": configuration, "started_at": "2026-01-01T00:00:00Z"}
    (output_dir / "runs" / "run-manifest.json").write_text(json.dumps(manifest))
    return RunFolder(output_dir).load_options


def test_recorded_options_are_used(tmp_path: Path) -> None:
    recorded = {"opt_scale": 10000, "opt_offset": -1000.0, "s1_units": "linear"}
    assert options_of(tmp_path, **recorded, resample_s1=True) == LoadOptions(
        opt_scale=10000, opt_offset=-1000.0, s1_units="linear", resample_s1=True
    )


@pytest.mark.parametrize("opt_scale", [0, -1.0, float("inf"), float("nan"), "10000", None])
def test_senseless_scales_are_not(tmp_path: Path, opt_scale: object) -> None:
    assert options_of(tmp_path, opt_scale=opt_scale) == LoadOptions()


@pytest.mark.parametrize("opt_offset", [float("inf"), float("nan"), "1", None])
def test_senseless_offsets_are_not(tmp_path: Path, opt_offset: object) -> None:
    assert options_of(tmp_path, opt_offset=opt_offset) == LoadOptions()
