"""Georeferences of many tiles in one table: CSV, GeoJSON or Parquet.

A row names a tile (``tile``, ``tile_name`` or ``name``), its ``crs``, and its transform, either as
``transform`` (six numbers) or as ``origin_x``, ``origin_y`` (the outer corner of the upper left
pixel) and ``pixel_size``. Further columns do not matter. In GeoJSON the columns are the properties
of the features; those of STAC items, ``proj:code`` and ``proj:transform``, are understood too. A
row without a CRS says that the tile has no georeference.
"""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import GeoreferenceTableError
from axion_stage3.optional_imports import import_extra
from axion_stage3.tiles.georeference import Georeference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    Row = Mapping[str, Any]

MAX_TABLE_BYTES: Final = 1 << 30

_NAME_COLUMNS: Final = ("tile", "tile_name", "name", "id")
_CRS_COLUMNS: Final = ("crs", "proj:code")
_TRANSFORM_COLUMNS: Final = ("transform", "proj:transform")
_ORIGIN_COLUMNS: Final = ("origin_x", "origin_y", "pixel_size")
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SUFFIX: Final = re.compile(r"(?i)\.(npz|tiff?)$")


class GeoreferenceTable:
    """Georeferences by tile name.

    Args:
        by_name: Georeference of each tile; None for tiles that are listed without one.
        path: The table's file, for messages.

    Attributes:
        path: As given.
    """

    def __init__(self, by_name: Mapping[str, Georeference | None], path: Path) -> None:
        self.path = path
        self._by_name = by_name
        self._by_file_name: dict[str, str | None] = {}
        for name in by_name:
            file_name = name.rpartition("/")[2]
            self._by_file_name[file_name] = None if file_name in self._by_file_name else name

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, tile_name: str) -> Georeference | None:
        """The georeference of a tile.

        Names must be the same, folders included; but where one of the two is without a folder,
        the file name decides, if the table has it once.

        Args:
            tile_name: The tile's name; its extension does not matter.
        """
        name = _stem(tile_name)
        if name not in self._by_name:
            folder, _, file_name = name.rpartition("/")
            listed = self._by_file_name.get(file_name) or ""
            name = "" if folder and "/" in listed else listed
        return self._by_name.get(name)

    def require_any(self, tile_names: Iterable[str]) -> None:
        """Refuse a table that is about other tiles.

        Args:
            tile_names: The tiles that it was given for.

        Raises:
            GeoreferenceTableError: It has a georeference of none of them.
        """
        first = ""
        for tile_name in tile_names:
            if self.find(tile_name) is not None:
                return
            first = first or tile_name
        listed = next((name for name, place in self._by_name.items() if place is not None), "none")
        raise GeoreferenceTableError(
            f"{self.path} has a georeference for none of the tiles: the first tile is {first}, the "
            f"first name with a georeference in the table {listed}.",
            hint="The column `tile` must hold the file names of the tiles.",
            path=self.path,
        )


def read_georeference_table(path: Path) -> GeoreferenceTable:
    """Read a table of georeferences.

    Args:
        path: A file that ends in ``.csv``, ``.geojson``, ``.json`` or ``.parquet``.

    Returns:
        The table.

    Raises:
        GeoreferenceTableError: It cannot be read, lacks a column, holds a georeference that cannot
            be used, or gives one tile two of them.
        MissingExtraError: It is a Parquet file, and pyarrow is not installed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _refused(path, f"its kind {path.suffix!r} is not known")
    by_name: dict[str, Georeference | None] = {}
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise _refused(path, f"it is larger than {MAX_TABLE_BYTES >> 30} GiB")
        for number, row in enumerate(reader(path), start=1):
            name, place = _parse_row(row, number, path)
            if name in by_name and by_name[name] != place:
                raise _refused(
                    path, f"it has two georeferences for {name}: {by_name[name]} and {place}"
                )
            by_name[name] = place
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, GeoreferenceTableError):
            raise
        raise _refused(path, f"it is damaged ({error})") from error
    if not by_name:
        raise _refused(path, "it has no rows")
    return GeoreferenceTable(by_name, path)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _read_geojson(path: Path) -> Iterator[Row]:
    document = json.loads(path.read_bytes())
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise _refused(path, "it is no GeoJSON FeatureCollection")
    for feature in features:
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if not isinstance(properties, dict):
            raise _refused(path, "it has a feature without properties")
        yield {"id": feature.get("id"), **properties}


def _read_parquet(path: Path) -> Iterator[Row]:
    parquet = import_extra("pyarrow.parquet", extra="parquet", need=f"Reading {path} needs")
    file = parquet.ParquetFile(path)
    wanted = {*_NAME_COLUMNS, *_CRS_COLUMNS, *_TRANSFORM_COLUMNS, *_ORIGIN_COLUMNS}
    columns = [name for name in file.schema_arrow.names if name in wanted]
    for batch in file.iter_batches(columns=columns):
        yield from batch.to_pylist()


_READERS: Final[Mapping[str, Callable[[Path], Iterator[Row]]]] = {
    ".csv": _read_csv,
    ".geojson": _read_geojson,
    ".json": _read_geojson,
    ".parquet": _read_parquet,
}


def _parse_row(row: Row, number: int, path: Path) -> tuple[str, Georeference | None]:
    name = _first(row, _NAME_COLUMNS)
    if name is None:
        raise _refused(path, f"row {number} has no tile name")
    crs = _first(row, _CRS_COLUMNS)
    if crs is None:
        if not any(column in row for column in _CRS_COLUMNS):
            raise _refused(path, "it has no column crs")
        return _stem(str(name)), None
    try:
        return _stem(str(name)), Georeference.of(str(crs), _transform(row))
    except ValueError as error:
        raise _refused(path, f"row {number}, {name}: {error}") from error


def _transform(row: Row) -> list[float]:
    stored = _first(row, _TRANSFORM_COLUMNS)
    if isinstance(stored, str):
        return [float(number) for number in _NUMBER.findall(stored)]
    if stored is not None:
        return [float(number) for number in stored]
    missing = [column for column in _ORIGIN_COLUMNS if _first(row, (column,)) is None]
    if missing:
        raise ValueError(f"there is no transform, and no {', '.join(missing)} either")
    x, y, size = (float(row[column]) for column in _ORIGIN_COLUMNS)
    return [size, 0.0, x, 0.0, -size, y]


def _first(row: Row, columns: Iterable[str]) -> Any:
    """The first value that is there and not empty."""
    for column in columns:
        value = row.get(column)
        if value is not None and value != "":
            return value
    return None


def _stem(name: str) -> str:
    return _SUFFIX.sub("", name.replace("\\", "/").removeprefix("./"))


def _refused(path: Path, reason: str) -> GeoreferenceTableError:
    return GeoreferenceTableError(
        f"The georeferences in {path} cannot be used: {reason}.",
        hint="Give a .csv, .geojson or .parquet with the columns tile, crs, and either transform "
        "(a b c d e f) or origin_x, origin_y, pixel_size.",
        path=path,
    )
