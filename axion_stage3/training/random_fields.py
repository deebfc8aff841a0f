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
    return gaussian_blur_of_columns(gaussian_blur_of_columns(tiles, sigma_px).mT, sigma_px).mT


def gaussian_blur_of_columns(tiles: Tensor, sigma_px: Tensor) -> Tensor:
    """As :func:`gaussian_blur`, but along the columns alone."""
    return _blur_matrices(tiles.shape[-2], sigma_px)[:, None] @ tiles


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


def region_mask(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Soft-edged random regions for (B, C, H, W): (B, 1, H, W), 0..1, about a third of a tile."""
    correlation = uniform((tiles.shape[0],), 4.0, 14.0, random)
    field = smooth_field((tiles.shape[0], 1, *tiles.shape[2:]), correlation, random)
    return torch.sigmoid(6 * (field - 0.5))


def centre_crop(tiles: Tensor, height: int, width: int) -> Tensor:
    """Cut the middle out of (..., H, W)."""
    top, left = (tiles.shape[-2] - height) // 2, (tiles.shape[-1] - width) // 2
    return tiles[..., top : top + height, left : left + width]


def warp(tiles: Tensor, displacement_px: Tensor) -> Tensor:
    """Move pixels along a displacement field, bicubic, reflected at the border.

    Args:
        tiles: (B, C, H, W).
        displacement_px: (B, 2, 1, 1) or (B, 2, h, w): where to read, (x, y), relative to each
            pixel; a smaller field than the tiles belongs to their middle.

    Returns:
        (B, C, H, W), or (B, C, h, w) for a field of that size.
    """
    height, width = tiles.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=tiles.device, dtype=torch.float32),
        torch.arange(width, device=tiles.device, dtype=torch.float32),
        indexing="ij",
    )
    pixels = torch.stack([x, y])
    if displacement_px.shape[-2:] != (1, 1):
        pixels = centre_crop(pixels, *displacement_px.shape[-2:])
    source = pixels + displacement_px
    limits = torch.tensor([width - 1, height - 1], device=tiles.device)[:, None, None]
    grid = (2 * source / limits - 1).movedim(1, -1)
    return F.grid_sample(tiles, grid, "bicubic", "reflection", align_corners=True)
