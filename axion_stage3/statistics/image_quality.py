"""How near an optical tile is to the truth (data range 1.0)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import TileShapeError
from axion_stage3.statistics.spectrum import hf_power_ratio
from axion_stage3.tiles.bands import OPTICAL_BANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Metric = Callable[[NDArray[np.floating], NDArray[np.floating]], float]

DATA_RANGE: Final = 1.0
"""Span of reflectance that PSNR and SSIM refer to."""

SSIM_WINDOW_PX: Final = 11
"""Width of the SSIM window; tiles must be at least as large."""

_SSIM_SIGMA_PX: Final = 1.5
_SSIM_C1: Final = (0.01 * DATA_RANGE) ** 2
_SSIM_C2: Final = (0.03 * DATA_RANGE) ** 2


def mae(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean absolute error.

    Args:
        output: Reflectance, any shape.
        truth: Same shape.

    Returns:
        Reflectance, >= 0.

    Raises:
        TileShapeError: The shapes differ.
    """
    return float(np.abs(_difference(output, truth)).mean())


def mse(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean squared error (arguments as :func:`mae`)."""
    return float(np.square(_difference(output, truth)).mean())


def rmse(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Root of the mean squared error (arguments as :func:`mae`)."""
    return math.sqrt(mse(output, truth))


def psnr(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Peak signal-to-noise ratio, 10 log10(1 / MSE), with one MSE over all bands and pixels.

    Args:
        output: Reflectance, any shape.
        truth: Same shape.

    Returns:
        dB; infinite for equal arrays.
    """
    error = mse(output, truth)
    return math.inf if error == 0.0 else 10.0 * math.log10(DATA_RANGE**2 / error)


def ssim(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Structural similarity, Wang et al. 2004, eq. 13: Gaussian window of 11 px, sigma 1.5 px.

    The tile is mirrored at its border and every pixel counts, as torchmetrics has it.

    Args:
        output: (band, H, W) reflectance; H, W >= 11.
        truth: Same shape.

    Returns:
        Mean over pixels and bands, -1..1.

    Raises:
        TileShapeError: The tile is smaller than the window.
    """
    if min(output.shape[-2:]) < SSIM_WINDOW_PX:
        raise TileShapeError(
            f"SSIM needs tiles of at least {SSIM_WINDOW_PX} px; this one has {output.shape[-2:]}.",
            hint="Leave tiles this small out of the evaluation.",
        )
    x = np.asarray(output, dtype=np.float64)
    y = np.asarray(truth, dtype=np.float64)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        _window_mean(values) for values in (x, y, x * x, y * y, x * y)
    )
    variances = mean_xx - mean_x**2 + mean_yy - mean_y**2
    covariance = mean_xy - mean_x * mean_y
    numerator = (2.0 * mean_x * mean_y + _SSIM_C1) * (2.0 * covariance + _SSIM_C2)
    denominator = (mean_x**2 + mean_y**2 + _SSIM_C1) * (variances + _SSIM_C2)
    return float((numerator / denominator).mean())


def sam_degrees(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Spectral angle, Kruse et al. 1993: the angle between the two spectra of a pixel.

    Args:
        output: (band, H, W) reflectance.
        truth: Same shape.

    Returns:
        Mean over the pixels, in degrees 0..180. An all-zero spectrum has no direction: such a pixel
        counts 0 if both spectra are zero and 90 if one is.
    """
    x = np.asarray(output, dtype=np.float64)
    y = np.asarray(truth, dtype=np.float64)
    norm_x = np.sqrt((x * x).sum(axis=0))
    norm_y = np.sqrt((y * y).sum(axis=0))
    norms = norm_x * norm_y
    cosine = np.where((norm_x == 0.0) & (norm_y == 0.0), 1.0, 0.0)
    np.divide((x * y).sum(axis=0), norms, out=cosine, where=norms > 0.0)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))).mean())


def ndvi(optical: NDArray[np.floating]) -> NDArray[np.float64]:
    """Normalised difference vegetation index, (nir - red) / (nir + red).

    Args:
        optical: (4, H, W) reflectance.

    Returns:
        (H, W) in -1..1; 0 where nir + red is not positive.
    """
    red = np.clip(optical[OPTICAL_BANDS.index("red")], 0.0, None).astype(np.float64)
    nir = np.clip(optical[OPTICAL_BANDS.index("nir")], 0.0, None).astype(np.float64)
    total = nir + red
    index: NDArray[np.float64] = np.zeros_like(total)
    np.divide(nir - red, total, out=index, where=total > 0.0)
    return index


METRICS: Final[dict[str, Metric]] = {
    "psnr": psnr,
    "ssim": ssim,
    "mae": mae,
    "rmse": rmse,
    "hf_power_ratio": hf_power_ratio,
}
"""Metrics that are given overall and per band; ``sam_degrees`` needs all bands at once."""


def image_quality(output: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """Compare a tile with the truth by every metric.

    Args:
        output: (4, H, W) reflectance; H, W >= 16.
        truth: Same shape.

    Returns:
        ``psnr``, ``ssim``, ``mae``, ``rmse``, ``hf_power_ratio``, ``sam_degrees``, then the first
        five per band (``psnr_blue``...). PSNR is infinite for equal arrays, ``hf_power_ratio`` for
        a truth without any detail.

    Raises:
        TileShapeError: The shapes differ, or the tile is too small for SSIM.
    """
    quality = {name: metric(output, truth) for name, metric in METRICS.items()}
    quality["sam_degrees"] = sam_degrees(output, truth)
    for name, metric in METRICS.items():
        for index, band in enumerate(OPTICAL_BANDS):
            one_band = slice(index, index + 1)
            quality[f"{name}_{band}"] = metric(output[one_band], truth[one_band])
    return quality


def _difference(output: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    if output.shape != truth.shape:
        raise TileShapeError(
            f"The output has shape {output.shape} and the truth {truth.shape}; "
            "they cannot be compared.",
            hint="Compare tiles of the same scene, band count and size.",
        )
    difference: NDArray[np.float64] = np.subtract(output, truth, dtype=np.float64)
    return difference


def _gaussian_weights(n_taps: int, sigma_px: float) -> list[float]:
    offsets = np.arange(n_taps) - (n_taps - 1) / 2
    weights = np.exp(-0.5 * (offsets / sigma_px) ** 2)
    return [float(weight) for weight in weights / weights.sum()]


_SSIM_WEIGHTS: Final = _gaussian_weights(SSIM_WINDOW_PX, _SSIM_SIGMA_PX)


def _window_mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian-weighted mean around each pixel, mirrored at the border; same shape."""
    radius = SSIM_WINDOW_PX // 2
    margins = [(0, 0)] * (image.ndim - 2) + [(radius, radius)] * 2
    padded = np.pad(image, margins, mode="reflect")
    return _slide(_slide(padded).swapaxes(-1, -2)).swapaxes(-1, -2)


def _slide(image: NDArray[np.float64]) -> NDArray[np.float64]:
    width = image.shape[-1] - SSIM_WINDOW_PX + 1
    mean: NDArray[np.float64] = np.zeros((*image.shape[:-1], width))
    for start, weight in enumerate(_SSIM_WEIGHTS):
        mean += weight * image[..., start : start + width]
    return mean
