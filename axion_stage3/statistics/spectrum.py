"""How much detail an image holds, by the power of its high spatial frequencies."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIGH_FREQUENCIES: Final = (0.2, 0.5)
"""Radial frequencies, in cycles per pixel, that count as detail: wavelengths of 5 to 2 px."""


def band_power(image: NDArray[np.floating], low: float, high: float) -> NDArray[np.float64]:
    """Power of an image in a ring of its spectrum.

    A Hann window keeps the jump between opposite borders out of the high frequencies; its own power
    is divided out, so that tiles of different size can be compared. The mean is removed first.

    Args:
        image: (..., H, W).
        low: Lower radial frequency in cycles per pixel.
        high: Upper radial frequency in cycles per pixel, at most 0.5 to stay inside the circle that
            both axes sample alike.

    Returns:
        (...) variance of the image that lies in the ring, float64, in squared units of the image.
    """
    height, width = image.shape[-2:]
    window, window_power = _hann_window(height, width)
    centred = image - image.mean(axis=(-2, -1), keepdims=True, dtype=np.float64)
    spectrum = np.fft.rfft2(centred * window)
    power = spectrum.real**2 + spectrum.imag**2
    weights = _ring_weights(height, width, low, high) / (window_power * height * width)
    variance: NDArray[np.float64] = np.tensordot(power, weights, axes=2)
    return variance


def hf_power_ratio(output: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """High-frequency power of an output relative to the truth.

    Args:
        output: (band, H, W).
        truth: Same shape.

    Returns:
        Power at 0.2 to 0.5 cycles per pixel summed over the bands, output over truth: 1 is right,
        below is blur, above is noise. 1 if neither has any, infinite if only the output has.
    """
    of_output = float(band_power(output, *HIGH_FREQUENCIES).sum())
    of_truth = float(band_power(truth, *HIGH_FREQUENCIES).sum())
    if of_truth == 0.0:
        return 1.0 if of_output == 0.0 else float("inf")
    return of_output / of_truth


@lru_cache(maxsize=16)
def _hann_window(height: int, width: int) -> tuple[NDArray[np.float64], float]:
    """(H, W) separable Hann window without zeros at the border, and its sum of squares."""
    rows = np.hanning(height + 2)[1:-1]
    columns = np.hanning(width + 2)[1:-1]
    window = rows[:, None] * columns
    window.setflags(write=False)
    return window, float((window**2).sum())


@lru_cache(maxsize=64)
def _ring_weights(height: int, width: int, low: float, high: float) -> NDArray[np.float64]:
    """(H, W // 2 + 1): how often each entry of the half spectrum counts in the ring."""
    rows = np.fft.fftfreq(height)[:, None]
    columns = np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(rows, columns)
    counts = np.full(radius.shape, 2.0)
    counts[:, 0] = 1.0
    if width % 2 == 0:
        counts[:, -1] = 1.0
    weights: NDArray[np.float64] = counts * ((radius >= low) & (radius <= high))
    weights.setflags(write=False)
    return weights
