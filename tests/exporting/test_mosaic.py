from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio

from axion_stage3.errors import TileGeoreferenceError
from axion_stage3.exporting.mosaic import mosaic_strips, plan_mosaic
from axion_stage3.exporting.run_export import export_run
from axion_stage3.exporting.seams import SeamLeveller
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.georeference import Georeference
from axion_stage3.tiles.npz_writer import write_npz

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = Path(__file__).parents[2] / "examples" / "neighbours" / "opt_v2"
UTM = "EPSG:32633"
SCENE = make_tile(1, 300, 260).truth
ORIGIN = Georeference(UTM, (10.0, 0.0, 344400.0, 0.0, -10.0, 5294400.0))

Cut = tuple[int, int, int, int]


def joined(
    cuts: dict[str, Cut], scene: NDArray[np.float32] = SCENE
) -> tuple[NDArray[np.float32], Georeference]:
    """Cut tiles from a scene (row, column, height, width) and join them again."""
    tiles = {n: scene[:, r : r + h, c : c + w] for n, (r, c, h, w) in cuts.items()}
    plan = plan_mosaic({n: (ORIGIN.moved(r, c), (h, w)) for n, (r, c, h, w) in cuts.items()})
    return np.concatenate(list(mosaic_strips(plan, tiles.__getitem__, 4)), axis=1), (
        plan.georeference
    )


def test_neighbours_without_overlap_come_back_bit_by_bit() -> None:
    cuts = {f"{r}_{c}": (r, c, 100, 130) for r in (0, 100, 200) for c in (0, 130)}

    pixels, place = joined(cuts)

    assert np.array_equal(pixels, SCENE)
    assert place == ORIGIN


def test_tiles_lie_where_they_say_and_nothing_where_none_is() -> None:
    pixels, place = joined({"b": (150, 100, 60, 60), "a": (20, 40, 50, 70)})

    assert place == ORIGIN.moved(20, 40)
    assert pixels.shape == (4, 190, 120)
    assert np.array_equal(pixels[:, :50, :70], SCENE[:, 20:70, 40:110])
    assert np.array_equal(pixels[:, 130:, 60:], SCENE[:, 150:210, 100:160])
    assert np.isfinite(pixels[0]).sum() == 50 * 70 + 60 * 60


def test_overlaps_pass_smoothly_from_one_tile_to_the_next() -> None:
    plan = plan_mosaic({"a": (ORIGIN, (64, 100)), "b": (ORIGIN.moved(0, 60), (64, 100))})
    tiles = {"a": np.zeros((1, 64, 100), np.float32), "b": np.ones((1, 64, 100), np.float32)}

    (row,) = (strip[0, 32] for strip in mosaic_strips(plan, tiles.__getitem__, 1))

    assert (row[:60] == 0).all()
    assert (row[100:] == 1).all()
    steps = np.diff(row)
    assert (steps >= 0).all()
    assert steps.max() < 2.5 / 40


def test_overlaps_of_equal_tiles_change_nothing() -> None:
    cuts = {f"{r}_{c}": (r, c, 120, 140) for r in (0, 90, 180) for c in (0, 120)}

    pixels, _ = joined(cuts)

    assert np.abs(pixels - SCENE).max() < 1e-6


def test_a_gap_in_one_tile_is_filled_by_the_other() -> None:
    scene = SCENE.copy()
    plan = plan_mosaic({"a": (ORIGIN, (100, 100)), "b": (ORIGIN.moved(0, 50), (100, 100))})
    first = scene[:, :100, :100].copy()
    first[:, 10:20, 60:70] = np.nan
    tiles = {"a": first, "b": scene[:, :100, 50:150]}

    (pixels,) = mosaic_strips(plan, tiles.__getitem__, 4)

    assert np.array_equal(pixels[:, 10:20, 60:70], scene[:, 10:20, 60:70])
    assert np.isfinite(pixels).all()


