"""Tiles as pictures: arrays of reflectance and backscatter become arrays of 8-bit colour.

One stretch serves all optical panels of a tile, so that a difference between two panels is a
difference between two tiles and never one of display.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import UsageError
from axion_stage3.tiles.bands import OPTICAL_BANDS
from axion_stage3.tiles.units import db_to_linear, linear_to_db

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rgb = NDArray[np.uint8]
    """(H, W, 3) uint8."""

PERCENTILES: Final = (1.0, 99.0)
"""Percentiles of a band that count as its darkest and brightest pixels."""

HAZE_SHARE: Final = 0.7
"""How much of what lifts a band's darkest pixels above those of the other bands is taken for haze.

All of it would turn a tile of nothing but forest grey; nothing of it leaves top-of-atmosphere
tiles under a blue veil.
"""

SMALLEST_SPAN: Final = 0.06
"""Narrowest stretch, in reflectance: flat water must not be shown as a storm of noise."""

GAMMA: Final = 1.4
"""Lifts the dark middle of a scene as screens and eyes expect; 1 is linear."""

VV_RANGE_DB: Final = (-20.0, 0.0)
VH_RANGE_DB: Final = (-27.0, -7.0)
"""Fixed display ranges of the radar in dB, wide enough for water and for towns."""

_HEAT_COLOURS: Final = np.array(
    [
        (6, 5, 16), (48, 16, 84), (112, 28, 105), (178, 50, 88),
        (228, 96, 52), (250, 166, 40), (252, 240, 170),
    ],
    dtype=np.float64,
)  # fmt: skip

_TRUE_COLOUR: Final = [OPTICAL_BANDS.index(band) for band in ("red", "green", "blue")]


@dataclass(frozen=True, slots=True)
class Stretch:
    """How reflectance becomes brightness, for every optical panel of one tile.

    Attributes:
        lows: Reflectance of red, green and blue that is shown as black.
        span: From black to white, in reflectance, the same for the three.
    """

    lows: tuple[float, float, float]
    span: float


def common_stretch(tiles: Sequence[NDArray[np.floating]]) -> Stretch:
    """Find the one stretch for several views of a tile.

    It spans the 1st to 99th percentile of all views together, at least `SMALLEST_SPAN`.

    Args:
        tiles: At least one (4, H, W), reflectance. Pixels that are not finite are left out.

    Returns:
        The stretch; 0 to `SMALLEST_SPAN` if no pixel is finite.

    Raises:
        UsageError: There is no view.
    """
    if not tiles:
        raise UsageError("A stretch needs at least one optical tile.", hint="Give tiles.")
    values = np.concatenate([np.asarray(tile)[_TRUE_COLOUR].reshape(3, -1) for tile in tiles], 1)
    values = values[:, np.isfinite(values).all(axis=0)]
    if values.size == 0:
        return Stretch((0.0, 0.0, 0.0), SMALLEST_SPAN)
    darkest, brightest = np.percentile(values.astype(np.float64), PERCENTILES, axis=1)
    lows = darkest.min() + HAZE_SHARE * (darkest - darkest.min())
    span = float((brightest - lows).max())
    missing = max(SMALLEST_SPAN - span, 0.0)
    red, green, blue = (float(low) - missing / 2 for low in lows)
    return Stretch((red, green, blue), span + missing)


def true_colour(optical: NDArray[np.floating], stretch: Stretch) -> Rgb:
    """Show an optical tile in its natural colours.

    Args:
        optical: (4, H, W) reflectance; pixels that are not finite become magenta.
        stretch: The tile's stretch.

    Returns:
        (H, W, 3) uint8.
    """
    bands = np.asarray(optical, dtype=np.float32)[_TRUE_COLOUR]
    lows = np.array(stretch.lows, dtype=np.float32)[:, np.newaxis, np.newaxis]
    brightness = _scaled(bands - lows, (0.0, stretch.span)) ** np.float32(1 / GAMMA)
    return _as_rgb(brightness, bands)


def radar_composite(s1: NDArray[np.floating]) -> Rgb:
    """Show a radar tile in false colours: VV as magenta, VH as green.

    Green is vegetation, magenta bare ground, white buildings, black calm water. Speckle would
    drown the colours, so that power is averaged over 3 x 3 pixels first.

    Args:
        s1: (2, H, W) backscatter in dB; pixels that are not finite become magenta.

    Returns:
        (H, W, 3) uint8.
    """
    bands = np.asarray(s1, dtype=np.float32)
    vv, vh = (
        _scaled(band, limits)
        for band, limits in zip(
            linear_to_db(_mean_of_neighbours(db_to_linear(np.nan_to_num(bands, nan=-50.0)))),
            (VV_RANGE_DB, VH_RANGE_DB),
            strict=True,
        )
    )
    return _as_rgb(np.stack([vv, vh, vv]), bands)


def heat(values: NDArray[np.floating], highest: float) -> Rgb:
    """Show amounts from none (black) over violet and orange to ``highest`` and more (pale yellow).

    Args:
        values: (H, W), not negative; pixels that are not finite become magenta.
        highest: Amount of the brightest colour, above 0.

    Returns:
        (H, W, 3) uint8.
    """
    amounts = np.asarray(values, dtype=np.float32)
    places = _scaled(amounts, (0.0, highest))
    anchors = np.linspace(0.0, 1.0, len(_HEAT_COLOURS))
    brightness = np.stack([np.interp(places, anchors, colour) for colour in _HEAT_COLOURS.T])
    return _as_rgb((brightness / 255.0).astype(np.float32), amounts[np.newaxis])


def thumbnail(image: Rgb, longest_px: int) -> Rgb:
    """Shrink a picture by averaging blocks of pixels; small ones are returned as they are.

    Args:
        image: (H, W, 3) uint8.
        longest_px: Longest side allowed, in pixels.

    Returns:
        (h, w, 3) uint8; a rest of pixels that fills no block is cut off, unless all are.
    """
    factor = -(-max(image.shape[:2]) // longest_px)
    if factor == 1:
        return image
    rows, columns = (min(factor, side) for side in image.shape[:2])
    height, width = image.shape[0] // rows, image.shape[1] // columns
    blocks = image[: height * rows, : width * columns].reshape(height, rows, width, columns, 3)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), dtype=np.uint8)


def _scaled(values: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = limits
    scaled = (np.nan_to_num(values, posinf=high, neginf=low) - low) / (high - low)
    return np.asarray(np.clip(scaled, 0.0, 1.0), dtype=np.float32)


def _mean_of_neighbours(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(band, H, W) averaged over 3 x 3 pixels, the border repeated."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray((rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9, dtype=np.float32)


def _as_rgb(brightness: NDArray[np.float32], source: NDArray[np.float32]) -> Rgb:
    """(3, H, W) in 0..1 as (H, W, 3) uint8, magenta where a source pixel is not finite."""
    rgb = np.ascontiguousarray(np.moveaxis(brightness * 255.0 + 0.5, 0, -1).astype(np.uint8))
    rgb[~np.isfinite(source).all(axis=0)] = (255, 0, 255)
    return rgb
