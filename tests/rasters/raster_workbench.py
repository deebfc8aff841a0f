"""GeoTIFFs as users have them, for the tests of this room and of whole scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

if TYPE_CHECKING:
    from pathlib import Path

UTM = "EPSG:32633"
PLACE = (10.0, 0.0, 344400.0, 0.0, -10.0, 5294400.0)


def write_tif(
    path: Path,
    pixels: np.ndarray[Any, Any],
    *,
    crs: str | None = UTM,
    transform: tuple[float, ...] | None = PLACE,
    tags: dict[str, str] | None = None,
    scales: tuple[float, ...] | None = None,
    offsets: tuple[float, ...] | None = None,
    units: tuple[str, ...] | None = None,
    nodata: float | None = None,
) -> Path:
    """Write (band, y, x) or (y, x) with rasterio itself."""
    stack = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    path.parent.mkdir(parents=True, exist_ok=True)
    place: dict[str, Any] = {} if crs is None else {"crs": crs}
    if transform is not None:
        place["transform"] = rasterio.Affine(*transform)
    n, height, width = stack.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=n, height=height, width=width, dtype=stack.dtype,
        nodata=nodata, **place,
    ) as dataset:  # fmt: skip
        dataset.write(stack)
        dataset.update_tags(**(tags or {}))
        if scales:
            dataset.scales = scales
        if offsets:
            dataset.offsets = offsets
        if units:
            dataset.units = units
    return path


def moved(columns: float, rows: float) -> tuple[float, ...]:
    """`PLACE` moved by some pixels to the right and down."""
    a, b, c, d, e, f = PLACE
    return (a, b, c + columns * a, d, e, f + rows * e)
