"""Variations of true pairs: other places, seasons and sensors, made of the few that there are.

A few dozen scenes are soon known by heart: the network then mends scenes that it has seen and
takes the texture of any other for a fault. Every step therefore sees other scenes: turned, zoomed
and bent, with detail that is stronger or weaker than it was, patched from two places, in other
light and other colours. Truth, radar and generator draws change their shape alike, so that a pair
stays a true pair, truth and draws their detail; light and colours are those of the truth alone, and
the radar has its own level and speckle.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from axion_stage3.diffusion.network import from_network_space, to_network_space
from axion_stage3.training.random_fields import (
    centre_crop,
    gaussian_highpass,
    normal,
    region_mask,
    smooth_field,
    uniform,
    warp,
)

if TYPE_CHECKING:
    from axion_stage3.training.dataset import Crops

MARGIN_FACTOR = 1.5
"""How much larger than the result a crop should be: a square turned by 45 degrees needs 1.42."""
_SHARE_WARPED = 0.6
_SHARE_PATCHED = 0.3
_SHARE_OTHER_DETAIL = 0.5
_SHARE_SHARPENED = 0.5
_GENERATOR_GAIN = (0.5, 3.0)
_LOG_ZOOM = (-0.3, 0.3)
_BEND_PX = 1.5


class TruePair(NamedTuple):
    """A batch of crops before any fault.

    Attributes:
        truth: (B, 4, H, W), reflectance.
        s1: (B, 2, H, W), dB.
        generated: (B, 4, H, W), generator draws, network space.
    """

    truth: Tensor
    s1: Tensor
    generated: Tensor


def vary(crops: Crops, crop_px: int, random: torch.Generator) -> TruePair:
    """Vary a batch of crops in shape, detail, colour, light and radar level.

    Args:
        crops: Crops of at least ``crop_px``; ``MARGIN_FACTOR`` times as much leaves no corner to
            be filled by reflection.
        crop_px: Height and width of the result.
        random: Source of randomness.
    """
    optical = to_network_space(crops.truth)
    bands = torch.cat([optical, crops.s1, crops.generated], dim=1)
    bands = _patched(_warped(bands, crop_px, random), random)
    optical, s1, generated = bands[:, :4], bands[:, 4:6], bands[:, 6:]
    generated = _as_sharp_as(optical, generated, random)
    optical, generated = _with_other_detail(optical, generated, random)
    truth = _in_other_colours(from_network_space(optical.clamp_min(0.0)), random)
    return TruePair(*in_other_light(truth, s1, random), generated)


def in_other_light(truth: Tensor, s1: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vary illumination, haze and radar calibration of true pairs.

    Args:
        truth: (B, 4, H, W), reflectance.
        s1: (B, 2, H, W), dB.
        random: Source of randomness.

    Returns:
        Varied truth and s1: gain e^(0.12 N), per band e^(0.05 N), a haze offset that falls from
        blue to NIR, radar 0.6 dB common, 0.4 dB per band, and some extra speckle.
    """
    batch = truth.shape[0]
    gain = torch.exp(0.12 * normal((batch, 1, 1, 1), random))
    gain = gain * torch.exp(0.05 * normal((batch, 4, 1, 1), random))
    haze_colour = torch.tensor([0.05, 0.035, 0.02, 0.005], device=truth.device)[:, None, None]
    haze = haze_colour * uniform((batch, 1, 1, 1), -0.3, 1.0, random)
    level = 0.6 * normal((batch, 1, 1, 1), random) + 0.4 * normal((batch, 2, 1, 1), random)
    speckle = uniform((batch, 1, 1, 1), 0.0, 1.0, random) * normal(tuple(s1.shape), random)
    return (truth * gain + haze).clamp_min(0.0), s1 + level + speckle


def _warped(bands: Tensor, crop_px: int, random: torch.Generator) -> Tensor:
    """Turn by any angle, zoom by up to a third and bend a share of the crops; cut all to size."""
    batch, _, height, width = bands.shape
    angle = uniform((batch, 1, 1), 0.0, 2 * math.pi, random)
    zoom = uniform((batch, 1, 1), *_LOG_ZOOM, random).exp()
    y = torch.arange(height, device=bands.device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, device=bands.device, dtype=torch.float32) - (width - 1) / 2
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    moved_x = cosine * x - sine * y[:, None] - x
    moved_y = sine * x + cosine * y[:, None] - y[:, None]
    correlation = uniform((batch,), 8.0, 20.0, random)
    bend = _BEND_PX * smooth_field((batch, 2, height, width), correlation, random)
    displacement = centre_crop(torch.stack([moved_x, moved_y], dim=1) + bend, crop_px, crop_px)
    warped = warp(bands, displacement)
    is_warped = uniform((batch, 1, 1, 1), 0.0, 1.0, random) < _SHARE_WARPED
    return torch.where(is_warped, warped, centre_crop(bands, crop_px, crop_px))


def _patched(bands: Tensor, random: torch.Generator) -> Tensor:
    """Put regions of another place into a share of the crops, radar and optical bands alike."""
    is_patched = uniform((bands.shape[0], 1, 1, 1), 0.0, 1.0, random) < _SHARE_PATCHED
    mask = region_mask(bands, random) * is_patched
    return bands + mask * (bands.roll(1, dims=0) - bands)


def _as_sharp_as(optical: Tensor, generated: Tensor, random: torch.Generator) -> Tensor:
    """Bring the finest detail of half of the generator draws to about the power of the true one.

    A generator that is trained for minutes draws too little of it; one that is trained for days
    would not, and it is sharp inventions that Stage 3 is there to find.
    """
    batch = optical.shape[0]
    cutoff = 2.0 ** uniform((batch,), 0.0, 1.5, random)
    detail = gaussian_highpass(generated, cutoff)
    wanted = gaussian_highpass(optical, cutoff).square().mean(dim=(2, 3), keepdim=True)
    found = detail.square().mean(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    power = uniform((batch, 1, 1, 1), 0.5, 1.2, random)
    gain = (power * wanted / found).sqrt().clamp(*_GENERATOR_GAIN)
    is_sharpened = uniform((batch, 1, 1, 1), 0.0, 1.0, random) < _SHARE_SHARPENED
    return torch.where(is_sharpened, generated + (gain - 1.0) * detail, generated)


def _with_other_detail(
    optical: Tensor, generated: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Make detail up to twice as strong, or half as strong, in a share of the crops."""
    batch = optical.shape[0]
    is_other = uniform((batch, 1, 1, 1), 0.0, 1.0, random) < _SHARE_OTHER_DETAIL
    gain = uniform((batch, 1, 1, 1), -0.5, 1.0, random) * is_other
    cutoff = 2.0 ** uniform((batch,), 0.0, 2.5, random)
    return (
        optical + gain * gaussian_highpass(optical, cutoff),
        generated + gain * gaussian_highpass(generated, cutoff),
    )


def _in_other_colours(truth: Tensor, random: torch.Generator) -> Tensor:
    """Mix the bands a little, or part them."""
    batch = truth.shape[0]
    others = uniform((batch, 4, 4), 0.0, 1.0, random)
    others = others / others.sum(dim=2, keepdim=True)
    mixed = torch.einsum("bij,bjyx->biyx", others, truth)
    return truth + uniform((batch, 1, 1, 1), -0.15, 0.25, random) * (mixed - truth)
