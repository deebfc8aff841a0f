"""Faults of Stage 2: each a function of (tile, scene, strength) that spoils a tile.

Strength 0 leaves the tile exactly as it is. All work is in network space (square root of
reflectance), batched, and depends only on the random generator handed in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional as F  # noqa: N812

from axion_stage3.training.random_fields import (
    centre_crop,
    gaussian_blur,
    gaussian_blur_of_columns,
    gaussian_highpass,
    normal,
    region_mask,
    smooth_field,
    uniform,
    warp,
)
from axion_stage3.training.stage2_pattern_faults import (
    checkerboard,
    coarse_grid,
    coloured_noise,
    patch_seams,
    quantised_blocks,
    stripes,
)
from axion_stage3.training.surrogate_scene import partly_common_field, wide

if TYPE_CHECKING:
    from torch import Tensor

    from axion_stage3.training.surrogate_scene import Fault, SurrogateScene

_OPTICS_MARGIN_PX: Final = 16


def _cutoff_px(strength: Tensor, random: torch.Generator) -> Tensor:
    """Cut-off between kept low and replaced high frequencies: 1.5 to 16 px, log-uniform."""
    return 1.5 * 2.0 ** uniform(tuple(strength.shape), 0.0, 3.4, random)


def invented_detail(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """Detail from a radar-to-optical generator in place of the true one."""
    cutoff = _cutoff_px(strength, random)
    return x + wide(strength) * gaussian_highpass(scene.generated - x, cutoff)


def borrowed_detail(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """Detail from another place in place of the true one."""
    cutoff = _cutoff_px(strength, random)
    return x + wide(strength) * gaussian_highpass(scene.donor - x, cutoff)


def generated_scene(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """The generator's tile at every frequency, its mean colour moved towards the tile's."""
    offset = (x - scene.generated).mean(dim=(2, 3), keepdim=True)
    share = wide(uniform(tuple(strength.shape), 0.5, 1.0, random))
    return x + wide(strength) * (scene.generated + share * offset - x)


def replaced_regions(
    x: Tensor, scene: SurrogateScene, strength: Tensor, random: torch.Generator
) -> Tensor:
    """Regions from another place, in the colours of this one."""
    offset = (x - scene.donor).mean(dim=(2, 3), keepdim=True)
    return x + wide(strength) * region_mask(x, random) * (scene.donor + offset - x)


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
    return x + wide(strength) * region_mask(x, random) * (blurred - x)


def moved_edges(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Edges displaced by a smooth random field, up to about 4 px."""
    correlation = uniform((x.shape[0],), 5.0, 16.0, random)
    field = smooth_field((x.shape[0], 2, *x.shape[2:]), correlation, random)
    moved = warp(x, 2.0 * wide(strength) * field)
    return torch.where(wide(strength) > 0, moved, x)


