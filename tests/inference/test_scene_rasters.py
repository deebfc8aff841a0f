"""What a grounded scene is: a raster without a seam, with the statistics of the whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
import scene_workbench
from scene_workbench import PLACE, TRUE_OVERLAP, make_scenes, read, run, set_sizes

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.inference.predictor import Predictor
from axion_stage3.inference.scene_noise import SceneNoise
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEIGHT, WIDTH = TRUE_OVERLAP * scene_workbench.HEIGHT, TRUE_OVERLAP * scene_workbench.WIDTH


@pytest.fixture(scope="module", autouse=True)
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    make_scenes(folder, TRUE_OVERLAP)
    with pytest.MonkeyPatch.context() as patch:
        set_sizes(patch, TRUE_OVERLAP)
        yield folder


@pytest.fixture(scope="module")
def grounded(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene, grounded without a stop."""
    output_dir = tmp_path_factory.mktemp("grounded") / "out"
    assert run(scenes, output_dir).exit_code == 0
    return output_dir


def test_a_scene_becomes_a_georeferenced_raster(grounded: Path) -> None:
    with rasterio.open(grounded / "scene.tif") as dataset:
        assert dataset.shape == (HEIGHT, WIDTH)
        assert dataset.transform == PLACE
        assert dataset.crs.to_epsg() == 32633
        assert dataset.descriptions == ("blue", "green", "red", "nir")
        tags = dataset.tags()
        assert tags["AXION_TIMESTEPS"] == "1"
        assert tags["AXION_S1_GRID"].startswith("cut on the common grid")
        assert dataset.overviews(1) == [2]
    assert not (grounded / "runs" / "scene-strips").exists() or not list(
        (grounded / "runs" / "scene-strips").iterdir()
    )


def test_nodata_goes_in_and_comes_out(grounded: Path) -> None:
    pixels = read(grounded / "scene.tif")

    is_lost = np.isnan(pixels).all(axis=0)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:60, :88] = True
    expected[200:208, 600:640] = True
    assert np.array_equal(is_lost, expected)
    assert np.array_equal(np.isnan(pixels).any(axis=0), expected)


def test_there_is_no_seam(scenes: Path, grounded: Path) -> None:
    """The change by the network is the same as when the whole scene is one window."""
    pixels, opt_v2 = read(grounded / "scene.tif"), read(scenes / "opt" / "scene.tif")
    tile = make_tile(4, HEIGHT, WIDTH)
    predictor = Predictor(load_checkpoint(scenes / "c.pt"), "cpu")
    prediction = predictor.predict(
        tile.opt_v2[None], tile.s1[None], ["x"], timesteps=1, window_px=2048
    )
    inside = np.s_[:, 215:, 100:590]
    whole, joined = prediction.opt_final[0].numpy()[inside], pixels[inside]

    assert np.abs(whole - opt_v2[inside]).max() > 1e-2
    assert np.abs(whole - joined).max() < 3e-4
    for axis in (1, 2):  # steps from line to line are nowhere larger, borders of windows included
        steps, expected = (
            np.abs(np.diff(view - opt_v2[inside], axis=axis)).mean(axis=(0, 3 - axis))
            for view in (joined, whole)
        )
        assert (steps < 1.01 * expected).all()


def test_statistics_are_those_of_the_whole(scenes: Path, grounded: Path) -> None:
    pixels, opt_v2 = read(grounded / "scene.tif"), read(scenes / "opt" / "scene.tif")
    s1 = read(scenes / "s1" / "scene.tif")
    is_valid = np.isfinite(pixels).all(axis=0)
    flat = [np.ascontiguousarray(x[:, is_valid][:, None]) for x in (pixels, opt_v2, s1)]
    expected = tile_statistics("scene.tif", *flat)

    written = json.loads((grounded / "scene.json").read_text())

    assert set(written) == set(expected)
    for key, value in expected.items():
        if key != "tile_name":
            assert written[key] == pytest.approx(value, rel=1e-5, abs=1e-7)
    summary = json.loads((grounded / "inference_summary.json").read_text())
    assert summary["processed"] == 1


def test_draws_have_a_spread_and_do_not_depend_on_the_windows(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(scenes, tmp_path / "a", timesteps=2, samples=2)
    monkeypatch.setattr("axion_stage3.inference.scene_rows.COLUMN_PX", 400)
    run(scenes, tmp_path / "b", timesteps=2, samples=2)

    first, second = read(tmp_path / "a" / "scene.tif"), read(tmp_path / "b" / "scene.tif")
    assert first.shape == (8, HEIGHT, WIDTH)
    assert np.nanmean(first[4:]) > 1e-4
    assert np.nanmax(np.abs(first[:4] - second[:4])) < 0.01 * np.nanstd(first[:4])


def test_the_noise_of_overlapping_windows_is_the_same() -> None:
    noise = SceneNoise(7, "a.tif")
    left, right = Window(500, 560, 400, 1100), Window(510, 530, 900, 1600)

    first, second = noise.cut(left, 0), noise.cut(right, 0)

    assert np.array_equal(first[..., 10:30, 500:], second[..., :, :200])
    assert not np.array_equal(first, noise.cut(left, 1))
    assert not np.array_equal(first, noise.cut(left, 0, 0))
    assert abs(float(first.std()) - 1) < 0.02
