"""PNG quick looks that lie where they belong: a world file and the CRS beside each."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from axion_stage3.atomic_write import write_bytes
from axion_stage3.exporting.composites import Stretch, true_colour
from axion_stage3.exporting.png import png_bytes
from axion_stage3.rasters.geotiff_writing import as_crs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.tiles.georeference import Georeference


def quick_look(optical: NDArray[np.float32], stretch: Stretch) -> bytes:
    """Draw a tile in its natural colours, pixel by pixel.

    Args:
        optical: (4, H, W) reflectance; NaN becomes transparent.
        stretch: The stretch, the same for all tiles that are to lie side by side.

    Returns:
        A PNG file with transparency.
    """
    is_valid = np.isfinite(optical).all(axis=0)
    colours = true_colour(np.where(is_valid, optical, np.float32(0)), stretch)
    alpha = np.where(is_valid, 255, 0).astype(np.uint8)
    colours[~is_valid] = 0
    return png_bytes(np.dstack([colours, alpha]))


def write_quick_look(path: Path, png: bytes, georeference: Georeference | None) -> int:
    """Write a PNG, its world file (``.pgw``) and its CRS (``.png.aux.xml``), which GDAL reads.

    Args:
        path: The PNG file; its folder must exist.
        png: Its content.
        georeference: Where it lies; None writes the PNG alone.

    Returns:
        Number of bytes of the PNG.

    Raises:
        OutputError: A file cannot be written.
        TileGeoreferenceError: The CRS is not known.
    """
    if georeference is not None:
        write_bytes(path.with_suffix(".pgw"), world_file(georeference).encode())
        wkt = escape(as_crs(georeference.crs).to_wkt())
        xml = f"<PAMDataset>\n  <SRS>{wkt}</SRS>\n</PAMDataset>\n"
        write_bytes(path.with_name(f"{path.name}.aux.xml"), xml.encode())
    return write_bytes(path, png)


def world_file(georeference: Georeference) -> str:
    """The six lines of a world file: a, d, b, e, and the centre of the first pixel."""
    a, b, c, d, e, f = georeference.transform
    lines = (a, d, b, e, c + a / 2 + b / 2, f + d / 2 + e / 2)
    return "".join(f"{value!r}\n" for value in lines)
