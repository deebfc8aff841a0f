"""Bands, their order and their ranges: the one place where these facts stand."""

from __future__ import annotations

from typing import Final

OPTICAL_BANDS: Final = ("blue", "green", "red", "nir")
"""Order of the optical bands in every array (band, y, x): Sentinel-2 B2, B3, B4, B8."""

RADAR_BANDS: Final = ("vv", "vh")
"""Order of the radar bands in every array (band, y, x), backscatter in dB."""

SENTINEL2_BAND_NUMBERS: Final = (2, 3, 4, 8)
"""Sentinel-2 band numbers of ``OPTICAL_BANDS``."""

OUTPUT_RANGE: Final = (-10.0, 10.0)
"""Values of opt_final outside this range fail the tile (automatic validation)."""

MIN_TILE_PX: Final = 16
"""Smallest height and width of a tile, in pixels."""
