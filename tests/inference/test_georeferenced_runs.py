"""Georeferences come out of a run as they went in; indices come into its statistics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from inference_workbench import TINY, Watcher, read_output

from axion_stage3.diffusion.checkpoint import save_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.errors import GeoreferenceTableError, UsageError
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.testing.tile_factories import make_tile

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult

UTM = "EPSG:32633"
TRANSFORM = np.array([10.0, 0.0, 344400.0, 0.0, -10.0, 5294400.0])
TABLE = "tile,crs,origin_x,origin_y,pixel_size\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """opt_v2/ and s1/ with a.npz and b.npz, of which a says where it lies."""
    place = {"crs": np.array(UTM), "transform": TRANSFORM}
    for kind in ("opt_v2", "s1"):
        (tmp_path / kind).mkdir()
    for seed, name in enumerate(("a", "b")):
        tile = make_tile(seed, 24)
        extra: dict[str, Any] = place if name == "a" else {}
        np.savez(tmp_path / "opt_v2" / f"{name}.npz", opt_v2=tile.opt_v2, **extra)
        np.savez(tmp_path / "s1" / f"{name}.npz", s1=tile.s1)
    save_checkpoint(tmp_path / "c.pt", GroundingNetwork(TINY), epoch=1, config={"timesteps": 2})
    return tmp_path


def run(folder: Path, **options: Any) -> RunResult:
    return run_inference(
        opt_v2_dir=folder / "opt_v2",
        s1_dir=folder / "s1",
        output_dir=folder / "out",
        checkpoint=folder / "c.pt",
        timesteps=1,
        **options,
    )


def test_a_georeference_goes_from_the_input_into_the_output(folder: Path) -> None:
    assert run(folder).exit_code == 0

    output = read_output(folder / "out" / "a.npz")
    assert str(output["crs"]) == UTM
    assert np.array_equal(output["transform"], TRANSFORM)
    assert output["transform"].dtype == np.float64
    assert "crs" not in read_output(folder / "out" / "b.npz")


def test_a_table_places_tiles_and_a_changed_row_makes_its_tile_anew(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(f"{TABLE}b.npz,{UTM},0,0,10\n")
    run(folder, georeference=table)
    assert read_output(folder / "out" / "b.npz")["transform"][2] == 0
    assert read_output(folder / "out" / "a.npz")["transform"][2] == 344400

    table.write_text(f"{TABLE}b.npz,{UTM},50,0,10\n")
    watcher = Watcher()
    run(folder, georeference=table, observer=watcher)

    assert [outcome.tile for outcome in watcher.outcomes] == ["b.npz"]
    assert read_output(folder / "out" / "b.npz")["transform"][2] == 50


def test_a_table_that_contradicts_a_tile_fails_that_tile(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(f"{TABLE}a.npz,EPSG:32632,0,0,10\nb.npz,{UTM},0,0,10\n")

    result = run(folder, georeference=table)

    assert result.exit_code == 3
    (failed,) = result.failed_tiles
    assert failed.tile_name == "a.npz"
    assert failed.error_code == "AX-E416"
    assert "EPSG:32632" in failed.reason
    assert UTM in failed.reason


def test_a_table_about_other_tiles_stops_the_run(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(f"{TABLE}other.npz,{UTM},0,0,10\n")

    with pytest.raises(GeoreferenceTableError):
        run(folder, georeference=table)


def test_indices_come_into_the_statistics(folder: Path) -> None:
    run(folder)
    without = json.loads((folder / "out" / "a.json").read_text())
    run(folder, indices="evi2,NDVI", existing="overwrite")

    statistics = json.loads((folder / "out" / "a.json").read_text())
    *_, red, nir = read_output(folder / "out" / "a.npz")["opt_final"].astype(np.float64)
    evi2 = 2.5 * (nir - red) / (nir + 2.4 * red + 1)
    assert statistics["evi2_mean"] == pytest.approx(evi2.mean(), rel=1e-6)
    assert statistics["evi2_std"] == pytest.approx(evi2.std(), rel=1e-6)
    added = {"evi2_mean", "evi2_std", "ndvi_std"}
    assert {key: value for key, value in statistics.items() if key not in added} == without


def test_an_unknown_index_stops_the_run_before_it_begins(folder: Path) -> None:
    with pytest.raises(UsageError, match="'NDXX'"):
        run(folder, indices="NDXX")
    assert not (folder / "out").exists()
