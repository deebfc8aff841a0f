"""How the values of one field are spread over the tiles of a run, and which stand out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTLIER_THRESHOLD: Final = 3.5
"""|robust z| above which a value is an outlier (Iglewicz & Hoaglin 1993, section 3.3)."""

FEWEST_VALUES: Final = 5
"""With fewer values nothing is called an outlier."""

_FARTHEST: Final = 1e9
_FENCE_SIGMAS: Final = 8.0
_MOST_BINS: Final = 40
_FEWEST_BINS: Final = 8

_PERCENTILES: Final = (5.0, 25.0, 50.0, 75.0, 95.0)
_MAD_TO_SIGMA: Final = 1.4826
_MEAN_DEVIATION_TO_SIGMA: Final = 1.2533


@dataclass(frozen=True, slots=True)
class Distribution:
    """One field over many tiles; all values in the field's unit.

    Attributes:
        count: Number of tiles that have the field.
        mean: Mean.
        std: Standard deviation (of the population).
        min: Smallest value.
        p05: 5th percentile, linearly interpolated, as the other percentiles are.
        p25: 25th percentile.
        median: 50th percentile.
        p75: 75th percentile.
        p95: 95th percentile.
        max: Largest value.
    """

    count: int
    mean: float
    std: float
    min: float
    p05: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float


def distribution(values: NDArray[np.float64]) -> Distribution | None:
    """Describe values; None if there is no finite one.

    Args:
        values: (tile,) in any unit; those that are not finite are left out. The order does not
            matter, down to the last bit.
    """
    usable = np.sort(values[np.isfinite(values)])
    if usable.size == 0:
        return None
    p05, p25, median, p75, p95 = (float(value) for value in np.percentile(usable, _PERCENTILES))
    return Distribution(
        count=int(usable.size),
        mean=float(usable.mean()),
        std=float(usable.std()),
        min=float(usable[0]),
        p05=p05,
        p25=p25,
        median=median,
        p75=p75,
        p95=p95,
        max=float(usable[-1]),
    )


def robust_z_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each value from the median, in robust standard deviations.

    The modified z-score of Iglewicz & Hoaglin 1993, eq. 3.1: (x - median) / (1.4826 MAD), where MAD
    is the median absolute deviation. Where more than half of the values are equal the MAD is zero
    and the mean absolute deviation times 1.2533 takes its place.

    Args:
        values: (tile,) in any unit.

    Returns:
        (tile,) float64, at most 1e9 in size; 0 for values that are not finite, for fewer than
        `FEWEST_VALUES` finite ones, and if all are equal.
    """
    scores = np.zeros(values.shape, dtype=np.float64)
    is_usable = np.isfinite(values)
    usable = values[is_usable]
    if usable.size < FEWEST_VALUES:
        return scores
    deviations = usable - np.median(usable)
    sizes = np.sort(np.abs(deviations))
    sigma = _MAD_TO_SIGMA * float(np.median(sizes)) or _MEAN_DEVIATION_TO_SIGMA * sizes.mean()
    if sigma > 0.0:
        with np.errstate(over="ignore"):
            scores[is_usable] = np.clip(deviations / sigma, -_FARTHEST, _FARTHEST)
    return scores


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in bins of equal width.

    Attributes:
        edges: (bin + 1,) float64, ascending, in the unit of the values.
        counts: (bin,) int64.
        n_beyond: Values so far from the median that bins reaching them would show nothing else.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    n_beyond: int


def histogram(values: NDArray[np.float64]) -> Histogram | None:
    """Count values in 8 to 40 bins within 8 robust standard deviations of the median.

    Args:
        values: (tile,) in any unit; those that are not finite are left out.

    Returns:
        The counts; None if no value is finite.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    near = finite[np.abs(robust_z_scores(finite)) <= _FENCE_SIGMAS]
    n_bins = int(np.clip(2 * np.sqrt(near.size), _FEWEST_BINS, _MOST_BINS))
    counts, edges = np.histogram(near, n_bins, _range_of(near, n_bins))
    return Histogram(edges.astype(np.float64), counts.astype(np.int64), finite.size - near.size)


def _range_of(values: NDArray[np.float64], n_bins: int) -> tuple[float, float]:
    """From the least to the greatest value, but so wide that no two edges are the same number."""
    least, greatest = float(values.min()), float(values.max())
    if least == greatest:
        return least, greatest
    resolution = float(np.spacing(max(abs(least), abs(greatest))))
    return least, max(greatest, least + 2 * n_bins * resolution)
