from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from axion_stage3.errors import GeoreferenceTableError, MissingExtraError
from axion_stage3.tiles.georeference import Georeference
from axion_stage3.tiles.georeference_tables import read_georeference_table

if TYPE_CHECKING:
    from pathlib import Path

UTM = "EPSG:32633"
TRANSFORM = (10.0, 0.0, 344400.0, 0.0, -10.0, 5294400.0)
PLACE = Georeference(UTM, TRANSFORM)
ORIGIN = {"origin_x": 344400.0, "origin_y": 5294400.0, "pixel_size": 10.0}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        columns = list(dict.fromkeys(column for row in rows for column in row))
        lines = [",".join(columns)]
        lines += [",".join(f'"{row.get(c, "")}"' for c in columns) for row in rows]
        path.write_text("\n".join(lines))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        features = [{"type": "Feature", "geometry": None, "properties": row} for row in rows]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("kind", [".csv", ".geojson", ".parquet"])
@pytest.mark.parametrize("place", [ORIGIN, {"transform": list(TRANSFORM)}], ids=["origin", "six"])
def test_every_kind_of_table(tmp_path: Path, kind: str, place: dict[str, Any]) -> None:
    path = write(tmp_path / f"t{kind}", [{"tile": "a.npz", "crs": UTM, **place, "note": "x"}])

    assert read_georeference_table(path).find("a.npz") == PLACE


def test_stac_items_are_a_table(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    feature = {"id": "a", "properties": {"proj:code": UTM, "proj:transform": TRANSFORM}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))

    assert read_georeference_table(path).find("a.npz") == PLACE


def test_names(tmp_path: Path) -> None:
    elsewhere = {**ORIGIN, "origin_x": 0.0}
    rows = [
        {"tile": "x/a.npz", "crs": UTM, **ORIGIN},
        {"tile": "y/a.npz", "crs": UTM, **elsewhere},
        {"tile": "z/b", "crs": UTM, **ORIGIN},
        {"tile": "c.tif", "crs": "", **ORIGIN},
        {"tile": "d.tif", "crs": UTM, **ORIGIN},
    ]
    table = read_georeference_table(write(tmp_path / "t.csv", rows))

    assert table.find("x/a.npz") == PLACE
    assert table.find("b.npz") == PLACE  # the file name, since it is there once
    assert table.find("a.npz") is None  # there are two
    assert table.find("other/b.npz") is None  # another folder
    assert table.find("any/c.npz") is None
    assert table.find("c.npz") is None  # listed without a CRS
    assert table.find("any/d.npz") == PLACE  # listed without a folder
    assert table.find("e.npz") is None
    assert len(table) == 5


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"tile": "a", **ORIGIN}], "no column crs"),
        ([{"crs": UTM, **ORIGIN}], "row 1 has no tile name"),
        ([{"tile": "a", "crs": UTM}], "no origin_x, origin_y, pixel_size"),
        ([{"tile": "a", "crs": UTM, **ORIGIN, "pixel_size": "ten"}], "row 1, a: could not convert"),
        ([{"tile": "a", "crs": UTM, "transform": "1 2 3"}], "6 numbers"),
        (
            [{"tile": "a", "crs": c, **ORIGIN} for c in (UTM, "EPSG:32632")],
            "two georeferences for a",
        ),
        ([{"tile": "a", "crs": "/etc/secret.wkt", **ORIGIN}], "row 1, a: the CRS .* is no code"),
        ([{"tile": "a", "crs": "EPSG:\x1b[2J", **ORIGIN}], "the CRS holds control characters"),
        ([{"tile": "a", "crs": "EPSG:\u200b32633", **ORIGIN}], "the CRS holds control characters"),
        ([{"tile": "a", "crs": "x[" + "y" * 8191 + "]", **ORIGIN}], "text of 8,194 characters"),
        ([], "no rows"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, rows: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(GeoreferenceTableError, match=reason) as caught:
        read_georeference_table(write(tmp_path / "t.csv", rows))
    assert "t.csv" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.geojson", b"{"),
        ("t.geojson", b"[" * 100_000),
        ("t.geojson", b"[1]"),
        ("t.geojson", b'{"features": [3]}'),
        ("t.csv", b"tile,crs\n\xff\xfe,x"),
        ("t.parquet", b"PAR1"),
        ("t.xlsx", b""),
    ],
)
def test_damaged_tables(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(GeoreferenceTableError):
        read_georeference_table(path)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceTableError, match="No such file"):
        read_georeference_table(tmp_path / "t.csv")


def test_a_table_about_other_tiles(tmp_path: Path) -> None:
    table = read_georeference_table(
        write(tmp_path / "t.csv", [{"tile": "a", "crs": UTM, **ORIGIN}])
    )

    table.require_any(["x.npz", "a.npz"])
    with pytest.raises(GeoreferenceTableError, match=r"first tile is x\.npz"):
        table.require_any(["x.npz", "y.npz"])


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.parquet", [{"tile": "a", "crs": UTM, **ORIGIN}])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(MissingExtraError) as caught:
        read_georeference_table(path)
    assert "axion-stage3[parquet]" in caught.value.hint
