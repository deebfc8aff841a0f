"""Writing GeoTIFF and Cloud-Optimised GeoTIFF: atomically, from memory or row by row.

Pixels are tiled, deflated with the predictor of their type, and carry the names of their bands, the
value that means no data, scale and offset where they are integers, and the facts of the processing
as tags. Small rasters are made in memory; large ones come in rows, from top to bottom, into a
temporary file beside the target, so that memory does not grow with the raster. Either way the file
gets its name only when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from axion_stage3.atomic_write import write_bytes
from axion_stage3.errors import OutputError, TileGeoreferenceError
from axion_stage3.processor_cores import n_usable_cores
from axion_stage3.rasters.raster_bands import INTEGER_NODATA, StoredType, as_stored
from axion_stage3.rasters.rasterio_access import gdal_session, require_rasterio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from axion_stage3.rasters.raster_bands import BandFacts, RasterBands
    from axion_stage3.tiles.georeference import Georeference

BLOCK_PX: Final = 512
_SMALL_BLOCK_PX: Final = 256
_TIFF_STEP_PX: Final = 16
_LARGEST_CLASSIC_BYTES: Final = 3 << 30
_COLOURS: Final = ("blue", "green", "red", "nir")


@dataclass(frozen=True, slots=True)
class GeotiffStyle:
    """How a raster is stored.

    Attributes:
        is_cog: Whether it is a Cloud-Optimised GeoTIFF.
        stored_type: ``float32``, or ``int16`` with a scale.
        tags: Facts about the processing, as they stand in the file.
    """

    is_cog: bool = False
    stored_type: StoredType = "float32"
    tags: Mapping[str, str] = field(default_factory=dict)


def write_geotiff(
    path: Path, bands: RasterBands, georeference: Georeference | None, style: GeotiffStyle
) -> int:
    """Write a raster that fits into memory.

    Args:
        path: The file; its folder must exist.
        bands: Pixels and what they are.
        georeference: Where it lies; None for a raster without a place.
        style: How it is stored.

    Returns:
        Number of bytes written.

    Raises:
        OutputError: It cannot be written.
        TileGeoreferenceError: Its CRS is not known.
        MissingExtraError: rasterio is not installed.
    """
    with gdal_session() as rasterio:
        profile = _profile(bands.facts, bands.size, georeference, style)
        with rasterio.MemoryFile() as memory:
            with memory.open(**profile) as dataset:
                _describe(dataset, bands.facts, style)
                dataset.write(as_stored(bands.pixels, bands.facts, style.stored_type))
                if not style.is_cog:
                    _add_overviews(dataset)
            if not style.is_cog:
                return write_bytes(path, memory.read())
            with memory.open() as source, rasterio.MemoryFile() as target:
                _copy_as_cog(source, target.name, style)
                return write_bytes(path, target.read())


class RowWriter:
    """Writes a raster that comes row by row, in constant memory; a context manager.

    The file appears when the context is left without an exception; otherwise nothing of it stays.

    Args:
        path: The file; its folder must exist.
        facts: One entry a band.
        size: Height and width, in pixels.
        georeference: Where it lies; None for a raster without a place.
        style: How it is stored.
    """

    def __init__(
        self,
        path: Path,
        facts: tuple[BandFacts, ...],
        size: tuple[int, int],
        georeference: Georeference | None,
        style: GeotiffStyle,
    ) -> None:
        self._path = path
        self._facts = facts
        self._style = style
        self._size = size
        self._profile = _profile(facts, size, georeference, style)
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        self._cog = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        self._waiting: list[NDArray[Any]] = []
        self._n_written = 0
        self._stack = contextlib.ExitStack()
        self._dataset: Any = None

    def __enter__(self) -> Self:
        rasterio = self._stack.enter_context(gdal_session())
        try:
            with _as_output_error(self._path):
                self._dataset = rasterio.open(self._temporary, "w", **self._profile)
            _describe(self._dataset, self._facts, self._style)
        except BaseException:
            self._leave_nothing()
            raise
        return self

    def write_rows(self, pixels: NDArray[np.float32]) -> None:
        """Add the next rows.

        Args:
            pixels: (band, rows, W) float32; NaN where there is no data.

        Raises:
            OutputError: They cannot be written.
        """
        self._waiting.append(as_stored(pixels, self._facts, self._style.stored_type))
        n_waiting = sum(rows.shape[1] for rows in self._waiting)
        is_last = self._n_written + n_waiting == self._size[0]
        # Whole blocks alone: one that is written twice would be stored twice.
        n_ready = n_waiting if is_last else n_waiting - n_waiting % self._profile["blockysize"]
        if not n_ready:
            return
        joined = np.concatenate(self._waiting, axis=1)
        window = ((self._n_written, self._n_written + n_ready), (0, self._size[1]))
        with _as_output_error(self._path):
            self._dataset.write(joined[:, :n_ready], window=window)
        self._n_written += n_ready
        self._waiting = [joined[:, n_ready:].copy()] if n_ready < n_waiting else []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                with _as_output_error(self._path):
                    self._finish()
        finally:
            self._leave_nothing()

    def _finish(self) -> None:
        assert self._n_written == self._size[0], "all rows are written before the end"
        if not self._style.is_cog:
            _add_overviews(self._dataset)
        self._close()
        finished = self._temporary
        if self._style.is_cog:
            rasterio = require_rasterio()
            with rasterio.open(self._temporary) as source:
                _copy_as_cog(source, str(self._cog), self._style)
            finished = self._cog
        with finished.open("rb") as file:
            os.fsync(file.fileno())
        finished.replace(self._path)

    def _close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

    def _leave_nothing(self) -> None:
        """Close what is open, and remove what is not the finished file."""
        try:
            with self._stack:
                self._close()
        finally:
            for temporary in (self._temporary, self._cog):
                with contextlib.suppress(OSError):
                    temporary.unlink()


def overview_factors(size: tuple[int, int]) -> list[int]:
    """Powers of two until the raster fits into one block."""
    factors = []
    factor = 2
    while max(size) // (factor // 2) > BLOCK_PX:
        factors.append(factor)
        factor *= 2
    return factors


def _profile(
    facts: tuple[BandFacts, ...],
    size: tuple[int, int],
    georeference: Georeference | None,
    style: GeotiffStyle,
) -> dict[str, Any]:
    height, width = size
    block = BLOCK_PX if min(size) >= BLOCK_PX else _SMALL_BLOCK_PX
    is_integer = style.stored_type == "int16"
    n_bytes = len(facts) * height * width * (2 if is_integer else 4)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(facts),
        "dtype": style.stored_type,
        "nodata": INTEGER_NODATA if is_integer else np.nan,
        "tiled": True,
        "blockxsize": _block_px(width, block),
        "blockysize": _block_px(height, block),
        "compress": "deflate",
        "predictor": 2 if is_integer else 3,
        "interleave": "pixel",
        "photometric": "MINISBLACK",
        "num_threads": _n_threads(),
        "bigtiff": "YES" if n_bytes > _LARGEST_CLASSIC_BYTES else "IF_SAFER",
    }
    if style.is_cog:  # it is only the source of a copy
        profile["zlevel"] = 1
    if georeference is not None:
        transform = require_rasterio("rasterio.transform").Affine(*georeference.transform)
        profile |= {"crs": as_crs(georeference.crs), "transform": transform}
    return profile


def as_crs(text: str) -> Any:
    """Make rasterio's CRS of a text.

    Raises:
        TileGeoreferenceError: The text means no CRS that PROJ knows.
    """
    rasterio = require_rasterio()
    crs = require_rasterio("rasterio.crs")
    try:
        return crs.CRS.from_user_input(text)
    except rasterio.errors.CRSError as error:
        raise TileGeoreferenceError(
            f"The CRS {text[:60]!r} is not known.",
            hint="Give an EPSG code such as EPSG:32633, or WKT.",
        ) from error


def _block_px(side: int, block: int) -> int:
    return min(block, -(-side // _TIFF_STEP_PX) * _TIFF_STEP_PX)


def _describe(dataset: Any, facts: tuple[BandFacts, ...], style: GeotiffStyle) -> None:
    enums = require_rasterio("rasterio.enums")
    dataset.update_tags(**style.tags)
    dataset.descriptions = tuple(band.name for band in facts)
    dataset.units = tuple(band.unit for band in facts)
    if style.stored_type == "int16":
        dataset.scales = tuple(band.integer_scale for band in facts)
        dataset.offsets = (0.0,) * len(facts)
    dataset.colorinterp = tuple(
        enums.ColorInterp[band.name] if band.name in _COLOURS else enums.ColorInterp.undefined
        for band in facts
    )
    for number, band in enumerate(facts, start=1):
        tags = {"LONG_NAME": band.description}
        if band.common_name:
            tags["COMMON_NAME"] = band.common_name
        if band.wavelength_um:
            tags["CENTRAL_WAVELENGTH_UM"] = f"{band.wavelength_um:g}"
        dataset.update_tags(number, **tags)


def _add_overviews(dataset: Any) -> None:
    factors = overview_factors((dataset.height, dataset.width))
    if factors:
        enums = require_rasterio("rasterio.enums")
        dataset.build_overviews(factors, enums.Resampling.average)
        dataset.update_tags(ns="rio_overview", resampling="average")


def _copy_as_cog(source: Any, target: str, style: GeotiffStyle) -> None:
    require_rasterio("rasterio.shutil").copy(
        source,
        target,
        driver="COG",
        COMPRESS="DEFLATE",
        PREDICTOR="STANDARD" if style.stored_type == "int16" else "FLOATING_POINT",
        BLOCKSIZE=BLOCK_PX,
        OVERVIEWS="AUTO",
        OVERVIEW_RESAMPLING="AVERAGE",
        NUM_THREADS=_n_threads(),
        BIGTIFF="IF_SAFER",
    )


def _n_threads() -> int:
    return min(4, n_usable_cores())


@contextlib.contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    rasterio = require_rasterio()
    base = require_rasterio("rasterio._err").CPLE_BaseError
    try:
        yield
    except (rasterio.errors.RasterioError, base, OSError) as error:
        if isinstance(error, OutputError):
            raise
        reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
        raise OutputError(
            f"Cannot write {path}: {reason}.",
            hint="Is there room on the disk? The same command goes on where it was.",
            path=path,
        ) from error
