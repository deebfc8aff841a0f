"""Radar on the grid of the optical raster: cut where the grids coincide, warped where they do not.

Backscatter is warped bilinearly and in linear power: a mean of dB would darken bright scatterers.
Where a pixel lies in the radar raster is computed exactly every 32 pixels of the optical grid and
interpolated between, which is right to a thousandth of a pixel. These nodes lie on the whole raster
and not on a window, so that windows fit together to the last bit; GDAL's own warper chooses its
nodes by window, and its windows differ in the third decimal of a dB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import TileGeoreferenceError, TileShapeError
from axion_stage3.rasters.geotiff_writing import as_crs
from axion_stage3.rasters.rasterio_access import require_rasterio
from axion_stage3.tiles.pixel_filling import S1_RESAMPLING
from axion_stage3.tiles.units import db_to_linear, linear_to_db
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from axion_stage3.rasters.product_units import RadarUnits
    from axion_stage3.rasters.raster_source import RasterSource
    from axion_stage3.tiles.georeference import Georeference

CUT: Final = "cut on the common grid, not resampled"
WARPED: Final = f"warped to the optical grid: {S1_RESAMPLING}"

_ON_GRID_PX: Final = 0.01
_MARGIN_PX: Final = 4
_EDGE_POINTS: Final = 21
_NODE_PX: Final = 32


class RadarOnGrid:
    """Gives backscatter in dB for any part of the optical grid.

    Args:
        source: The radar raster.
        units: How its values are stored.
        grid: Georeference of the optical raster.
        size: Height and width of the optical raster, in pixels.
        is_resampled: Whether it may be warped.

    Attributes:
        path: The first file of the radar raster.
        method: How it comes onto the grid, in words.

    Raises:
        TileGeoreferenceError: The two do not overlap.
        TileShapeError: The grids differ, and it may not be warped.
    """

    def __init__(
        self,
        source: RasterSource,
        units: RadarUnits,
        grid: Georeference,
        size: tuple[int, int],
        *,
        is_resampled: bool,
    ) -> None:
        self.path = source.path
        self._source = source
        self._units = units
        self._grid = grid
        self._crs = as_crs(grid.crs)
        self._source_crs = as_crs(source.georeference.crs)
        self._shift = self._whole_shift()
        if self._source_window(Window(0, size[0], 0, size[1])) is None:
            raise TileGeoreferenceError(
                f"S1 and the optical raster do not overlap: {source.path} lies at "
                f"{source.georeference}, {source.size[0]} x {source.size[1]} px, the optical "
                f"raster at {grid}, {size[0]} x {size[1]} px.",
                hint="Pair rasters of the same place; check the CRS of both.",
                path=source.path,
            )
        if self._shift is None and not is_resampled:
            raise TileShapeError(
                f"{source.path}: S1 is on another grid than the optical raster: it lies at "
                f"{source.georeference}, the optical raster at {grid}.",
                hint="--resample-s1 warps it to the optical grid.",
                path=source.path,
            )
        self.method = WARPED if self._shift is None else CUT

    def read(self, window: Window) -> NDArray[np.float32]:
        """Give a part of the optical grid.

        Args:
            window: The part, in pixels of the optical grid.

        Returns:
            (2, y, x) float32, backscatter in dB; NaN where there is no data.
        """
        result = np.full((2, *window.size), np.nan, np.float32)
        inside = self._source_window(window)
        if inside is None:
            return result
        stored = self._source.read(inside)
        if self._shift is not None:
            rows, columns = self._shift
            top, left = inside.top - rows - window.top, inside.left - columns - window.left
            height, width = inside.size
            values = stored if self._units == "db" else linear_to_db(stored)
            result[:, top : top + height, left : left + width] = values
            return result
        linear = db_to_linear(stored) if self._units == "db" else stored
        return linear_to_db(self._warped(linear, inside, window))

    def _whole_shift(self) -> tuple[int, int] | None:
        """Rows and columns from the optical to the radar pixel; None if they do not coincide."""
        own, grid = self._source.georeference, self._grid
        (a, _, c, _, e, f), (ga, _, gc, _, ge, gf) = own.transform, grid.transform
        if own.crs != grid.crs and self._crs != self._source_crs:
            return None
        if not (math.isclose(a, ga, rel_tol=1e-9) and math.isclose(e, ge, rel_tol=1e-9)):
            return None
        columns, rows = (gc - c) / a, (gf - f) / e
        if max(abs(rows - round(rows)), abs(columns - round(columns))) > _ON_GRID_PX:
            return None
        return round(rows), round(columns)

    def _source_window(self, window: Window) -> Window | None:
        """The part of the radar raster that a part of the optical grid needs; None if none is."""
        height, width = self._source.size
        if self._shift is not None:
            rows, columns = self._shift
            top, bottom, left, right = (
                window.top + rows, window.bottom + rows,
                window.left + columns, window.right + columns,
            )  # fmt: skip
        else:
            top, bottom, left, right = self._bounds_in_source(window)
        top, bottom = max(top, 0), min(bottom, height)
        left, right = max(left, 0), min(right, width)
        return Window(top, bottom, left, right) if top < bottom and left < right else None

    def _bounds_in_source(self, window: Window) -> tuple[int, int, int, int]:
        part = self._grid.moved(window.top, window.left)
        corners = part.corners(*window.size)
        bounds = require_rasterio("rasterio.warp").transform_bounds(
            self._crs,
            self._source_crs,
            *corners.min(axis=0).tolist(),
            *corners.max(axis=0).tolist(),
            densify_pts=_EDGE_POINTS,
        )
        west, south, east, north = bounds
        if not all(map(math.isfinite, bounds)):
            return 0, 0, 0, 0
        a, _, c, _, e, f = self._source.georeference.transform
        return (
            math.floor((north - f) / e) - _MARGIN_PX,
            math.ceil((south - f) / e) + _MARGIN_PX,
            math.floor((west - c) / a) - _MARGIN_PX,
            math.ceil((east - c) / a) + _MARGIN_PX,
        )

    def _warped(
        self, linear: NDArray[np.float32], inside: Window, window: Window
    ) -> NDArray[np.float32]:
        rows, columns = self._source_places(window)
        return _bilinear(linear, rows - inside.top, columns - inside.left)

    def _source_places(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column in the radar raster of each pixel's centre, counted from centres."""
        node_rows = np.arange(window.top // _NODE_PX, (window.bottom - 1) // _NODE_PX + 2)
        node_columns = np.arange(window.left // _NODE_PX, (window.right - 1) // _NODE_PX + 2)
        a, _, c, _, e, f = self._grid.transform
        x, y = np.meshgrid(
            c + a * (node_columns * _NODE_PX + 0.5), f + e * (node_rows * _NODE_PX + 0.5)
        )
        if self._crs != self._source_crs:
            transform = require_rasterio("rasterio.warp").transform
            moved = transform(self._crs, self._source_crs, x.ravel().tolist(), y.ravel().tolist())
            x, y = (np.array(values).reshape(x.shape) for values in moved)
        a, _, c, _, e, f = self._source.georeference.transform
        rows = np.arange(window.top, window.bottom) / _NODE_PX - node_rows[0]
        columns = np.arange(window.left, window.right) / _NODE_PX - node_columns[0]
        return (
            _between_nodes((y - f) / e - 0.5, rows, columns),
            _between_nodes((x - c) / a - 0.5, rows, columns),
        )


def _between_nodes(
    nodes: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate linearly between nodes; places in units of nodes."""
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    down, right = (rows - top)[:, np.newaxis], columns - left
    lines = nodes[:, left] + right * (nodes[:, left + 1] - nodes[:, left])
    return np.asarray(lines[top] + down * (lines[top + 1] - lines[top]))


def _bilinear(
    bands: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Interpolate bands at places (y, x); NaN outside, and next to pixels without data."""
    height, width = bands.shape[1:]
    is_inside = (rows > -0.5) & (rows < height - 0.5) & (columns > -0.5) & (columns < width - 0.5)
    rows = np.clip(np.where(is_inside, rows, 0), 0, height - 1)
    columns = np.clip(np.where(is_inside, columns, 0), 0, width - 1)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    result = np.empty((len(bands), *rows.shape), np.float32)
    for band, values in zip(bands, result, strict=True):
        upper = band[top, left] * (1 - across) + band[top, right] * across
        lower = band[bottom, left] * (1 - across) + band[bottom, right] * across
        values[:] = upper * (1 - down) + lower * down
    result[:, ~is_inside] = np.nan
    return result
