"""Faults of Stage 2: each a function of (tile, scene, strength) that spoils a tile.

Strength 0 leaves the tile exactly as it is. All work is in network space (square root of
reflectance), batched, and depends only on the random generator handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from axion_stage3.training.random_fields import (
    gaussian_blur,
    gaussian_highpass,
    normal,
    region_mask,
    smooth_field,
    uniform,
    warp,
)

_BLOCK_PX: Final = 8


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


def _wide(strength: Tensor) -> Tensor:
    return strength[:, None, None, None]


def _cutoff_px(strength: Tensor, random: torch.Generator) -> Tensor:
    """Cut-off between kept low and replaced high frequencies: 1.5 to 16 px, log-uniform."""
    return 1.5 * 2.0 ** uniform(tuple(strength.shape), 0.0, 3.4, random)


def _partly_common_field(
    x: Tensor, correlation: Tensor, share_of_each: float, random: torch.Generator
) -> Tensor:
    """A smooth field that all bands have, and one that each has for itself."""
    batch, bands, height, width = x.shape
    common = smooth_field((batch, 1, height, width), correlation, random)
    each = smooth_field((batch, bands, height, width), correlation, random)
    return common + share_of_each * each


def _partly_common_noise(shape: tuple[int, int, int, int], random: torch.Generator) -> Tensor:
    """White noise of each band, and stronger noise that all bands have."""
    batch, _, height, width = shape
    return normal(shape, random) + 1.5 * normal((batch, 1, height, width), random)


def invented_detail(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """Detail from a radar-to-optical generator in place of the true one."""
    cutoff = _cutoff_px(strength, random)
    return x + _wide(strength) * gaussian_highpass(scene.generated - x, cutoff)


def borrowed_detail(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """Detail from another place in place of the true one."""
    cutoff = _cutoff_px(strength, random)
    return x + _wide(strength) * gaussian_highpass(scene.donor - x, cutoff)


def generated_scene(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """The generator's tile at every frequency, its mean colour moved towards the tile's."""
    offset = (x - scene.generated).mean(dim=(2, 3), keepdim=True)
    share = _wide(uniform(tuple(strength.shape), 0.5, 1.0, random))
    return x + _wide(strength) * (scene.generated + share * offset - x)


def replaced_regions(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """Regions from another place, in the colours of this one."""
    offset = (x - scene.donor).mean(dim=(2, 3), keepdim=True)
    return x + _wide(strength) * region_mask(x, random) * (scene.donor + offset - x)


def over_smoothing(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Blur of up to 3 px."""
    return gaussian_blur(x, strength * uniform(tuple(strength.shape), 0.5, 3.0, random))


