"""Batched building blocks of the surrogates: blurs, warps and smooth random fields.

Every function takes its strength per sample, so that one call serves a whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_SMALLEST_SIGMA_PX = 0.05


def gaussian_blur(tiles: Tensor, sigma_px: Tensor) -> Tensor:
    """Blur each sample with its own Gaussian, weights renormalised at the border.

    Args:
        tiles: (B, C, H, W).
        sigma_px: (B,), standard deviations in pixels; 0 leaves the sample as it is.
    """
    rows, columns = (_blur_matrices(size, sigma_px) for size in tiles.shape[-2:])
    return rows[:, None] @ tiles @ columns[:, None].mT


def _blur_matrices(length: int, sigma_px: Tensor) -> Tensor:
    position = torch.arange(length, device=sigma_px.device, dtype=torch.float32)
    distance = (position[:, None] - position[None, :])[None]
    sigma = sigma_px.clamp_min(_SMALLEST_SIGMA_PX)[:, None, None]
    weights = torch.exp(-0.5 * (distance / sigma) ** 2)
    return weights / weights.sum(dim=-1, keepdim=True)


def gaussian_highpass(tiles: Tensor, sigma_px: Tensor) -> Tensor:
    """Return the tiles less their :func:`gaussian_blur`."""
    return tiles - gaussian_blur(tiles, sigma_px)


def uniform(shape: tuple[int, ...], low: float, high: float, random: torch.Generator) -> Tensor:
    """Uniform random numbers on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=random, device=random.device)


def normal(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Standard normal random numbers on the generator's device."""
    return torch.randn(shape, generator=random, device=random.device)


def smooth_field(
    shape: tuple[int, int, int, int], correlation_px: Tensor, random: torch.Generator
) -> Tensor:
    """Gaussian random fields with unit variance.

    Args:
        shape: (B, C, H, W).
        correlation_px: (B,), standard deviation of the smoothing Gaussian.
        random: Source of randomness.
    """
    field = gaussian_blur(normal(shape, random), correlation_px)
    return field / field.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp_min(1e-6)


def warp(tiles: Tensor, displacement_px: Tensor) -> Tensor:
    """Move pixels along a displacement field, bicubic, reflected at the border.

    Args:
        tiles: (B, C, H, W).
        displacement_px: (B, 2, H, W) or (B, 2, 1, 1): where to read, (x, y), relative to each
            pixel.
    """
    batch, _, height, width = tiles.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=tiles.device, dtype=torch.float32),
        torch.arange(width, device=tiles.device, dtype=torch.float32),
        indexing="ij",
    )
    source = torch.stack([x, y])[None] + displacement_px
    limits = torch.tensor([width - 1, height - 1], device=tiles.device)[:, None, None]
    grid = (2 * source / limits - 1).movedim(1, -1).expand(batch, height, width, 2)
    return F.grid_sample(tiles, grid, "bicubic", "reflection", align_corners=True)
