"""Numbers and a histogram for each band of one tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.tiles.tile_loading import USABLE_RANGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)
N_BINS: Final = 24


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many usable pixels lie in each of equal bins; the outermost take what lies beyond.

    Attributes:
        low: Lower end of the first bin.
        high: Upper end of the last bin.
        counts: Pixels per bin.
    """

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """One band in numbers, as it is stored. Levels are None if no pixel is usable.

    Attributes:
        band: Its name.
        n_pixels: Number of pixels.
        n_nan: Pixels that are NaN.
        n_infinite: Pixels that are infinite.
        n_zero: Pixels that are exactly 0.
        n_no_data: Pixels with a no-data value: -999 and below, 1e6 and above.
        min: Lowest usable value.
        mean: Mean of the usable values.
        max: Highest usable value.
        std: Standard deviation of the usable values.
        percentiles: Percentile (``"50"``) to value.
        histogram: From the 1st to the 99th percentile.
    """

    band: str
    n_pixels: int
    n_nan: int
    n_infinite: int
    n_zero: int
    n_no_data: int
    min: float | None
    mean: float | None
    max: float | None
    std: float | None
    percentiles: dict[str, float] | None
    histogram: Histogram | None


def band_statistics(name: str, band: NDArray[np.floating]) -> BandStatistics:
    """Describe one band.

    Args:
        name: Its name.
        band: (y, x), values as stored.
    """
    is_finite = np.isfinite(band)
    is_usable = (band > USABLE_RANGE[0]) & (band < USABLE_RANGE[1])
    usable = band[is_usable].astype(np.float64)
    n_nan = int(np.count_nonzero(np.isnan(band)))
    levels = np.percentile(usable, PERCENTILES) if usable.size else None
    return BandStatistics(
        band=name,
        n_pixels=band.size,
        n_nan=n_nan,
        n_infinite=int(np.count_nonzero(~is_finite)) - n_nan,
        n_zero=int(np.count_nonzero(band == 0)),
        n_no_data=int(np.count_nonzero(is_finite & ~is_usable)),
        min=float(usable.min()) if usable.size else None,
        mean=float(usable.mean()) if usable.size else None,
        max=float(usable.max()) if usable.size else None,
        std=float(usable.std()) if usable.size else None,
        percentiles=None
        if levels is None
        else {str(p): float(level) for p, level in zip(PERCENTILES, levels, strict=True)},
        histogram=None
        if levels is None
        else _histogram(usable, float(levels[0]), float(levels[-1])),
    )


def _histogram(usable: NDArray[np.float64], low: float, high: float) -> Histogram:
    if low == high:
        return Histogram(low, high, (usable.size,))
    clipped = np.clip(usable, low, high)
    counts, _ = np.histogram(clipped, bins=N_BINS, range=(low, high))
    return Histogram(low, high, tuple(int(count) for count in counts))
