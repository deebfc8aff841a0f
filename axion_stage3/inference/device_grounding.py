"""The measures of ``statistics.grounding_measures`` for a batch, on the device that has its tiles.

Definitions and reasons stand there; here they are written for tensors. numpy's are the reference:
a test holds these to them. On the CPU these take half the time, and none of it under Python's lock.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from axion_stage3.statistics.grounding_measures import (
    POWER_FLOOR,
    SCALES_PX,
    STEEPNESS_RINGS,
    TEXTURE_RINGS,
    block_cuts,
    gaussian_taps,
    window_and_rings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_WEIGHT = 1e-12


def measure_blocks_of_batch(opticals: Sequence[Tensor], s1: Tensor) -> list[Tensor]:
    """Measure optical tiles against their radar, block by block.

    Args:
        opticals: Versions of a batch of optical tiles, (B, 4, H, W) float32 reflectance each;
            H, W >= 48.
        s1: (B, 2, H, W) float32 backscatter in dB.

    Returns:
        For each block (B, 3 + 18 n) float64: texture, then the measures of each of the n versions.
    """
    return [
        _measure([tiles[..., rows, columns] for tiles in opticals], s1[..., rows, columns])
        for rows in block_cuts(s1.shape[-2])
        for columns in block_cuts(s1.shape[-1])
    ]


def constants_of(height: int, width: int, device: torch.device) -> list[Tensor]:
    """All tensors that measuring tiles of this size takes from a cache."""
    tensors = [_taps(device)]
    for rows in block_cuts(height):
        for columns in block_cuts(width):
            size = rows.stop - rows.start, columns.stop - columns.start
            tensors += _window_and_rings(*size, device)
    return tensors


def _measure(opticals: list[Tensor], s1: Tensor) -> Tensor:
    bands = torch.cat([*map(_optical_bands, opticals), s1], dim=1)
    bands -= bands.mean(dim=(2, 3), keepdim=True)
    texture, steepnesses = _spectral_measures(bands)
    blurred = _gaussian_blurs(bands)
    gradients = [_gradients(images) for images in blurred]
    edges = torch.stack([_edge_agreement(gradient) for gradient in gradients]).mean(dim=0)
    radar_gradient = gradients[-1].length[:, -1]
    # Of an even number torch gives the lower of the two in the middle: it splits in the same way.
    median = radar_gradient.flatten(1).median(dim=1).values[:, None, None]
    is_plain = (radar_gradient <= median)[:, None].float()
    n_plain = is_plain.sum(dim=(2, 3), keepdim=True)[:, :, 0]
    likenesses = [
        _likeness((sharper - blunter)[..., 1:-1, 1:-1], is_plain) / n_plain
        for sharper, blunter in pairwise([bands, *blurred])
    ]
    n_versions = len(opticals)
    parts = [edges, *likenesses, steepnesses]
    by_version = [part.reshape(len(s1), n_versions, -1) for part in parts]
    return torch.cat([texture, torch.cat(by_version, dim=2).flatten(1)], dim=1).double()


def _optical_bands(optical: Tensor) -> Tensor:
    roots = optical.clamp(min=0).sqrt()
    return torch.cat([roots[:, :3].mean(dim=1, keepdim=True), roots[:, 3:]], dim=1)


def _with_mean_radar(bands: Tensor) -> Tensor:
    return torch.cat([bands[:, :-2], bands[:, -2:].mean(dim=1, keepdim=True)], dim=1)


def _spectral_measures(bands: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3) texture and (B, N, 4) steepness."""
    window, weights = _window_and_rings(*bands.shape[-2:], bands.device)
    images = _with_mean_radar(bands) * window
    # Real and imaginary parts side by side; the weights are there for both.
    spectrum = torch.view_as_real(torch.fft.rfft2(images)).flatten(2)
    power = spectrum.square_() @ weights
    log_power = (power.double() + POWER_FLOOR).log()
    first, last = STEEPNESS_RINGS[0], STEEPNESS_RINGS[-1]
    steepness = log_power[:, :-1].diff(dim=2)[..., first : last + 1]
    return log_power[:, -1, : len(TEXTURE_RINGS)], steepness


class _Gradients(NamedTuple):
    x: Tensor
    y: Tensor
    length: Tensor


def _gradients(bands: Tensor) -> _Gradients:
    images = _with_mean_radar(bands)
    x = images[..., 1:-1, 2:] - images[..., 1:-1, :-2]
    y = images[..., 2:, 1:-1] - images[..., :-2, 1:-1]
    return _Gradients(x, y, torch.addcmul(x * x, y, y).sqrt_())


def _edge_agreement(gradients: _Gradients) -> Tensor:
    """(B, N)."""
    x, y, length = gradients
    dot = (x[:, :-1] * x[:, -1:]).addcmul_(y[:, :-1], y[:, -1:])
    weight = (length[:, :-1] * length[:, -1:]).add_(_LEAST_WEIGHT)
    return 2.0 * dot.square_().div_(weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)) - 1.0


def _likeness(detail: Tensor, is_counted: Tensor) -> Tensor:
    """(B, N, 2), not yet divided by the number of pixels that count."""
    signs = (detail.sign() * is_counted).flatten(2)
    return signs[:, :-2] @ signs[:, -2:].mT


def _gaussian_blurs(images: Tensor) -> tuple[Tensor, ...]:
    """Blurs of (B, N, H, W) by each of ``SCALES_PX``, mirrored at the border."""
    n_images, n_scales = images.shape[1], len(SCALES_PX)
    taps = _taps(images.device).repeat_interleave(n_images, dim=0)
    padded = F.pad(images, (taps.shape[-1] // 2,) * 4, mode="reflect").repeat(1, n_scales, 1, 1)
    # One kernel per image: what a network calls depthwise, on the CPU faster than shifted sums, and
    # as fast for all scales together as for the largest alone.
    padded = padded.contiguous(memory_format=torch.channels_last)
    across = F.conv2d(padded, taps[:, :, None, :], groups=len(taps))
    blurred = F.conv2d(across, taps[:, :, :, None], groups=len(taps))
    return blurred.contiguous().chunk(n_scales, dim=1)


@lru_cache(maxsize=8)
def _taps(device: torch.device) -> Tensor:
    """(scales, 1, taps) weights from the first to the last offset; 0 beyond a scale's own reach."""
    halves = [gaussian_taps(sigma_px) for sigma_px in SCALES_PX]
    taps = torch.zeros(len(halves), 1, 2 * max(map(len, halves)) - 1)
    centre = taps.shape[-1] // 2
    for row, half in zip(taps[:, 0], halves, strict=True):
        for offset, tap in enumerate(half):
            row[centre - offset] = row[centre + offset] = float(tap)
    return taps.to(device)


@lru_cache(maxsize=32)
def _window_and_rings(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    window, weights = window_and_rings(height, width)
    doubled = torch.from_numpy(weights).repeat_interleave(2, dim=0)
    return torch.from_numpy(window).to(device), doubled.to(device)
