"""The one way to rasterio: the extra ``geo``, GeoTIFF alone, no network, no files on the side."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import AxionError, TileReadError
from axion_stage3.optional_imports import import_extra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DRIVER: Final = "GTiff"
"""The only driver that files are opened with: others (VRT) can lead to other files and hosts."""

_SETTINGS: Final[dict[str, Any]] = {
    # A folder of a hundred thousand tiles is not listed again for each of them.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    # A row of blocks of a whole scene: overviews would read each block once a band otherwise.
    "GDAL_CACHEMAX": 256 << 20,
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
}


def require_rasterio(name: str = "rasterio") -> Any:
    """Return rasterio, or one of its modules or companions of the extra ``geo``.

    Args:
        name: Such as ``rasterio.warp`` or ``pystac``.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra(name, extra="geo", need="GeoTIFF, STAC and map quick looks need")


@contextmanager
def gdal_session() -> Iterator[Any]:
    """Use rasterio under the project's settings; yields the module.

    Raises:
        MissingExtraError: rasterio is not installed.
    """
    rasterio = require_rasterio()
    # What GDAL has to say reaches the caller as an exception; it does not write to the console.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    # Set for good: catching warnings is not safe with threads, and who exports knows the place.
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    with rasterio.Env(**_SETTINGS):
        yield rasterio


@contextmanager
def open_geotiff(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF for reading, within `gdal_session`; its pixels are read in `as_read_error`.

    Raises:
        TileReadError: It cannot be read, or what its tags say is damaged.
    """
    rasterio = require_rasterio()
    with as_read_error(path), rasterio.open(path, driver=DRIVER) as dataset:
        yield dataset


@contextmanager
def as_read_error(path: Path) -> Iterator[None]:
    """Raise what GDAL reports about a file as a TileReadError; errors of this package pass.

    Raises:
        TileReadError: The file cannot be read.
    """
    rasterio = require_rasterio()
    errors = (rasterio.errors.RasterioError, require_rasterio("rasterio._err").CPLE_BaseError)
    try:
        yield
    except AxionError:
        raise
    except (*errors, OSError, UnicodeDecodeError) as error:
        raise TileReadError(
            f"{path} cannot be read as GeoTIFF: {_reason(error)}.",
            hint="Is the file complete, and a GeoTIFF?",
            path=path,
        ) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        text += f" ({' '.join(str(cause).split())})"
    return text.rstrip(".") or type(error).__name__