def test_large_mosaics_come_in_strips_and_load_each_tile_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("axion_stage3.exporting.mosaic._STRIP_VALUES", 1)
    monkeypatch.setattr("axion_stage3.exporting.mosaic.BLOCK_PX", 64)
    loaded = []
    cuts = {f"{r}": (r, 0, 100, 260) for r in (0, 80, 160, 200)}
    tiles = {n: SCENE[:, r : r + h, c : c + w] for n, (r, c, h, w) in cuts.items()}
    plan = plan_mosaic({n: (ORIGIN.moved(r, c), (h, w)) for n, (r, c, h, w) in cuts.items()})

    def load(name: str) -> NDArray[np.float32]:
        loaded.append(name)
        return tiles[name]

    strips = list(mosaic_strips(plan, load, 4))

    assert [strip.shape[1] for strip in strips] == [64, 64, 64, 64, 44]
    assert np.abs(np.concatenate(strips, axis=1) - SCENE).max() < 1e-6
    assert sorted(loaded) == sorted(cuts)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (None, "b has no georeference"),
        (Georeference("EPSG:32632", ORIGIN.transform), "2 coordinate reference systems"),
        (Georeference(UTM, (8.0, 6.0, 0.0, 6.0, -8.0, 0.0)), "b is rotated"),
        (Georeference(UTM, (10.0, 0.0, 0.0, 0.0, 10.0, 0.0)), "b is not north-up"),
        (Georeference(UTM, (20.0, 0.0, 344400.0, 0.0, -20.0, 5294400.0)), "differ in pixel size"),
        (Georeference(UTM, (10.0, 0.0, 344404.0, 0.0, -10.0, 5294400.0)), "not lie on one grid"),
        (ORIGIN.moved(5_000_000, 5_000_000), "lie far apart"),
    ],
)
def test_tiles_that_make_no_mosaic(other: Georeference | None, reason: str) -> None:
    with pytest.raises(TileGeoreferenceError, match=reason) as caught:
        plan_mosaic({"a": (ORIGIN, (10, 10)), "b": (other, (10, 10))})
    assert caught.value.hint


def test_steps_between_tiles_that_touch_are_levelled_near_the_seam_alone() -> None:
    smooth = np.broadcast_to(np.linspace(0.1, 0.3, 120, dtype=np.float32), (2, 60, 120))
    tiles = {"a": smooth[:, :, :60].copy(), "b": smooth[:, :, 60:] + np.float32(0.05)}
    tiles["b"][:, 5, :4] = np.nan
    plan = plan_mosaic({"a": (ORIGIN, (60, 60)), "b": (ORIGIN.moved(0, 60), (60, 60))})

    (plain,) = mosaic_strips(plan, tiles.__getitem__, 2)
    (levelled,) = mosaic_strips(plan, SeamLeveller(plan, tiles.__getitem__), 2)

    step = np.abs(np.diff(levelled, axis=2)).mean(axis=(0, 1))
    assert np.abs(np.diff(plain, axis=2))[:, 10:, 59].min() > 0.05
    assert np.nanmax(np.abs(np.diff(levelled, axis=2))[:, 10:]) < 0.008
    assert np.isfinite(step[:58]).all()
    unchanged = np.abs(levelled - plain)
    assert (unchanged[:, :, :44] == 0).all()
    assert (unchanged[:, :, 76:] == 0).all()
    assert np.array_equal(np.isnan(levelled), np.isnan(plain))


def test_real_neighbours_lie_where_their_scene_has_them(tmp_path: Path) -> None:
    """The names are column and row of each tile in its Sentinel-2 granule, 1,200 m a step."""
    (tmp_path / "run").mkdir()
    tiles = {}
    for path in sorted(NEIGHBOURS.glob("*.npz")):
        with np.load(path) as stored:
            column, row = (int(number) for number in path.stem.split("_"))
            tiles[column, row] = stored["opt_v2"]
            place = {"crs": stored["crs"], "transform": stored["transform"]}
            write_npz(tmp_path / "run" / path.name, {"opt_final": stored["opt_v2"], **place})
    export_run(tmp_path / "run", tmp_path / "gis", is_mosaic=True, is_blended=False)

    with rasterio.open(tmp_path / "gis" / "mosaic.tif") as dataset:
        pixels, bounds = dataset.read(), dataset.bounds
        for (column, row), expected in tiles.items():
            west, north = 300_000 + column * 1200, 5_400_000 - row * 1200
            window = rasterio.windows.from_bounds(
                west, north - 1200, west + 1200, north, dataset.transform
            )
            assert np.array_equal(dataset.read(window=window), expected)
    assert len(tiles) == 6
    assert (bounds.left, bounds.top) == (344_400, 5_294_400)
    across, down = (np.abs(np.diff(pixels, axis=axis)).mean(axis=(0, 3 - axis)) for axis in (2, 1))
    for steps, seams in ((across, [119]), (down, [119, 239])):
        assert steps[seams].max() < 1.3 * np.median(steps)  # the land goes on across the seams
