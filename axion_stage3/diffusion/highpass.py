"""The high-pass filter that keeps detail from moving colour."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

SIGMA_PX = 4.0
_RADIUS_PX = 12


@lru_cache(maxsize=8)
def _kernel(device: torch.device) -> Tensor:
    offsets = range(-_RADIUS_PX, _RADIUS_PX + 1)
    weights = [math.exp(-0.5 * (offset / SIGMA_PX) ** 2) for offset in offsets]
    return torch.tensor(weights, device=device) / sum(weights)


def lowpass(tiles: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of 4 px, reflected at the border.

    Args:
        tiles: (B, bands, H, W) float32; H, W >= 13.

    Returns:
        The low frequencies, same shape.
    """
    batch, bands, height, width = tiles.shape
    kernel = _kernel(tiles.device)
    padded = F.pad(tiles, (_RADIUS_PX,) * 4, mode="reflect")
    planes = padded.reshape(batch * bands, 1, height + 2 * _RADIUS_PX, width + 2 * _RADIUS_PX)
    rows = F.conv2d(planes, kernel[None, None, :, None])
    return F.conv2d(rows, kernel[None, None, None, :]).reshape(tiles.shape)


def highpass(tiles: Tensor) -> Tensor:
    """Return the tiles less their low frequencies (see :func:`lowpass`)."""
    return tiles - lowpass(tiles)
