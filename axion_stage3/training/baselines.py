"""What a trained network has to beat: methods that any image-processing library offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from axion_stage3.training.random_fields import gaussian_blur

if TYPE_CHECKING:
    from collections.abc import Iterable

SMOOTHING_SIGMA_PX: Final = 0.7
_EVERY_NTH_PIXEL: Final = 7


def smoothed(opt_v2: np.ndarray) -> np.ndarray:
    """Blur a tile (4, H, W) with a Gaussian of 0.7 px: takes away the least certain detail."""
    sigma_px = torch.tensor([SMOOTHING_SIGMA_PX])
    return np.asarray(gaussian_blur(torch.from_numpy(opt_v2)[None], sigma_px)[0].numpy())


class PixelRegression:
    """Ordinary least squares of the truth on opt_v2 and s1, pixel by pixel.

    Args:
        weights: (7, 4): constant, four optical and two radar bands, to four optical bands.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights

    @classmethod
    def fit(cls, examples: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> PixelRegression:
        """Fit to examples (opt_v2 (4, H, W), s1 (2, H, W), truth (4, H, W)), every 7th pixel."""
        gram, moment = np.zeros((7, 7)), np.zeros((7, 4))
        for opt_v2, s1, truth in examples:
            pixels = _regressors(opt_v2, s1)[::_EVERY_NTH_PIXEL]
            gram += pixels.T @ pixels
            moment += pixels.T @ truth.reshape(4, -1).T[::_EVERY_NTH_PIXEL]
        # Of constant bands the weights are free: the smallest.
        return cls(np.linalg.lstsq(gram, moment, rcond=None)[0])

    def __call__(self, opt_v2: np.ndarray, s1: np.ndarray) -> np.ndarray:
        """Return the estimate of the truth, (4, H, W) float32."""
        estimate = _regressors(opt_v2, s1) @ self._weights
        return np.ascontiguousarray(estimate.T.reshape(opt_v2.shape), dtype=np.float32)


def _regressors(opt_v2: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """(pixels, 7) float64."""
    bands = np.concatenate([np.ones_like(opt_v2[:1]), opt_v2, s1])
    return bands.reshape(7, -1).T.astype(np.float64)
