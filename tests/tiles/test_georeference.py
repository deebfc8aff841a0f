from __future__ import annotations

import io
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axion_stage3.errors import TileError, TileGeoreferenceError, TileReadError
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.georeference import Georeference, canonical_crs, read_georeference
from axion_stage3.tiles.npz_reader import NpzArchive
from axion_stage3.tiles.npz_writer import encode_npz
from axion_stage3.tiles.pairing import TilePair
from axion_stage3.tiles.tile_loading import LoadOptions, load_pair

if TYPE_CHECKING:
    from pathlib import Path

UTM = "EPSG:32633"
TRANSFORM = (10.0, 0.0, 344400.0, 0.0, -10.0, 5294400.0)
TILE = make_tile(5, 32)
PLACE = {"crs": np.array(UTM), "transform": np.array(TRANSFORM)}


def stored(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read(content: bytes) -> Georeference | None:
    with NpzArchive(content) as archive:
        return read_georeference(archive)


def load(
    tmp_path: Path,
    optical: dict[str, Any],
    radar: dict[str, Any],
    table: Georeference | None = None,
    s1: np.ndarray[Any, Any] = TILE.s1,
    options: LoadOptions | None = None,
) -> Georeference | None:
    pair = TilePair("a.npz", tmp_path / "o.npz", tmp_path / "s.npz", table)
    pair.opt_v2_path.write_bytes(stored(opt_v2=TILE.opt_v2, **optical))
    pair.s1_path.write_bytes(stored(s1=s1, **radar))
    return load_pair(pair, options or LoadOptions()).georeference


@pytest.mark.parametrize(
    "transform",
    [TRANSFORM, (*TRANSFORM, 0, 0, 1), np.array((*TRANSFORM, 0, 0, 1)).reshape(3, 3)],
    ids=["six", "nine", "matrix"],
)
@pytest.mark.parametrize(
    "crs",
    [np.array(UTM), np.array([UTM]), np.array(UTM, dtype=">U10"), np.array(UTM.encode())],
    ids=["text", "list", "big-endian", "bytes"],
)
def test_what_numpy_stores_is_read(crs: Any, transform: Any) -> None:
    assert read(stored(crs=crs, transform=np.array(transform))) == Georeference(UTM, TRANSFORM)


def test_a_tile_without_georeference_has_none() -> None:
    assert read(stored(opt_v2=TILE.opt_v2)) is None


@given(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 6))
def test_what_is_written_is_read_to_the_last_bit(transform: tuple[float, ...]) -> None:
    try:
        place = Georeference.of(UTM, transform)
    except ValueError:
        return
    content = b"".join(encode_npz(place.as_arrays()))

    assert read(content) == place
    with np.load(io.BytesIO(content)) as file:  # numpy reads it without pickle
        assert str(file["crs"]) == UTM


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"crs": np.array(UTM)}, "has crs but no transform"),
        ({"transform": np.array(TRANSFORM)}, "has transform but no crs"),
        ({**PLACE, "crs": np.array(" ")}, "the CRS is empty"),
        ({**PLACE, "crs": np.array(32633)}, "not a single text"),
        ({**PLACE, "crs": np.array([UTM, UTM])}, "not a single text"),
        ({**PLACE, "crs": np.array("E" * 8193)}, "a text of 8,193 characters"),
        ({**PLACE, "crs": np.array("EPSG:\x1b[2J")}, "control characters"),
        ({**PLACE, "transform": np.array(TRANSFORM[:5])}, "not six numbers"),
        ({**PLACE, "transform": np.array((*TRANSFORM, 0, 1, 1))}, "6 numbers"),
        ({**PLACE, "transform": np.array((np.nan, *TRANSFORM[1:]))}, "NaN or infinite"),
        ({**PLACE, "transform": np.zeros(6)}, "without an area"),
        ({**PLACE, "transform": np.array(["1"] * 6)}, "real numbers"),
    ],
)
def test_georeferences_that_cannot_be_used(arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(TileGeoreferenceError, match=reason) as caught:
        read(stored(**arrays))
    assert caught.value.hint


@pytest.mark.parametrize(
    "crs",
    [
        "http://127.0.0.1:9/x",
        "https://example.org/a[b]",
        "/vsicurl/http://127.0.0.1:9/x",
        "/etc/secret.wkt",
        "secret.wkt",
        "C:\\secret.wkt",
        "ESRI::secret.wkt",
        "DICT:secret,1",
        "+init=/etc/secret:1",
        "+proj=utm +zone=33 +init=/etc/secret:1",
        "+proj=utm +zone=33 +nadgrids=/etc/secret",
        '{"init": "/etc/secret:1"}',
        '{"\\u0069nit": "/etc/secret:1"}',
        'BOUNDCRS[SOURCECRS[x],PARAMETERFILE["grid","/etc/secret"]]',
    ],
)
def test_a_crs_that_gdal_would_look_up_elsewhere_is_refused(crs: str) -> None:
    with pytest.raises(TileGeoreferenceError, match=r"is no code such as|names a file") as caught:
        read(stored(**{**PLACE, "crs": np.array(crs)}))
    assert "EPSG:32633" in caught.value.hint


@pytest.mark.parametrize(
    "crs",
    [
        "ESRI:102001",
        "OGC:CRS84",
        "IAU_2015:49900",
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        'LOCAL_CS["site",UNIT["metre",1]]',
        'GEOGCRS ["own",\n  DATUM["d",ELLIPSOID["e",6378137,298]]]',
        "+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80",
        "+proj=merc +a=6378137 +b=6378137 +nadgrids=@null +wktext",
        '{"type": "GeographicCRS", "name": "own"}',
    ],
)
def test_every_other_form_of_a_crs_is_kept(crs: str) -> None:
    place = read(stored(**{**PLACE, "crs": np.array(crs)}))

    assert place is not None
    assert place.crs == crs


def test_a_large_transform_is_refused_before_it_is_inflated() -> None:
    content = io.BytesIO()
    np.savez_compressed(content, crs=np.array(UTM), transform=np.zeros(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TileGeoreferenceError, match="not six numbers"):
            read(content.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_pickled_crs_is_refused_unread() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("it was unpickled",))

    file = io.BytesIO()
    np.savez(file, allow_pickle=True, crs=np.array(Bomb(), dtype=object), transform=TRANSFORM)

    with pytest.raises(TileGeoreferenceError, match="not a single text"):
        read(file.getvalue())


def _with_crs_member(member: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("crs.npy", member)
        transform = io.BytesIO()
        np.save(transform, np.array(TRANSFORM))
        archive.writestr("transform.npy", transform.getvalue())
    return file.getvalue()


@given(st.data())
def test_hostile_texts_never_do_more_than_fail(data: st.DataObject) -> None:
    good = io.BytesIO()
    np.save(good, np.array(UTM))
    member = bytearray(good.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        member[data.draw(st.integers(0, len(member) - 1))] = data.draw(st.integers(0, 255))
    try:
        place = read(_with_crs_member(bytes(member)))
    except TileError:
        return
    assert place is not None
    assert all(sign.isprintable() or sign in "\n\r\t" for sign in place.crs)


def test_a_text_is_no_array_of_pixels() -> None:
    with (
        NpzArchive(stored(opt_v2=np.array("text"))) as archive,
        pytest.raises(TileReadError, match="only real numbers"),
    ):
        archive.read(["opt_v2"])


@pytest.mark.parametrize(
    "text",
    [
        "epsg:32633",
        " EPSG:32633 ",
        "urn:ogc:def:crs:EPSG::32633",
        "http://www.opengis.net/def/crs/EPSG/0/32633",
        'PROJCS["WGS 84 / UTM 33N",GEOGCS["x",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32633"]]',
        'PROJCRS["WGS 84 / UTM zone 33N",BASEGEOGCRS["WGS 84",ID["EPSG",4326]],ID["EPSG",32633]]',
    ],
)
def test_one_crs_has_many_names(text: str) -> None:
    assert canonical_crs(text) == UTM


def test_other_crs_stay_as_they_are() -> None:
    wkt = 'PROJCS["own",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],UNIT["metre",1]]'

    assert canonical_crs(wkt) == wkt


def test_one_tile_of_the_pair_is_enough(tmp_path: Path) -> None:
    assert load(tmp_path, PLACE, {}) == Georeference(UTM, TRANSFORM)
    assert load(tmp_path, {}, PLACE) == Georeference(UTM, TRANSFORM)
    assert load(tmp_path, {}, {}) is None
    assert load(tmp_path, {}, {}, Georeference(UTM, TRANSFORM)) == Georeference(UTM, TRANSFORM)


@pytest.mark.parametrize(
    "other",
    [
        {**PLACE, "crs": np.array("EPSG:32632")},
        {**PLACE, "transform": np.array((10.0, 0, 344401.0, 0, -10, 5294400.0))},
        {**PLACE, "transform": np.array((20.0, 0, 344400.0, 0, -20, 5294400.0))},
    ],
    ids=["crs", "origin", "pixel size"],
)
def test_pairs_at_different_places_fail_and_both_are_shown(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    with pytest.raises(TileGeoreferenceError, match=r"EPSG:32633 \(10, 0, 344400") as caught:
        load(tmp_path, PLACE, other)
    crs, transform = str(other["crs"]), other["transform"]
    assert f"s1 at {crs} ({transform[0]:.12g}, 0, {transform[2]:.12g}" in str(caught.value)
    assert caught.value.tile_name == "a.npz"


def test_a_table_must_agree_with_the_tile(tmp_path: Path) -> None:
    with pytest.raises(TileGeoreferenceError, match="opt_v2 and --georeference differ"):
        load(tmp_path, PLACE, {}, Georeference("EPSG:4326", TRANSFORM))


def test_rounding_of_the_writer_is_no_other_place(tmp_path: Path) -> None:
    shaken = np.array(TRANSFORM) + 1e-9

    assert load(tmp_path, PLACE, {**PLACE, "transform": shaken}) is not None


def test_resampled_radar_must_cover_the_same_ground(tmp_path: Path) -> None:
    coarse = TILE.s1[:, ::2, ::2]
    same = {**PLACE, "transform": np.array((20.0, 0, 344400.0, 0, -20, 5294400.0))}
    shifted = {**PLACE, "transform": np.array((20.0, 0, 344410.0, 0, -20, 5294400.0))}
    options = LoadOptions(resample_s1=True)

    assert load(tmp_path, PLACE, same, s1=coarse, options=options) is not None
    with pytest.raises(TileGeoreferenceError, match="differ"):
        load(tmp_path, PLACE, shifted, s1=coarse, options=options)


def test_rotated_and_south_up_are_carried_along(tmp_path: Path) -> None:
    rotated = Georeference.of(UTM, (8.0, 6.0, 0.0, 6.0, -8.0, 0.0))
    south_up = Georeference.of(UTM, (10.0, 0.0, 0.0, 0.0, 10.0, 0.0))

    assert rotated.is_rotated
    assert not rotated.is_north_up
    assert not south_up.is_rotated
    assert not south_up.is_north_up
    for place in (rotated, south_up):
        assert load(tmp_path, place.as_arrays(), {}) == place


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, 0), (0, 5), (3, 5)])
def test_a_part_lies_where_its_first_pixel_lay(rows: int, columns: int) -> None:
    whole = Georeference("EPSG:32633", (10.0, 1.5, 344400.0, -0.5, -10.0, 5294400.0))
    part = whole.moved(rows, columns)
    left, top = 344400.0 + 10.0 * columns + 1.5 * rows, 5294400.0 - 0.5 * columns - 10.0 * rows
    assert part == Georeference("EPSG:32633", (10.0, 1.5, left, -0.5, -10.0, top))
