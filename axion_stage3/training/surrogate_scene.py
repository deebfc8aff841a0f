"""What the faults of Stage 2 have in common: what they may draw on, and their building blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from axion_stage3.training.random_fields import normal, smooth_field


@dataclass(frozen=True)
class SurrogateScene:
    """What a fault may draw on; every tensor is (B, bands, H, W).

    Attributes:
        truth: Optical truth, network space.
        s1: Radar, dB.
        generated: What a radar-to-optical generator that never saw the scene made of s1, network
            space.
        donor: Optical truth of other places, network space.
    """

    truth: Tensor
    s1: Tensor
    generated: Tensor
    donor: Tensor


Fault = Callable[[Tensor, SurrogateScene, Tensor, torch.Generator], Tensor]


def wide(strength: Tensor) -> Tensor:
    """Bring a value per sample, (B,), into the shape (B, 1, 1, 1)."""
    return strength[:, None, None, None]


def partly_common_field(
    x: Tensor, correlation: Tensor, share_of_each: float, random: torch.Generator
) -> Tensor:
    """A smooth field that all bands have, and one that each has for itself."""
    batch, bands, height, width = x.shape
    common = smooth_field((batch, 1, height, width), correlation, random)
    each = smooth_field((batch, bands, height, width), correlation, random)
    return common + share_of_each * each


def partly_common_noise(shape: tuple[int, int, int, int], random: torch.Generator) -> Tensor:
    """White noise of each band, and stronger noise that all bands have."""
    batch, _, height, width = shape
    return normal(shape, random) + 1.5 * normal((batch, 1, height, width), random)