def misregistered(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """The whole tile shifted by up to 2.5 px; by whole pixels in half of the samples."""
    shift = 2.5 * wide(strength) * uniform((x.shape[0], 2, 1, 1), -1.0, 1.0, random)
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
    return x * (1 + 0.03 * wide(strength) * leak)


def colour_cast(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Gain and offset per band."""
    gain = torch.exp(0.12 * wide(strength) * normal((x.shape[0], 4, 1, 1), random))
    return x * gain + 0.03 * wide(strength) * normal((x.shape[0], 4, 1, 1), random)


def uneven_cast(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """A colour cast that drifts over the tile."""
    correlation = uniform((x.shape[0],), 8.0, 32.0, random)
    return x + 0.035 * wide(strength) * partly_common_field(x, correlation, 0.7, random)


def tone_curve(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Contrast and gamma errors, and bands pulled towards their common mean."""
    batch = x.shape[0]
    mean = x.mean(dim=(2, 3), keepdim=True)
    contrast = 1 + 0.35 * wide(strength) * normal((batch, 1, 1, 1), random).clamp(-2, 2)
    curved = mean + (x - mean) * contrast
    shared = (curved - mean).mean(dim=1, keepdim=True) + mean
    mix = 0.5 * wide(strength) * uniform((batch, 1, 1, 1), 0.0, 1.0, random)
    return curved + mix * (shared - curved)


def detail_gain(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Detail too strong (sharpened) or too weak."""
    gain = 0.6 * wide(strength) * normal((x.shape[0], 1, 1, 1), random).clamp(-1.5, 1.5)
    cutoff = uniform((x.shape[0],), 1.0, 5.0, random)
    return x + gain * gaussian_highpass(x, cutoff)


def over_sharpening(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """True detail up to 3.5 times as strong, with the halos that come of it."""
    gain = strength * uniform(tuple(strength.shape), 0.3, 2.5, random)
    return x + wide(gain) * gaussian_highpass(x, uniform((x.shape[0],), 0.6, 3.0, random))


def uneven_detail(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Detail of about the right power with wrong signs: stronger here, gone or reversed there."""
    detail = gaussian_highpass(x, _cutoff_px(strength, random))
    correlation = 2.0 ** uniform((x.shape[0],), 0.0, 4.0, random)
    gain = 0.7 * partly_common_field(x, correlation, 0.5, random)
    return x + wide(strength) * (gain - 1.0) * detail


def displaced_detail(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Detail of another part of the tile in place of the true one, or on top of it."""
    detail = gaussian_highpass(x, _cutoff_px(strength, random))
    down, right = (int(v) for v in uniform((2,), -16.0, 17.0, random))
    share = wide(uniform(tuple(strength.shape), 0.0, 1.0, random))
    return x + wide(strength) * (detail.roll((down, right), dims=(2, 3)) - share * detail)


def common_detail(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """The same detail in all bands, as in a grey picture that was coloured."""
    detail = gaussian_highpass(x, _cutoff_px(strength, random))
    grey = (uniform((x.shape[0], 4, 1, 1), 0.0, 1.0, random) * detail).sum(dim=1, keepdim=True)
    wanted, found = (d.square().mean(dim=(2, 3), keepdim=True) for d in (detail, grey))
    return x + wide(strength) * ((wanted / found.clamp_min(1e-9)).sqrt() * grey - detail)


def directional_blur(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Blur of up to 4 px along the rows or along the columns alone."""
    sigma = strength * uniform(tuple(strength.shape), 0.5, 4.0, random)
    if float(uniform((1,), 0.0, 1.0, random)) < 0.5:
        return gaussian_blur_of_columns(x.mT, sigma).mT
    return gaussian_blur_of_columns(x, sigma)


def other_optics(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Seen by optics of another transfer function, exp(-(f / cutoff)^steepness).

    From wide halos (steepness 1) over a Gaussian (2) to the sharp end that resampling has (8); in
    half of the samples weaker in one direction of any angle.
    """
    batch, height, width = x.shape[0], *x.shape[-2:]
    padded = F.pad(x, (_OPTICS_MARGIN_PX,) * 4, mode="reflect")
    down = torch.fft.fftfreq(padded.shape[-2], device=x.device)[:, None]
    right = torch.fft.rfftfreq(padded.shape[-1], device=x.device)
    angle = uniform((batch, 1, 1), 0.0, math.pi, random)
    across = uniform((batch, 1, 1), 0.0, 2.0, random).clamp(max=1.0)
    frequency = torch.hypot(
        angle.cos() * right + angle.sin() * down,
        across * (angle.cos() * down - angle.sin() * right),
    )
    cutoff = 0.12 * 2.0 ** uniform((batch, 1, 1), 0.0, 2.6, random)
    steepness = 2.0 ** uniform((batch, 1, 1), 0.0, 3.0, random)
    passed = torch.exp(-strength[:, None, None] * (frequency / cutoff) ** steepness)
    seen = torch.fft.irfft2(torch.fft.rfft2(padded) * passed[:, None], s=padded.shape[-2:])
    return torch.where(wide(strength) > 0, centre_crop(seen, height, width), x)


def resampled(
    x: Tensor,
    scene: SurrogateScene,  # noqa: ARG001
    strength: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Computed with pixels up to four times as large, enlarged again by another interpolation."""
    factor = 2.0 ** float(uniform((1,), 0.2, 2.0, random))
    smaller, larger = (float(uniform((1,), 0.0, 1.0, random)) for _ in range(2))
    size = [max(4, round(length / factor)) for length in x.shape[-2:]]
    if smaller < 0.4:
        small = F.interpolate(x, size=size, mode="area")
    else:
        small = F.interpolate(
            x, size=size, mode="bicubic" if smaller < 0.8 else "bilinear", antialias=True
        )
    mode = "bicubic" if larger < 0.5 else "bilinear" if larger < 0.8 else "nearest"
    large = F.interpolate(small, size=x.shape[-2:], mode=mode)
    return x + (2.0 * wide(strength)).clamp(max=1.0) * (large - x)


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
        over_sharpening,
        uneven_detail,
        displaced_detail,
        common_detail,
        directional_blur,
        stripes,
        other_optics,
        resampled,
    )
}
"""Faults of what is where: they leave a mark, in the tile or against the radar."""

FAULTS: Final[dict[str, Fault]] = UNTRACEABLE_FAULTS | TRACEABLE_FAULTS
"""Every fault by name, in the order in which they are applied."""
