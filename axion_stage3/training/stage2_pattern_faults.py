"""Faults of Stage 2 that put a pattern over a tile: grids, seams, stripes, noise.

Each is a function of (tile, scene, strength), as those of ``stage2_faults.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional as F  # noqa: N812

from axion_stage3.training.random_fields import gaussian_blur_of_columns, smooth_field, uniform
from axion_stage3.training.surrogate_scene import partly_common_field, partly_common_noise, wide

if TYPE_CHECKING:
    from torch import Tensor

    from axion_stage3.training.surrogate_scene import SurrogateScene

_BLOCK_PX: Final = 8


def coarse_grid(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Computed on a grid two or four times coarser and enlarged again."""
    factor = 2 if float(uniform((1,), 0.0, 1.0, random)) < 0.6 else 4
    small = F.avg_pool2d(x, factor)
    mode = "bilinear" if float(uniform((1,), 0.0, 1.0, random)) < 0.7 else "nearest"
    large = F.interpolate(small, size=x.shape[2:], mode=mode)
    return x + wide(strength) * (large - x)


def patch_seams(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Offsets of 8 or 16 px patches: the tokens of a vision transformer shining through."""
    batch, bands, height, width = x.shape
    patch = 8 if float(uniform((1,), 0.0, 1.0, random)) < 0.5 else 16
    rows, columns = -(-height // patch) + 1, -(-width // patch) + 1
    offsets = partly_common_noise((batch, bands, rows, columns), random)
    tiled = F.interpolate(offsets, scale_factor=float(patch), mode="nearest")
    top, left = (int(v) for v in uniform((2,), 0.0, patch, random))
    return x + 0.015 * wide(strength) * tiled[..., top : top + height, left : left + width]


def coloured_noise(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Noise from fine to blotchy, partly common to the bands."""
    correlation = 0.4 * 2.0 ** uniform((x.shape[0],), 0.0, 4.5, random)
    return x + 0.03 * wide(strength) * partly_common_field(x, correlation, 0.6, random)


def checkerboard(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """A pattern of 2 or 4 px that repeats: what transposed convolutions leave behind."""
    batch, bands, height, width = x.shape
    period = 2 if float(uniform((1,), 0.0, 1.0, random)) < 0.5 else 4
    pattern = partly_common_noise((batch, bands, period, period), random)
    pattern = pattern - pattern.mean(dim=(2, 3), keepdim=True)
    tiled = pattern.repeat(1, 1, -(-height // period), -(-width // period))[..., :height, :width]
    correlation = uniform((batch,), 6.0, 24.0, random)
    uneven = smooth_field((batch, 1, height, width), correlation, random).abs()
    return x + 0.012 * wide(strength) * uneven * tiled


def quantised_blocks(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Rounded in the cosine transform of 8 px blocks, fine frequencies most: as JPEG does."""
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % _BLOCK_PX, 0, -height % _BLOCK_PX), mode="reflect")
    frequency = torch.arange(_BLOCK_PX, device=x.device, dtype=torch.float32)
    cosines = torch.cos(math.pi * (frequency + 0.5) * frequency[:, None] / _BLOCK_PX)
    cosines = cosines * (torch.where(frequency == 0, 1.0, 2.0) / _BLOCK_PX).sqrt()[:, None]
    blocks = padded.unfold(2, _BLOCK_PX, _BLOCK_PX).unfold(3, _BLOCK_PX, _BLOCK_PX)
    coarsest = strength * 0.03 * uniform(tuple(strength.shape), 0.3, 1.0, random)
    step = coarsest[:, None, None].clamp_min(1e-6) * (1 + frequency + frequency[:, None])
    step = step[:, None, None, None]
    rounded = cosines.mT @ ((cosines @ blocks @ cosines.mT / step).round() * step) @ cosines
    result = rounded.transpose(3, 4).reshape(padded.shape)[..., :height, :width]
    return torch.where(wide(strength) > 0, result, x)


def stripes(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Offsets of whole rows or columns: single ones, or broad bands."""
    batch, bands, height, width = x.shape
    correlation = uniform((batch,), 0.0, 3.0, random)
    along_columns = float(uniform((1,), 0.0, 1.0, random)) < 0.5
    length = width if along_columns else height
    lines = gaussian_blur_of_columns(
        partly_common_noise((batch, bands, length, 1), random), correlation
    )
    lines = lines / lines.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-6)
    return x + 0.02 * wide(strength) * (lines.mT if along_columns else lines)
