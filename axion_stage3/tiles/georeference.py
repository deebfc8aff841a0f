"""Where a tile lies on the ground, and how that stands in an NPZ.

A georeference is a coordinate reference system and an affine transform in rasterio's order
(a, b, c, d, e, f): ``x = a column + b row + c`` and ``y = d column + e row + f``, where column and
row count from the outer corner of the first pixel. In an NPZ they are the keys ``crs``, one text,
and ``transform``, six float64 (the nine of ``numpy.array(dataset.transform)`` are understood too).
Here they are only carried along and compared: nothing of this needs a GIS library.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from axion_stage3.errors import TileGeoreferenceError, TileReadError
from axion_stage3.tiles.npy_text import text_fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.npz_reader import NpzArchive

CRS_KEY: Final = "crs"
TRANSFORM_KEY: Final = "transform"
GEOREFERENCE_KEYS: Final = frozenset((CRS_KEY, TRANSFORM_KEY))

_SAME_PLACE_PX: Final = 0.01
"""Corners that differ by less than this share of a pixel are the same."""

_EPSG: Final = re.compile(
    r"(?i)(?:epsg:|urn:ogc:def:crs:epsg:[\w.]*:|https?://www\.opengis\.net/def/crs/epsg/[\w.]+/)"
    r"\s*(\d{1,6})"
)
_WKT_AUTHORITY: Final = re.compile(
    r"(?i)(?:ID|AUTHORITY)\s*\[\s*\"EPSG\"\s*,\s*\"?(\d{1,6})\"?\s*\]\s*\]\s*$"
)
_CRS_FORM: Final = re.compile(
    r"(?is)[a-z]\w*:\w+|urn:ogc:def:crs:\w+:[\w.]*:\w+"  # codes of an authority
    r"|[a-z]\w*\s*\[.+\]"  # WKT
    r"|\+proj=.+"
    r"|\{.+\}"  # PROJJSON
)
"""GDAL takes any other text for an address to fetch or a file to read."""

_NAMES_A_FILE: Final = re.compile(
    r"(?i)\binit\W*[=:]|(?:grids|file|catalog)=(?!@null\b)|parameter_?file|\\u"
)
"""What makes PROJ read a file, and the escapes of JSON that could hide it."""

_LAST_ROW: Final = (0.0, 0.0, 1.0)

Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where a tile lies.

    Attributes:
        crs: Coordinate reference system: ``EPSG:32633`` or another code of an authority, WKT, PROJ
            text or PROJJSON. One that names its EPSG code is reduced to it.
        transform: (a, b, c, d, e, f), in units of the CRS per pixel.
    """

    crs: str
    transform: Transform

    @classmethod
    def of(cls, crs: str, transform: Iterable[float]) -> Self:
        """Check both and make a georeference.

        Args:
            crs: The coordinate reference system.
            transform: Six numbers, or nine that end in 0, 0, 1.

        Raises:
            ValueError: They cannot be a georeference; the message is the reason.
        """
        canonical = canonical_crs(crs)
        _check_crs(canonical)
        values = tuple(float(value) for value in transform)
        if len(values) == 9 and values[6:] == _LAST_ROW:
            values = values[:6]
        if len(values) != 6:
            raise ValueError(f"a transform has the 6 numbers a, b, c, d, e, f, not {len(values)}")
        if not all(math.isfinite(value) for value in values):
            raise ValueError("the transform has numbers that are NaN or infinite")
        a, b, c, d, e, f = values
        if a * e - b * d == 0:
            raise ValueError("the transform has pixels without an area")
        return cls(canonical, (a, b, c, d, e, f))

    @property
    def is_rotated(self) -> bool:
        """Whether rows and columns do not run along the axes of the CRS."""
        return self.transform[1] != 0 or self.transform[3] != 0

    @property
    def is_north_up(self) -> bool:
        """Whether columns run along x and rows against y, as in nearly all rasters."""
        return not self.is_rotated and self.transform[0] > 0 > self.transform[4]

    def corners(self, height: int, width: int) -> NDArray[np.float64]:
        """(4, 2) x and y of the outer corners: upper left, upper right, lower right, lower left.

        Args:
            height: Height of the tile, in pixels.
            width: Width of the tile, in pixels.
        """
        a, b, c, d, e, f = self.transform
        places = ((0, 0), (width, 0), (width, height), (0, height))
        return np.array([(a * x + b * y + c, d * x + e * y + f) for x, y in places])

    def covers_same_ground(
        self, other: Georeference, shape: tuple[int, int], other_shape: tuple[int, int]
    ) -> bool:
        """Whether two tiles have one CRS and the same corners, to a hundredth of a pixel.

        Args:
            other: Georeference of the other tile.
            shape: Height and width of this tile, in pixels.
            other_shape: Those of the other tile.
        """
        if self.crs != other.crs:
            return False
        a, b, _, d, e, _ = self.transform
        pixel = math.sqrt(abs(a * e - b * d))
        distances = self.corners(*shape) - other.corners(*other_shape)
        return bool(np.abs(distances).max() <= _SAME_PLACE_PX * pixel)

    def moved(self, rows: int, columns: int) -> Georeference:
        """The georeference of a part that begins ``rows`` lower and ``columns`` further right."""
        a, b, c, d, e, f = self.transform
        return Georeference(
            self.crs,
            (a, b, a * columns + b * rows + c, d, e, d * columns + e * rows + f),
        )

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """The two keys of an NPZ."""
        return {
            CRS_KEY: np.array(self.crs),
            TRANSFORM_KEY: np.array(self.transform, dtype=np.float64),
        }

    def __str__(self) -> str:
        crs = self.crs if len(self.crs) <= 40 else f"{self.crs[:37]}..."
        return f"{' '.join(crs.split())} ({', '.join(f'{value:.12g}' for value in self.transform)})"


