"""Pairs of GeoTIFFs: found, understood, brought onto one grid, or refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from raster_workbench import PLACE, UTM, moved, write_tif

from axion_stage3.errors import (
    InputFolderError,
    NoTilePairsError,
    TileCollisionError,
    TileGeoreferenceError,
    TilePixelsError,
    TileReadError,
    TileShapeError,
    TileUnitsError,
)
from axion_stage3.rasters.geotiff_writing import GeotiffStyle, write_geotiff
from axion_stage3.rasters.radar_on_grid import CUT, WARPED
from axion_stage3.rasters.raster_bands import OPTICAL_FACTS, RasterBands
from axion_stage3.rasters.raster_pairing import RasterPair, find_raster_pairs, has_rasters
from axion_stage3.rasters.raster_tiles import OpenPair, load_raster_pair
from axion_stage3.rasters.rasterio_access import gdal_session
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.georeference import Georeference, read_georeference
from axion_stage3.tiles.npz_reader import NpzArchive
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import LoadOptions
from axion_stage3.tiles.units import linear_to_db
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from pathlib import Path

TILE = make_tile(2, 64, 80)
OPT, S1 = TILE.opt_v2, TILE.s1
LINEAR = np.asarray(10 ** (S1 / 10), np.float32)
RESAMPLE = LoadOptions(resample_s1=True)


def pair_of(
    folder: Path,
    optical: dict[str, Any] | None = None,
    radar: dict[str, Any] | None = None,
    opt: np.ndarray[Any, Any] = OPT,
    s1: np.ndarray[Any, Any] = S1,
) -> RasterPair:
    opt_path = write_tif(folder / "opt" / "a.tif", opt, **(optical or {}))
    s1_path = write_tif(folder / "s1" / "a.tif", s1, **(radar or {}))
    return RasterPair("a.npz", opt_path, s1_path)


def test_a_pair_of_rasters_is_the_same_tile(tmp_path: Path) -> None:
    tile = load_raster_pair(pair_of(tmp_path), LoadOptions())

    assert np.array_equal(tile.opt_v2, OPT)
    assert np.array_equal(tile.s1, S1)
    assert tile.valid_mask is None
    assert tile.georeference == Georeference(UTM, PLACE)  # type: ignore[arg-type]


def test_from_npz_to_geotiff_and_back_nothing_changes(tmp_path: Path) -> None:
    place = Georeference.of(UTM, (10.0, 0.0, 344400.1, 0.0, -10.0, 5294400.7))
    write_npz(tmp_path / "a.npz", {"opt_final": OPT, **place.as_arrays()})
    (tmp_path / "opt").mkdir()
    bands = RasterBands(OPT, OPTICAL_FACTS)
    write_geotiff(tmp_path / "opt" / "a.tif", bands, place, GeotiffStyle(is_cog=True))
    s1_path = write_tif(tmp_path / "s1" / "a.tif", S1, transform=place.transform)
    tile = load_raster_pair(RasterPair("a.npz", tmp_path / "opt" / "a.tif", s1_path), LoadOptions())
    assert tile.georeference is not None
    write_npz(tmp_path / "b.npz", {"opt_final": tile.opt_v2, **tile.georeference.as_arrays()})

    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with NpzArchive(tmp_path / "b.npz") as archive:
        assert read_georeference(archive) == place


def test_folders_are_matched_with_bands_in_one_file_or_several(tmp_path: Path) -> None:
    opt_dir, s1_dir = tmp_path / "o", tmp_path / "s"
    write_tif(opt_dir / "x" / "one.tif", OPT)
    write_tif(s1_dir / "one.TIF", S1)
    for number, band in zip(("B08", "b4", "B03", "blue"), OPT[::-1], strict=True):
        write_tif(opt_dir / f"many_{number}.tif", band)
    for name, band in zip(("VH", "vv"), S1[::-1], strict=True):
        write_tif(s1_dir / f"many_{name}.tiff", band)
    write_tif(opt_dir / "alone.tif", OPT)
    write_tif(opt_dir / ".hidden.tif", OPT)

    pairing = find_raster_pairs(opt_dir, s1_dir, output_dir=opt_dir / "out")

    assert [pair.name for pair in pairing.pairs] == ["many.npz", "x/one.npz"]
    assert pairing.unmatched_opt_v2 == ("alone",)
    assert has_rasters(opt_dir)
    for pair in pairing.pairs:
        assert isinstance(pair, RasterPair)
        tile = load_raster_pair(pair, LoadOptions())
        assert np.array_equal(tile.opt_v2, OPT)
        assert np.array_equal(tile.s1, S1)


def test_large_rasters_are_scenes(tmp_path: Path) -> None:
    write_tif(tmp_path / "o" / "a.tif", np.zeros((4, 16, 2049), np.uint8))
    write_tif(tmp_path / "s" / "a.tif", np.zeros((2, 16, 16), np.uint8))

    (pair,) = find_raster_pairs(tmp_path / "o", tmp_path / "s").pairs

    assert isinstance(pair, RasterPair)
    assert (pair.name, pair.is_scene) == ("a.tif", True)


@pytest.mark.parametrize("name", ["runs/a.tif", "inference_summary.tif"])
def test_names_of_the_documents_of_a_run_are_refused(name: str, tmp_path: Path) -> None:
    for kind, pixels in (("o", OPT), ("s", S1)):
        write_tif(tmp_path / kind / name, pixels)
    with pytest.raises(TileCollisionError, match="where the run keeps its own documents"):
        find_raster_pairs(tmp_path / "o", tmp_path / "s")


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.tif", "a.tiff"), ("a_B02.tif", "a_blue.tif"), ("a.tif", "a_B02.tif")],
)
def test_two_files_of_one_raster_are_refused(first: str, second: str, tmp_path: Path) -> None:
    for name in (first, second):
        write_tif(tmp_path / "optical" / name, np.zeros((4, 20, 20), np.float32))
    write_tif(tmp_path / "radar" / "a.tif", np.zeros((2, 20, 20), np.float32))

    with pytest.raises(TileCollisionError, match="would be the same raster") as caught:
        find_raster_pairs(tmp_path / "optical", tmp_path / "radar")

    assert first in caught.value.message
    assert second in caught.value.message


def test_folders_without_pairs(tmp_path: Path) -> None:
    write_tif(tmp_path / "o" / "a.tif", OPT)
    write_tif(tmp_path / "s" / "b.tif", S1)

    with pytest.raises(NoTilePairsError, match=r"No matching tile pairs found between .*/o/ and "):
        find_raster_pairs(tmp_path / "o", tmp_path / "s")
    with pytest.raises(InputFolderError, match="does not exist"):
        find_raster_pairs(tmp_path / "o", tmp_path / "nowhere")
    for folder in ("o", "s"):
        write_tif(tmp_path / folder / "A.tif", OPT if folder == "o" else S1)
        write_tif(tmp_path / folder / "a.tif", OPT if folder == "o" else S1)
    with pytest.raises(TileCollisionError, match="one place"):
        find_raster_pairs(tmp_path / "o", tmp_path / "s")


@pytest.mark.parametrize(
    ("optical", "radar", "kind", "reason"),
    [
        ({"crs": None}, {}, TileGeoreferenceError, r"optical raster .* has no .*\(CRS\)"),
        ({}, {"crs": None}, TileGeoreferenceError, r"radar raster .* has no .*\(CRS\)"),
        ({"transform": (8, 6, 0, 6, -8, 0)}, {}, TileGeoreferenceError, "is rotated"),
        ({"transform": (10, 0, 0, 0, 10, 0)}, {}, TileGeoreferenceError, "is south-up"),
        ({}, {"transform": (10, 0, 0, 0, 10, 0)}, TileGeoreferenceError, "is south-up"),
        ({}, {"transform": moved(500, 0)}, TileGeoreferenceError, "do not overlap"),
        ({}, {"crs": "EPSG:32733"}, TileGeoreferenceError, "do not overlap"),
        ({}, {"transform": moved(0.5, 0)}, TileShapeError, "on another grid"),
        ({}, {"crs": "EPSG:3857"}, TileGeoreferenceError, "do not overlap"),
    ],
)
def test_places_that_do_not_fit(
    tmp_path: Path,
    optical: dict[str, Any],
    radar: dict[str, Any],
    kind: type[Exception],
    reason: str,
) -> None:
    with pytest.raises(kind, match=reason) as caught:
        load_raster_pair(pair_of(tmp_path, optical, radar), LoadOptions())
    assert caught.value.hint  # type: ignore[attr-defined]
    assert caught.value.tile_name == "a.npz"  # type: ignore[attr-defined]


def test_bands_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(TileShapeError, match=r"radar raster .* has 1 band; 2 are needed: vv, vh"):
        load_raster_pair(pair_of(tmp_path, s1=S1[:1]), LoadOptions())
    with pytest.raises(TileShapeError, match=r"optical raster .* has 3 bands; 4 are needed"):
        load_raster_pair(pair_of(tmp_path, opt=OPT[:3]), LoadOptions())
    with pytest.raises(TileShapeError, match="at least 16 x 16 px"):
        load_raster_pair(pair_of(tmp_path, opt=OPT[:, :9], s1=S1[:, :9]), LoadOptions())
    (tmp_path / "s1" / "a.tif").write_bytes(b"II*\0 no tiff")
    pair = RasterPair("a.npz", tmp_path / "opt" / "a.tif", tmp_path / "s1" / "a.tif")
    with pytest.raises(TileReadError, match="cannot be read as GeoTIFF"):
        load_raster_pair(pair, LoadOptions())


def test_every_truncation_is_a_read_error(tmp_path: Path) -> None:
    pair = pair_of(tmp_path)
    whole = pair.opt_v2_path.read_bytes()
    for share in (0.01, 0.3, 0.9):
        pair.opt_v2_path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(TileReadError):
            load_raster_pair(pair, LoadOptions())


def test_radar_that_ends_early_leaves_the_rest_without_data(tmp_path: Path) -> None:
    larger = np.pad(S1, ((0, 0), (8, 0), (8, 0)), mode="edge")[:, :50]
    pair = pair_of(tmp_path, radar={"transform": moved(-8, -8)}, s1=larger)

    with OpenPair(pair, LoadOptions()) as opened:
        assert opened.methods["s1_grid"] == CUT
        _, radar = opened.read(Window(0, 64, 0, 80))
    tile = load_raster_pair(pair, LoadOptions())

    assert np.array_equal(radar[:, :42], S1[:, :42])
    assert np.isnan(radar[:, 42:]).all()
    assert tile.valid_mask is not None
    assert np.array_equal(tile.valid_mask, np.arange(64)[:, None] < np.full((1, 80), 42))
    assert np.isfinite(tile.s1).all()


def test_nodata_is_filled_and_marked(tmp_path: Path) -> None:
    opt = (OPT * 10000).astype(np.uint16)
    opt[:, 10:14, 20:30] = 0
    s1 = S1.copy()
    s1[0, 40, 40] = -9999
    s1[1, 41, 41] = np.nan
    pair = pair_of(tmp_path, {"scales": (1e-4,) * 4}, {"nodata": -9999.0}, opt=opt, s1=s1)

    tile = load_raster_pair(pair, LoadOptions())

    assert tile.valid_mask is not None
    assert (~tile.valid_mask).sum() == 42
    assert not tile.valid_mask[10:14, 20:30].any()
    assert np.isfinite(tile.opt_v2).all()
    assert tile.opt_v2[:, 10:14, 20:30].min() > 0
    with pytest.raises(TilePixelsError, match="no pixel has data"):
        load_raster_pair(pair_of(tmp_path, opt=np.zeros_like(OPT)), LoadOptions())


S2_TAGS = {"BOA_QUANTIFICATION_VALUE": "10000", "PROCESSING_BASELINE": "05.09"}


@pytest.mark.parametrize(
    ("offset", "stored"),
    [
        (-1000, {"tags": {**S2_TAGS, "BOA_ADD_OFFSET": "-1000"}}),
        (0, {"tags": {**S2_TAGS, "BOA_ADD_OFFSET": "0"}}),
        (0, {"tags": {**S2_TAGS, "PROCESSING_BASELINE": "03.01"}}),
        (-1000, {"scales": (1e-4,) * 4, "offsets": (-0.1,) * 4}),
        (0, {"scales": (1e-4,) * 4}),
    ],
)
def test_sentinel2_products_are_recognised_by_their_tags(
    tmp_path: Path, offset: int, stored: dict[str, Any]
) -> None:
    numbers = np.rint(OPT * 10000 - offset).astype(np.uint16)

    tile = load_raster_pair(pair_of(tmp_path, stored, opt=numbers), LoadOptions())

    assert np.abs(tile.opt_v2 - OPT).max() < 1e-4


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (S2_TAGS, r"processing baseline 05\.09, .* and no offset"),
        ({"QUANTIFICATION_VALUE": "10000"}, "neither an offset nor a processing baseline"),
        ({"PROCESSING_BASELINE": "05.09"}, "no quantification value"),
        ({"BOA_ADD_OFFSET": "-1000"}, "no quantification value"),
    ],
)
def test_what_tags_say_by_half_is_reported_and_not_guessed(
    tmp_path: Path, tags: dict[str, str], reason: str
) -> None:
    numbers = np.rint(OPT * 10000 + 1000).astype(np.uint16)
    pair = pair_of(tmp_path, {"tags": tags}, opt=numbers)

    with pytest.raises(TileUnitsError, match=reason) as caught:
        load_raster_pair(pair, LoadOptions())
    assert "--opt-offset -1000" in caught.value.hint
    tile = load_raster_pair(pair, LoadOptions(opt_scale=10000, opt_offset=-1000))
    assert np.abs(tile.opt_v2 - OPT).max() < 1e-4


def test_digital_numbers_without_any_tag_are_reported(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, opt=np.rint(OPT * 10000).astype(np.uint16))

    with pytest.raises(TileUnitsError, match="looks like digital numbers"):
        load_raster_pair(pair, LoadOptions())


@pytest.mark.parametrize(
    "said", [{"units": ("linear", "linear")}, {"tags": {"UNITS": "Linear Power"}}]
)
def test_linear_radar_is_recognised_by_its_tags(tmp_path: Path, said: dict[str, Any]) -> None:
    tile = load_raster_pair(pair_of(tmp_path, radar=said, s1=LINEAR), LoadOptions())

    assert np.abs(tile.s1 - S1).max() < 1e-3


def test_linear_radar_without_tags_is_reported(tmp_path: Path) -> None:
    with pytest.raises(TileUnitsError, match="looks like linear backscatter") as caught:
        load_raster_pair(pair_of(tmp_path, s1=LINEAR), LoadOptions())
    assert "--s1-units linear" in caught.value.hint
    options = LoadOptions(s1_units="linear")
    assert np.array_equal(
        load_raster_pair(pair_of(tmp_path, s1=LINEAR), options).s1, linear_to_db(LINEAR)
    )


@pytest.mark.parametrize(
    ("units", "options", "reason"),
    [
        (("amplitude", "amplitude"), LoadOptions(), "holds amplitudes"),
        (("dB", "linear"), LoadOptions(), "say both"),
        (("dB", "dB"), LoadOptions(s1_units="linear"), "is in dB by its tags"),
    ],
)
def test_radar_tags_that_contradict(
    tmp_path: Path, units: tuple[str, ...], options: LoadOptions, reason: str
) -> None:
    with pytest.raises(TileUnitsError, match=reason):
        load_raster_pair(pair_of(tmp_path, radar={"units": units}), options)


def test_warped_radar_lies_where_it_should(tmp_path: Path) -> None:
    """A plane of power is reproduced exactly by bilinear interpolation, wherever the grids lie."""
    columns, rows = np.meshgrid(np.arange(120), np.arange(110))
    plane = (0.02 + 1e-4 * columns + 2e-4 * rows).astype(np.float32)
    s1 = np.stack([plane, plane / 4])
    pair = pair_of(
        tmp_path, radar={"transform": moved(-10.3, -12.6), "units": ("power",) * 2}, s1=s1
    )

    with OpenPair(pair, RESAMPLE) as opened:
        assert opened.methods["s1_grid"] == WARPED
        _, radar = opened.read(Window(0, 64, 0, 80))

    there_columns, there_rows = np.meshgrid(np.arange(80) + 10.3, np.arange(64) + 12.6)
    expected = 0.02 + 1e-4 * there_columns + 2e-4 * there_rows
    assert np.abs(10 ** (radar[0] / 10) - expected).max() < 1e-6
    assert np.abs(10 ** (radar[1] / 10) - expected / 4).max() < 1e-6


def test_warped_windows_fit_together_to_the_last_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    s1 = random.uniform(-25, -5, (2, 140, 150)).astype(np.float32)
    longitude = (1.4e-4, 0.0, 12.925, 0.0, -1.0e-4, 47.785)
    pair = pair_of(tmp_path, radar={"crs": "EPSG:4326", "transform": longitude}, s1=s1)

    with OpenPair(pair, RESAMPLE) as opened:
        _, whole = opened.read(Window(0, 64, 0, 80))
        _, part = opened.read(Window(13, 51, 7, 66))

    assert np.isfinite(whole).mean() > 0.5
    assert np.array_equal(part, whole[:, 13:51, 7:66], equal_nan=True)


def test_places_are_right_to_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    """A plane of power over longitude and latitude gives away where each pixel was taken from."""
    west, north, size = 12.9, 47.80, 1e-4
    columns, rows = np.meshgrid(np.arange(900), np.arange(600))
    s1 = np.stack([0.01 + 1e-5 * columns, 0.01 + 1e-5 * rows]).astype(np.float32)
    place = (size, 0.0, west, 0.0, -size, north)
    big = np.full((4, 300, 300), 0.2, np.float32)
    radar = {"crs": "EPSG:4326", "transform": place, "units": ("power",) * 2}
    with OpenPair(pair_of(tmp_path, None, radar, opt=big, s1=s1), RESAMPLE) as opened:
        _, found = opened.read(Window(0, 300, 0, 300))
    x, y = np.meshgrid(344400 + 10 * (np.arange(300) + 0.5), 5294400 - 10 * (np.arange(300) + 0.5))
    moved_to = rasterio.warp.transform(UTM, "EPSG:4326", x.ravel(), y.ravel())
    longitude, latitude = (np.array(values).reshape(300, 300) for values in moved_to)

    power = 10 ** (found.astype(np.float64) / 10)
    assert np.abs((power[0] - 0.01) / 1e-5 - ((longitude - west) / size - 0.5)).max() < 0.01
    assert np.abs((power[1] - 0.01) / 1e-5 - ((north - latitude) / size - 0.5)).max() < 0.01


def test_ground_control_points_are_no_grid(tmp_path: Path) -> None:
    pair = pair_of(tmp_path)
    corners = [(row, column) for row in (0, 63) for column in (0, 79)]
    points = [rasterio.control.GroundControlPoint(r, c, c, -r) for r, c in corners]
    with (
        gdal_session(),
        rasterio.open(
            pair.s1_path, "w", driver="GTiff", count=2, height=64, width=80, dtype="float32"
        ) as dataset,
    ):
        dataset.write(S1)
        dataset.gcps = (points, rasterio.CRS.from_epsg(4326))

    with pytest.raises(TileGeoreferenceError, match="4 ground control points") as caught:
        load_raster_pair(pair, LoadOptions())
    assert "RTC" in caught.value.hint
