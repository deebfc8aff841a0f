"""Pairs of GeoTIFFs as the network needs them: whole small ones, and parts of scenes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from axion_stage3.errors import TileError, TilePixelsError, TileShapeError
from axion_stage3.rasters.product_units import optical_scaling, radar_units
from axion_stage3.rasters.radar_on_grid import RadarOnGrid
from axion_stage3.rasters.raster_source import RasterSource
from axion_stage3.tiles.bands import MIN_TILE_PX, OPTICAL_BANDS, RADAR_BANDS
from axion_stage3.tiles.georeference import agree
from axion_stage3.tiles.pixel_filling import fill_from_neighbours
from axion_stage3.tiles.tile_loading import LoadedTile, LoadOptions
from axion_stage3.tiles.units import check_backscatter_db, check_reflectance
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from axion_stage3.rasters.raster_pairing import RasterPair

SAMPLE_PX: Final = 1024
"""The units of a larger raster are checked on 25 windows of it."""

_SAMPLE_SIDE_PX: Final = 128


class OpenPair:
    """An optical and a radar raster, open for reading on one grid; a context manager.

    Args:
        pair: The pair.
        options: How stored values become reflectance and dB, where the tags do not say.

    Attributes:
        size: Height and width of the optical raster, in pixels.
        georeference: Where the optical raster lies.
        methods: How stored values become what the network needs, in words.

    Raises:
        TileError: A raster cannot be read, its units or its place are not clear, or the two do
            not fit together.
    """

    def __init__(self, pair: RasterPair, options: LoadOptions) -> None:
        try:
            with ExitStack() as stack:
                self._open(stack, pair, options)
                self._stack = stack.pop_all()
        except TileError as error:
            error.tile_name = pair.name
            raise

    def _open(self, stack: ExitStack, pair: RasterPair, options: LoadOptions) -> None:
        optical_paths = (Path(pair.opt_v2_file), *pair.opt_v2_more)
        radar_paths = (Path(pair.s1_file), *pair.s1_more)
        self._optical = stack.enter_context(RasterSource(optical_paths, OPTICAL_BANDS, "optical"))
        radar = stack.enter_context(RasterSource(radar_paths, RADAR_BANDS, "radar"))
        self.size = self._optical.size
        if min(self.size) < MIN_TILE_PX:
            raise TileShapeError(
                f"{pair.opt_v2_path} is {self.size[0]} x {self.size[1]} px; at least "
                f"{MIN_TILE_PX} x {MIN_TILE_PX} px are needed.",
                hint="Use a larger cut of the scene.",
                path=pair.opt_v2_path,
            )
        place = self._optical.georeference
        agree([("opt_v2", place, self.size), ("--georeference", pair.georeference, self.size)])
        self.georeference = place
        scaling = optical_scaling(self._optical.facts, options)
        units, units_source = radar_units(radar.facts, options)
        self._scales = np.array(scaling.scales, np.float32)[:, np.newaxis, np.newaxis]
        self._offsets = np.array(scaling.offsets, np.float32)[:, np.newaxis, np.newaxis]
        self._radar = RadarOnGrid(radar, units, place, self.size, is_resampled=options.resample_s1)
        self.methods = {
            "optical_units": scaling.source,
            "s1_units": units_source,
            "s1_grid": self._radar.method,
        }
        self._check_sample(options, was_linear=units == "linear")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read a part of both.

        Args:
            window: The part, inside the optical raster.

        Returns:
            (4, y, x) reflectance and (2, y, x) backscatter in dB, NaN where there is no data.
        """
        optical = self._reflectance(self._optical.read(window))
        return optical, self._radar.read(window)

    def _reflectance(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        if (self._scales == 1).all() and not self._offsets.any():
            return stored
        return np.asarray(stored * self._scales + self._offsets)

    def _check_sample(self, options: LoadOptions, *, was_linear: bool) -> None:
        """Check the units of both on some windows that are spread over the raster."""
        parts = [self.read(window) for window in _sample_windows(self.size)]
        optical, radar = (
            np.concatenate([part[i].reshape(len(part[i]), -1) for part in parts], axis=1)
            for i in (0, 1)
        )
        optical = optical[:, np.isfinite(optical).all(axis=0)]
        radar = radar[:, np.isfinite(radar).all(axis=0)]
        if optical.size:
            path = self._optical.path
            check_reflectance(optical, opt_scale=options.opt_scale, path=path)
        if radar.size:
            check_backscatter_db(radar, was_linear=was_linear, path=self._radar.path)


def _sample_windows(size: tuple[int, int]) -> list[Window]:
    height, width = size
    if max(size) <= SAMPLE_PX:
        return [Window(0, height, 0, width)]
    starts = [
        sorted({round(i * max(0, side - _SAMPLE_SIDE_PX) / 4) for i in range(5)}) for side in size
    ]
    return [
        Window(top, min(top + _SAMPLE_SIDE_PX, height), left, min(left + _SAMPLE_SIDE_PX, width))
        for top in starts[0]
        for left in starts[1]
    ]


def load_raster_pair(pair: RasterPair, options: LoadOptions) -> LoadedTile:
    """Load a pair of small rasters.

    Pixels without data are filled, and marked in ``valid_mask``.

    Args:
        pair: The pair.
        options: How stored values become reflectance and dB, where the tags do not say.

    Raises:
        TileError: See `OpenPair`; or no pixel is usable.
    """
    with OpenPair(pair, options) as opened:
        height, width = opened.size
        optical, radar = opened.read(Window(0, height, 0, width))
        opt_v2, s1, valid_mask = filled(optical, radar)
        if valid_mask is not None and not valid_mask.any():
            raise TilePixelsError(
                f"{pair.name}: no pixel has data in both rasters.",
                hint="Leave this tile out.",
                tile_name=pair.name,
            )
        return LoadedTile(pair.name, opt_v2, s1, valid_mask, opened.georeference)


def has_data(optical: NDArray[np.float32], radar: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pixels (y, x) have data in all bands of both."""
    seen = np.isfinite(optical).all(axis=0) & np.isfinite(radar).all(axis=0)
    return np.asarray(seen, dtype=np.bool_)


def filled(
    optical: NDArray[np.float32], radar: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_] | None]:
    """Fill what has no data from its neighbours.

    Args:
        optical: (4, y, x), NaN where there is no data.
        radar: (2, y, x), likewise.

    Returns:
        Both filled, and the mask (y, x) of pixels that had data in all bands; None if all had.
        A band without any data is filled with 0 (reflectance) or -20 (dB).
    """
    is_valid = has_data(optical, radar)
    if is_valid.all():
        return optical, radar, None
    return (
        np.stack([_filled_band(band, 0.0) for band in optical]),
        np.stack([_filled_band(band, -20.0) for band in radar]),
        is_valid,
    )


def _filled_band(band: NDArray[np.float32], default: float) -> NDArray[np.float32]:
    is_valid = np.isfinite(band)
    if not is_valid.any():
        return np.full_like(band, default)
    return fill_from_neighbours(band, is_valid)