def missing_edges(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Regions whose edges have melted away."""
    blurred = gaussian_blur(x, torch.full_like(strength, 4.0))
    return x + _wide(strength) * region_mask(x, random) * (blurred - x)


def moved_edges(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Edges displaced by a smooth random field, up to about 4 px."""
    correlation = uniform((x.shape[0],), 5.0, 16.0, random)
    field = smooth_field((x.shape[0], 2, *x.shape[2:]), correlation, random)
    moved = warp(x, 2.0 * _wide(strength) * field)
    return torch.where(_wide(strength) > 0, moved, x)


def misregistered(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """The whole tile shifted by up to 2.5 px; by whole pixels in half of the samples."""
    shift = 2.5 * _wide(strength) * uniform((x.shape[0], 2, 1, 1), -1.0, 1.0, random)
    is_whole = uniform((x.shape[0], 1, 1, 1), 0.0, 1.0, random) < 0.5
    shift = torch.where(is_whole, shift.round(), shift)
    return torch.where((shift != 0).any(dim=1, keepdim=True), warp(x, shift), x)


def leaked_speckle(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """The radar's fine and middle frequencies printed onto the optical bands."""
    batch = x.shape[0]
    mixture = uniform((batch, 4, 2, 1, 1), -0.3, 1.0, random)
    despeckling = uniform((batch,), 0.0, 1.5, random)
    radar = gaussian_blur(scene.s1, despeckling)
    radar = gaussian_highpass(radar, uniform((batch,), 2.0, 10.0, random)).clamp(-6, 6)
    leak = (mixture * radar[:, None]).sum(dim=2)
    return x * (1 + 0.03 * _wide(strength) * leak)


def colour_cast(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Gain and offset per band."""
    gain = torch.exp(0.12 * _wide(strength) * normal((x.shape[0], 4, 1, 1), random))
    return x * gain + 0.03 * _wide(strength) * normal((x.shape[0], 4, 1, 1), random)


def uneven_cast(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """A colour cast that drifts over the tile."""
    correlation = uniform((x.shape[0],), 8.0, 32.0, random)
    return x + 0.035 * _wide(strength) * _partly_common_field(x, correlation, 0.7, random)


def tone_curve(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Contrast and gamma errors, and bands pulled towards their common mean."""
    batch = x.shape[0]
    mean = x.mean(dim=(2, 3), keepdim=True)
    contrast = 1 + 0.35 * _wide(strength) * normal((batch, 1, 1, 1), random).clamp(-2, 2)
    curved = mean + (x - mean) * contrast
    shared = (curved - mean).mean(dim=1, keepdim=True) + mean
    mix = 0.5 * _wide(strength) * uniform((batch, 1, 1, 1), 0.0, 1.0, random)
    return curved + mix * (shared - curved)


def detail_gain(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Detail too strong (sharpened) or too weak."""
    gain = 0.6 * _wide(strength) * normal((x.shape[0], 1, 1, 1), random).clamp(-1.5, 1.5)
    cutoff = uniform((x.shape[0],), 1.0, 5.0, random)
    return x + gain * gaussian_highpass(x, cutoff)


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
    offsets = _partly_common_noise((batch, bands, rows, columns), random)
    tiled = F.interpolate(offsets, scale_factor=float(patch), mode="nearest")
    top, left = (int(v) for v in uniform((2,), 0.0, patch, random))
    return x + 0.015 * _wide(strength) * tiled[..., top : top + height, left : left + width]


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
    return x + _wide(strength) * (large - x)


def coloured_noise(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Noise from fine to blotchy, partly common to the bands."""
    correlation = 0.4 * 2.0 ** uniform((x.shape[0],), 0.0, 4.5, random)
    return x + 0.03 * _wide(strength) * _partly_common_field(x, correlation, 0.6, random)


def checkerboard(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """A pattern of 2 or 4 px that repeats: what transposed convolutions leave behind."""
    batch, bands, height, width = x.shape
    period = 2 if float(uniform((1,), 0.0, 1.0, random)) < 0.5 else 4
    pattern = _partly_common_noise((batch, bands, period, period), random)
    pattern = pattern - pattern.mean(dim=(2, 3), keepdim=True)
    tiled = pattern.repeat(1, 1, -(-height // period), -(-width // period))[..., :height, :width]
    correlation = uniform((batch,), 6.0, 24.0, random)
    uneven = smooth_field((batch, 1, height, width), correlation, random).abs()
    return x + 0.012 * _wide(strength) * uneven * tiled


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
    return torch.where(_wide(strength) > 0, result, x)


UNTRACEABLE_FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault for fault in (tone_curve, uneven_cast, colour_cast)
}
"""Faults of colour and contrast: nothing tells them from other light or another surface."""

TRACEABLE_FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        generated_scene,
        replaced_regions,
        invented_detail,
        borrowed_detail,
        moved_edges,
        misregistered,
        over_smoothing,
        missing_edges,
        coarse_grid,
        detail_gain,
        leaked_speckle,
        patch_seams,
        coloured_noise,
        checkerboard,
        quantised_blocks,
    )
}
"""Faults of what is where: they leave a mark, in the tile or against the radar."""

FAULTS: Final[dict[str, Fault]] = UNTRACEABLE_FAULTS | TRACEABLE_FAULTS
"""Every fault by name, in the order in which they are applied."""
