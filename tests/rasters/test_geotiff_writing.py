from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from axion_stage3.errors import OutputError, TileGeoreferenceError
from axion_stage3.rasters.geotiff_writing import (
    GeotiffStyle,
    RowWriter,
    overview_factors,
    write_geotiff,
)
from axion_stage3.rasters.raster_bands import OPTICAL_FACTS, BandFacts, RasterBands
from axion_stage3.tiles.georeference import Georeference

if TYPE_CHECKING:
    from pathlib import Path

UTM = "EPSG:32633"
PLACE = Georeference(UTM, (10.0, 0.0, 344400.0, 0.0, -10.0, 5294400.0))
STYLES = [GeotiffStyle(is_cog, tags={"AXION_SEED": "7"}) for is_cog in (False, True)]


def some_bands(height: int = 40, width: int = 56, seed: int = 0) -> RasterBands:
    pixels = np.random.default_rng(seed).uniform(-0.1, 1.2, (4, height, width)).astype(np.float32)
    pixels[:, 3, 5] = np.nan
    return RasterBands(pixels, OPTICAL_FACTS)


def read(path: Path) -> tuple[np.ndarray[Any, Any], Georeference]:
    with rasterio.open(path) as dataset:
        return dataset.read(), Georeference.of(dataset.crs.to_string(), dataset.transform)


@pytest.mark.parametrize("style", STYLES, ids=["geotiff", "cog"])
def test_everything_is_read_back(tmp_path: Path, style: GeotiffStyle) -> None:
    bands = some_bands()
    path = tmp_path / "a.tif"

    n_bytes = write_geotiff(path, bands, PLACE, style)

    assert n_bytes == path.stat().st_size
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), bands.pixels, equal_nan=True)
        assert dataset.descriptions == ("blue", "green", "red", "nir")
        assert dataset.units == ("reflectance",) * 4
        assert np.isnan(dataset.nodata)
        assert not dataset.read_masks(1)[3, 5]
        assert dataset.tags()["AXION_SEED"] == "7"
        assert dataset.tags(4)["COMMON_NAME"] == "nir"
        assert dataset.profile["compress"] == "deflate"
        assert dataset.colorinterp[2].name == "red"
    assert read(path)[1] == PLACE
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_gdalinfo_says_the_same(tmp_path: Path) -> None:
    gdalinfo = shutil.which("gdalinfo")
    if gdalinfo is None:
        pytest.skip("gdalinfo (gdal-bin) is not installed")
    path = tmp_path / "a.tif"
    write_geotiff(path, some_bands(), PLACE, STYLES[0])

    said = subprocess.run([gdalinfo, "-json", path], capture_output=True, check=True).stdout
    document = json.loads(said.replace(b"NaN", b'"NaN"').replace(b'""NaN""', b'"NaN"'))

    c, a, b, f, d, e = document["geoTransform"]
    assert (a, b, c, d, e, f) == PLACE.transform
    assert [band["description"] for band in document["bands"]] == ["blue", "green", "red", "nir"]
    assert {str(band["noDataValue"]).lower() for band in document["bands"]} == {"nan"}
    assert 'ID["EPSG",32633]' in document["coordinateSystem"]["wkt"]
    assert document["metadata"][""]["AXION_SEED"] == "7"
    assert document["metadata"]["IMAGE_STRUCTURE"]["PREDICTOR"] == "3"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.tuples(*[st.floats(-1e7, 1e7, allow_subnormal=False)] * 2),
    st.floats(1e-6, 1e4),
    st.sampled_from([(1, 0, 0, -1), (1, 0, 0, 1), (0.8, 0.6, 0.6, -0.8)]),
)
def test_any_place_is_kept(
    tmp_path: Path,
    origin: tuple[float, float],
    size: float,
    turn: tuple[float, float, float, float],
) -> None:
    a, b, d, e = (size * value for value in turn)
    place = Georeference.of(UTM, (a, b, origin[0], d, e, origin[1]))
    path = tmp_path / "a.tif"
    write_geotiff(path, some_bands(16, 16), place, STYLES[0])

    assert read(path)[1].transform == place.transform