def canonical_crs(text: str) -> str:
    """Reduce a text that names an EPSG code to ``EPSG:n``; leave any other as it is.

    Args:
        text: ``epsg:32633``, a URN or address of the OGC, or WKT that ends in its own code.
    """
    stripped = text.strip()
    match = _EPSG.fullmatch(stripped) or _WKT_AUTHORITY.search(stripped)
    return f"EPSG:{int(match[1])}" if match else stripped


def _check_crs(crs: str) -> None:
    """Refuse a CRS that an NPZ cannot hold, or that GDAL or PROJ would look up elsewhere."""
    if not crs:
        raise ValueError("the CRS is empty")
    fault = text_fault(crs)
    if fault is not None:
        raise ValueError(f"the CRS {fault}")
    if not _CRS_FORM.fullmatch(crs):
        raise ValueError(
            f"the CRS {crs[:60]!r} is no code such as EPSG:32633, no WKT, PROJ text or PROJJSON"
        )
    if _NAMES_A_FILE.search(crs):
        raise ValueError(f"the CRS {crs[:60]!r} names a file")


def read_georeference(archive: NpzArchive, path: Location | None = None) -> Georeference | None:
    """Read the georeference of an open NPZ.

    Args:
        archive: The NPZ.
        path: Its file, for the message.

    Returns:
        The georeference; None if the NPZ has neither of the keys.

    Raises:
        TileGeoreferenceError: There is one, but only half of it, or not one that can be used.
        TileReadError: The file is damaged.
    """
    found = GEOREFERENCE_KEYS.intersection(archive.names)
    if not found:
        return None
    where = "The tile" if path is None else str(path)
    if found != GEOREFERENCE_KEYS:
        (missing,) = GEOREFERENCE_KEYS - found
        (present,) = found
        raise TileGeoreferenceError(
            f"{where} has {present} but no {missing}: that is half a georeference.",
            hint=f"Store {missing} too, or leave out both and give --georeference.",
            path=path,
        )
    transform = _read_transform(archive, where, path)
    try:
        crs = archive.read_text(CRS_KEY)
    except TileReadError as error:
        raise _unusable(where, str(error), path) from None
    try:
        return Georeference.of(crs, transform)
    except ValueError as error:
        raise _unusable(where, f"{error}", path) from None


def agree(
    found: Collection[tuple[str, Georeference | None, tuple[int, int]]],
    *,
    tile_name: str | None = None,
) -> Georeference | None:
    """Return the one georeference of tiles that must lie at the same place.

    Args:
        found: Name of the source, its georeference or None, height and width in pixels.
        tile_name: The tile's name, for the message.

    Returns:
        The first georeference; None if no source has one.

    Raises:
        TileGeoreferenceError: Two of them differ; the message shows both.
    """
    known = [(name, place, shape) for name, place, shape in found if place is not None]
    if not known:
        return None
    first_name, first, first_shape = known[0]
    for name, other, shape in known[1:]:
        if not first.covers_same_ground(other, first_shape, shape):
            raise TileGeoreferenceError(
                f"The georeferences of {first_name} and {name} differ: {first_name} lies at "
                f"{first}, {name} at {other}.",
                hint="They show different places, or one of them is wrong: correct it, or cut both "
                "tiles on one grid.",
                tile_name=tile_name,
            )
    return first


def _read_transform(archive: NpzArchive, where: str, path: Location | None) -> list[float]:
    try:
        header = archive.header(TRANSFORM_KEY)
        dtype, shape = header.dtype, header.shape
        # Before it is inflated; a type that is no number is refused by the reader.
        if dtype is not None and (dtype.kind not in "fiu" or math.prod(shape) not in (6, 9)):
            raise _unusable(where, f"transform is {dtype} of shape {shape}, not six numbers", path)
        stored = archive.read([TRANSFORM_KEY])[TRANSFORM_KEY]
    except TileReadError as error:
        raise _unusable(where, str(error), path) from None
    return [float(value) for value in stored.reshape(-1)]


def _unusable(where: str, reason: str, path: Location | None) -> TileGeoreferenceError:
    return TileGeoreferenceError(
        f"{where} has a georeference that cannot be used: {reason.rstrip('.')}.",
        hint="Store crs as one text (numpy.array('EPSG:32633')) and transform as six float64 "
        "(a, b, c, d, e, f), or leave out both.",
        path=path,
    )
