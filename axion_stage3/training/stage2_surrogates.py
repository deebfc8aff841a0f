"""Stage 2 surrogates: plausible but wrong optical tiles, made from the truth and the radar.

Real Stage 2 outputs are not to be had for training, so their faults are simulated. Each fault
below is a function of (tile, scene, strength); strength 0 leaves the tile exactly as it is. One
severity per sample, from nothing to everything, scales all its faults, and a switch per fault
decides which there are: a network that always sees strong faults "corrects" good tiles. All work
is in network space (square root of reflectance), batched, and depends only on the random generator
handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.network import from_network_space, to_network_space
from axion_stage3.training.random_fields import (
    gaussian_blur,
    gaussian_highpass,
    normal,
    region_mask,
    smooth_field,
    uniform,
    warp,
)


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
    shared = smooth_field((x.shape[0], 1, *x.shape[2:]), correlation, random)
    each = smooth_field(tuple(x.shape), correlation, random)  # type: ignore[arg-type]
    return x + 0.035 * _wide(strength) * (shared + 0.7 * each)


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
    offsets = normal((batch, bands, rows, columns), random)
    offsets = offsets + 1.5 * normal((batch, 1, rows, columns), random)
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
    shared = smooth_field((x.shape[0], 1, *x.shape[2:]), correlation, random)
    each = smooth_field(tuple(x.shape), correlation, random)  # type: ignore[arg-type]
    return x + 0.03 * _wide(strength) * (shared + 0.6 * each)


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
    )
}
"""Faults of what is where: they leave a mark, in the tile or against the radar."""

FAULTS: Final[dict[str, Fault]] = UNTRACEABLE_FAULTS | TRACEABLE_FAULTS
"""Every fault by name, in the order in which they are applied."""


@dataclass(frozen=True)
class Surrogate:
    """A simulated Stage 2 output, (B, 4, H, W), reflectance.

    Attributes:
        opt_v2: With all its faults.
        mendable: With the untraceable faults alone: what a perfect network could make of opt_v2.
    """

    opt_v2: Tensor
    mendable: Tensor


def apply_faults(
    scene: SurrogateScene, strengths: dict[str, Tensor], random: torch.Generator
) -> Surrogate:
    """Apply faults in turn to the truth, the untraceable ones first.

    Args:
        scene: Truth, radar and material for faults.
        strengths: For each fault by name: (B,), 0..1; a fault that is not named is not applied.
        random: Source of randomness.
    """
    mendable = _apply(UNTRACEABLE_FAULTS, scene.truth, scene, strengths, random)
    opt_v2 = _apply(TRACEABLE_FAULTS, mendable, scene, strengths, random)
    return Surrogate(from_network_space(opt_v2), from_network_space(mendable))


def _apply(
    faults: dict[str, Fault],
    x: Tensor,
    scene: SurrogateScene,
    strengths: dict[str, Tensor],
    random: torch.Generator,
) -> Tensor:
    for name, fault in faults.items():
        strength = strengths.get(name)
        if strength is not None and bool((strength > 0).any()):
            x = fault(x, scene, strength, random)
    return x


def training_surrogate(
    scene: SurrogateScene,
    random: torch.Generator,
    *,
    left_out: frozenset[str] = frozenset(),
    share_untouched: float = 0.1,
    emphasis: float = 0.0,
) -> Surrogate:
    """Make the opt_v2 of a training batch: one severity per sample, a switch per fault.

    Args:
        scene: Truth, radar and material for faults.
        random: Source of randomness.
        left_out: Faults never used (leave-one-family-out validation).
        share_untouched: Share of samples whose opt_v2 is the truth.
        emphasis: 1 for many strong faults in every sample, as at the beginning of training, where
            rare and weak ones teach nothing but to leave every tile alone; 0 for the full range.
    """
    batch = (scene.truth.shape[0],)
    severity = uniform(batch, 0.5 * emphasis, 1.0, random)
    is_untouched = uniform(batch, 0.0, 1.0, random) < share_untouched * (1 - emphasis)
    severity = torch.where(is_untouched, 0.0, severity)
    # From a single fault, whose mark can be learned, to many at once.
    switch_on = uniform(batch, 0.05 + 0.2 * emphasis, 0.35 + 0.2 * emphasis, random)
    strengths = {}
    for name in FAULTS:
        is_on = uniform(batch, 0.0, 1.0, random) < switch_on
        strength = severity * uniform(batch, 0.3, 1.0, random)
        if name not in left_out:
            strengths[name] = torch.where(is_on, strength, 0.0)
    return apply_faults(scene, strengths, random)


def scene_of(
    truth: Tensor, s1: Tensor, generated: Tensor, random: torch.Generator
) -> SurrogateScene:
    """Gather the material of faults for a batch; the donors are other crops of the batch."""
    optical = to_network_space(truth)
    shift = 1 + int(uniform((1,), 0.0, max(1, truth.shape[0] - 1), random))
    return SurrogateScene(optical, s1, generated, optical.roll(shift, dims=0))