def test_integers_have_scale_and_nodata(tmp_path: Path) -> None:
    bands = some_bands()
    wide = BandFacts("SR", "simple ratio", integer_scale=1e-2)
    pixels = np.concatenate([bands.pixels, np.full((1, 40, 56), 1e6, np.float32)])
    path = tmp_path / "a.tif"

    write_geotiff(
        path, RasterBands(pixels, (*OPTICAL_FACTS, wide)), PLACE, GeotiffStyle(stored_type="int16")
    )

    with rasterio.open(path) as dataset:
        stored = dataset.read(masked=True)
        assert dataset.nodata == -32768
        assert dataset.scales == (1e-4,) * 4 + (1e-2,)
        assert dataset.profile["dtype"] == "int16"
    restored = stored.astype(np.float64) * np.array(dataset.scales)[:, None, None]
    assert np.abs(restored[:4] - bands.pixels).max() <= 0.5e-4 + 1e-7
    assert stored.mask[:4, 3, 5].all()
    assert restored[4].max() == pytest.approx(327.67)  # held to the end of the range


@pytest.mark.parametrize("style", STYLES, ids=["geotiff", "cog"])
def test_rows_give_the_same_raster_as_the_whole(tmp_path: Path, style: GeotiffStyle) -> None:
    bands = some_bands(1100, 520)
    whole, rows = tmp_path / "whole.tif", tmp_path / "rows.tif"
    write_geotiff(whole, bands, PLACE, style)
    with RowWriter(rows, bands.facts, bands.size, PLACE, style) as writer:
        for start in range(0, 1100, 370):
            writer.write_rows(bands.pixels[:, start : start + 370])
            assert not rows.exists()

    assert np.array_equal(read(rows)[0], read(whole)[0], equal_nan=True)
    assert read(rows)[1] == PLACE
    for path in (whole, rows):
        with rasterio.open(path) as dataset:
            assert dataset.overviews(1) == [2, 4]
            assert dataset.block_shapes[0] == (512, 512)
            assert dataset.tags()["AXION_SEED"] == "7"
        if style.is_cog:
            assert cog_validate(path, strict=True)[0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rows.tif", "whole.tif"]


def test_small_cogs_are_valid(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", some_bands(), PLACE, STYLES[1])

    is_valid, errors, warnings = cog_validate(tmp_path / "a.tif", strict=True)
    assert (is_valid, errors, warnings) == (True, [], [])


def test_nothing_stays_of_a_raster_that_was_not_finished(tmp_path: Path) -> None:
    bands = some_bands(64, 64)

    def begin() -> None:
        with RowWriter(tmp_path / "a.tif", bands.facts, bands.size, PLACE, STYLES[0]) as writer:
            writer.write_rows(bands.pixels[:, :32])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert list(tmp_path.iterdir()) == []


def test_wrong_targets_and_places_are_named(tmp_path: Path) -> None:
    bands = some_bands()
    with pytest.raises(OutputError, match="missing"):
        write_geotiff(tmp_path / "missing" / "a.tif", bands, PLACE, STYLES[0])
    writer = RowWriter(tmp_path / "missing" / "a.tif", bands.facts, bands.size, PLACE, STYLES[0])
    with pytest.raises(OutputError, match="missing"), writer:
        pass
    assert not rasterio.env.hasenv(), "GDAL's session is left where the file cannot be made"
    for crs in ("EPSG:999999", "nowhere"):
        place = Georeference(crs, PLACE.transform)
        with pytest.raises(TileGeoreferenceError, match=crs):
            write_geotiff(tmp_path / "a.tif", bands, place, STYLES[0])


@pytest.mark.parametrize(
    ("size", "factors"),
    [((120, 120), []), ((512, 512), []), ((513, 20), [2]), ((10980, 10980), [2, 4, 8, 16, 32])],
)
def test_overviews_end_in_one_block(size: tuple[int, int], factors: list[int]) -> None:
    assert overview_factors(size) == factors
