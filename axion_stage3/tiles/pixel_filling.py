"""Filling unusable pixels from their neighbours, and bilinear resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


S1_RESAMPLING: Final = "bilinear, in linear power"
"""How S1 of another size or grid is brought onto that of the optical tile."""


def fill_from_neighbours(
    band: NDArray[np.float32], is_valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Fill the invalid pixels of one band smoothly from the valid ones around them.

    Push-pull interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4): means of the valid
    pixels on ever coarser grids, until a pixel has something to take over. The cost does not depend
    on the size of the gaps.

    Args:
        band: Pixels (y, x); what stands in invalid ones does not matter.
        is_valid: (y, x), at least one True.

    Returns:
        (y, x) float32: the valid pixels unchanged, the others between the valid extremes.
    """
    if is_valid.all():
        return band
    known = np.where(is_valid, band, np.float32(0))
    total = _sum_2x2(known.astype(np.float64))
    weight = _sum_2x2(is_valid.astype(np.float64))
    is_coarse_valid = weight > 0
    coarse = np.divide(total, weight, out=np.zeros_like(total), where=is_coarse_valid)
    coarse = fill_from_neighbours(coarse.astype(np.float32), is_coarse_valid)
    spread = coarse.repeat(2, axis=0).repeat(2, axis=1)[: band.shape[0], : band.shape[1]]
    return np.where(is_valid, band, spread)


def resample_bilinear(
    bands: NDArray[np.floating[Any]], height: int, width: int
) -> NDArray[np.float32]:
    """Resample to another size; both grids cover the same ground (half-pixel centres).

    Args:
        bands: Pixels (band, y, x).
        height: New height in pixels.
        width: New width in pixels.

    Returns:
        (band, height, width) float32.
    """
    rows = _interpolate(np.asarray(bands, dtype=np.float32), height, axis=1)
    return _interpolate(rows, width, axis=2)


def _sum_2x2(values: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = values.shape
    even = np.pad(values, ((0, height % 2), (0, width % 2)))
    blocks = even.reshape(-(-height // 2), 2, -(-width // 2), 2)
    return np.asarray(blocks.sum(axis=(1, 3)))


def _interpolate(values: NDArray[np.float32], size: int, *, axis: int) -> NDArray[np.float32]:
    n = values.shape[axis]
    centres = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    lower = centres.astype(np.intp)
    upper = np.minimum(lower + 1, n - 1)
    shape = [1, 1, 1]
    shape[axis] = size
    share = (centres - lower).astype(np.float32).reshape(shape)
    near = values.take(lower, axis=axis)
    return np.asarray(near + share * (values.take(upper, axis=axis) - near))
