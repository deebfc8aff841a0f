"""One raster of many tiles.

Tiles that lie on one grid are put where they belong. Where they overlap they are blended: each
counts by its distance from its own border, so that one passes smoothly into the next and a seam has
no edge; where only one tile lies, its values stay as they are (seams.py levels the steps between
tiles that touch without overlapping). Memory holds one strip of rows and
the tiles that reach into it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import TileGeoreferenceError
from axion_stage3.rasters.geotiff_writing import BLOCK_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from axion_stage3.tiles.georeference import Georeference

MAX_PIXELS: Final = 40_000_000_000
"""Most pixels of a mosaic, data or not: twenty Sentinel-2 granules each way."""

_OFF_GRID_PX: Final = 0.01
_STRIP_VALUES: Final = 48_000_000


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """A tile in a mosaic.

    Attributes:
        name: The tile's name.
        row: Row of the mosaic in which it begins.
        column: Column of the mosaic in which it begins.
        size: Height and width, in pixels.
    """

    name: str
    row: int
    column: int
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MosaicPlan:
    """Where everything goes.

    Attributes:
        georeference: Of the mosaic.
        size: Height and width of the mosaic, in pixels.
        tiles: The tiles, from top to bottom.
    """

    georeference: Georeference
    size: tuple[int, int]
    tiles: tuple[PlacedTile, ...]


def plan_mosaic(
    places: Mapping[str, tuple[Georeference | None, tuple[int, int]]],
) -> MosaicPlan:
    """Find the common grid of some tiles.

    Args:
        places: Georeference, height and width in pixels, by tile name; at least one.

    Raises:
        TileGeoreferenceError: A tile has no georeference, is rotated or south-up; the tiles differ
            in CRS or pixel size, do not lie on one grid, or lie too far apart.
    """
    known = {name: (_usable(name, place), size) for name, (place, size) in places.items()}
    first_name, (first, _) = next(iter(known.items()))
    _check_one_crs({name: place.crs for name, (place, _) in known.items()})
    a, _, west, _, e, north = first.transform
    corners: dict[str, tuple[int, int]] = {}
    for name, (place, _) in known.items():
        if not math.isclose(place.transform[0], a, rel_tol=1e-9) or not math.isclose(
            place.transform[4], e, rel_tol=1e-9
        ):
            raise TileGeoreferenceError(
                f"The tiles differ in pixel size: {first_name} lies at {first}, {name} at {place}.",
                hint="Resample them to one pixel size, or export them apart (--tile).",
                tile_name=name,
            )
        column, row = (place.transform[2] - west) / a, (place.transform[5] - north) / e
        if max(abs(column - round(column)), abs(row - round(row))) > _OFF_GRID_PX:
            raise TileGeoreferenceError(
                f"The tiles do not lie on one grid: from {first_name} to {name} it is "
                f"{row:.3f} rows and {column:.3f} columns.",
                hint="Resample them to one grid, or export them apart (--tile).",
                tile_name=name,
            )
        corners[name] = (round(row), round(column))
    top = min(row for row, _ in corners.values())
    left = min(column for _, column in corners.values())
    tiles = sorted(
        (
            PlacedTile(name, row - top, column - left, known[name][1])
            for name, (row, column) in corners.items()
        ),
        key=lambda tile: (tile.row, tile.column),
    )
    size = (
        max(tile.row + tile.size[0] for tile in tiles),
        max(tile.column + tile.size[1] for tile in tiles),
    )
    if size[0] * size[1] > MAX_PIXELS:
        raise TileGeoreferenceError(
            f"The mosaic would have {size[0]:,} x {size[1]:,} px: its tiles lie far apart.",
            hint="Choose neighbouring tiles with --tile.",
        )
    return MosaicPlan(first.moved(top, left), size, tuple(tiles))


def mosaic_strips(
    plan: MosaicPlan, load: Callable[[str], NDArray[np.float32]], n_bands: int
) -> Iterator[NDArray[np.float32]]:
    """Make a mosaic from top to bottom.

    Args:
        plan: Where everything goes.
        load: Gives the pixels of a tile, (band, y, x) float32, NaN where there is no data.
        n_bands: Number of bands.

    Yields:
        (band, rows, W) float32, NaN where no tile has data.
    """
    height, width = plan.size
    n_rows = max(BLOCK_PX, _STRIP_VALUES // (n_bands * width) // BLOCK_PX * BLOCK_PX)
    loaded: dict[str, NDArray[np.float32]] = {}
    for start in range(0, height, n_rows):
        stop = min(start + n_rows, height)
        strip = _Strip(start, stop, width, n_bands)
        reaching = [t for t in plan.tiles if t.row < stop and t.row + t.size[0] > start]
        loaded = {tile.name: loaded[tile.name] for tile in reaching if tile.name in loaded}
        for tile in reaching:
            if tile.name not in loaded:
                loaded[tile.name] = load(tile.name)
            strip.add(tile, loaded[tile.name])
            if tile.row + tile.size[0] <= stop:
                del loaded[tile.name]
        yield strip.blended()


class _Strip:
    """Some rows of a mosaic, in which tiles add up."""

    def __init__(self, start: int, stop: int, width: int, n_bands: int) -> None:
        self._start, self._stop = start, stop
        shape = (n_bands, stop - start, width)
        self._sum = np.zeros(shape, np.float32)
        self._weight = np.zeros(shape, np.float32)
        self._first = np.full(shape, np.nan, np.float32)
        self._is_shared = np.zeros(shape, np.bool_)

    def add(self, tile: PlacedTile, pixels: NDArray[np.float32]) -> None:
        top, bottom = max(tile.row, self._start), min(tile.row + tile.size[0], self._stop)
        inside = slice(top - tile.row, bottom - tile.row)
        there = np.s_[
            :, top - self._start : bottom - self._start, tile.column : tile.column + tile.size[1]
        ]
        part = pixels[:, inside]
        weight = _ramp(tile.size[0])[inside, np.newaxis] * _ramp(tile.size[1])
        has_data = np.isfinite(part)
        before = self._weight[there] > 0
        self._is_shared[there] |= before & has_data
        np.copyto(self._first[there], part, where=has_data & ~before)
        self._sum[there] += np.where(has_data, part * weight, np.float32(0))
        self._weight[there] += np.where(has_data, weight, np.float32(0))

    def blended(self) -> NDArray[np.float32]:
        np.divide(self._sum, self._weight, out=self._first, where=self._is_shared)
        return self._first


def _ramp(length: int) -> NDArray[np.float32]:
    """Distance of each pixel's centre from the nearer border, in tile lengths."""
    places = (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(length)
    return np.asarray(np.minimum(places, 1 - places))


def _usable(name: str, place: Georeference | None) -> Georeference:
    if place is None:
        raise TileGeoreferenceError(
            f"{name} has no georeference, so that it has no place in a mosaic.",
            hint="Give --georeference with a table, or leave the tile out.",
            tile_name=name,
        )
    if place.is_rotated:
        raise TileGeoreferenceError(
            f"{name} is rotated: it lies at {place}.",
            hint="Warp it to a grid that runs along the axes (gdalwarp), or leave it out.",
            tile_name=name,
        )
    if not place.is_north_up:
        raise TileGeoreferenceError(
            f"{name} is not north-up: it lies at {place}, so that its rows do not run from north "
            "to south, or its columns not from west to east.",
            hint="Turn it over (gdalwarp does), or leave it out.",
            tile_name=name,
        )
    return place


def _check_one_crs(crs_of: Mapping[str, str]) -> None:
    counts = Counter(crs_of.values())
    if len(counts) == 1:
        return
    examples = {crs: name for name, crs in reversed(list(crs_of.items()))}
    listed = "; ".join(
        f"{n} in {' '.join(crs.split())[:60]}, such as {examples[crs]}"
        for crs, n in counts.most_common(4)
    )
    raise TileGeoreferenceError(
        f"The tiles are in {len(counts)} coordinate reference systems: {listed}.",
        hint="One raster has one CRS: make a mosaic of each zone (--tile), and warp them if need "
        "be (gdalwarp).",
    )
