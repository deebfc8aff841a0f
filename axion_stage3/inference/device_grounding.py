"""The measures of ``statistics.grounding_measures`` for a batch, on the device that has its tiles.

Definitions and reasons stand there; here they are written for tensors. numpy's are the reference:
a test holds these to them. On the CPU these take half the time, and none of it under Python's lock.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from axion_stage3.statistics.grounding_measures import (
    LEAST_WEIGHT,
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

_BANDS_OF_A_VERSION = 2
_STRIP_PX = 8
"""With two scales as many channels as the CPU multiplies at once."""


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
    tensors = [*_blur_weights(device)]
    for rows in block_cuts(height):
        for columns in block_cuts(width):
            size = rows.stop - rows.start, columns.stop - columns.start
            tensors += _window_and_rings(*size, device)
    return tensors


def _measure(opticals: list[Tensor], s1: Tensor) -> Tensor:
    n_optical = len(opticals) * _BANDS_OF_A_VERSION
    mean_radar = s1.mean(dim=1, keepdim=True)
    bands = torch.cat([mean_radar, *chain(*map(_optical_bands, opticals)), s1], dim=1)
    bands -= bands.mean(dim=(2, 3), keepdim=True)
    texture, steepnesses = _spectral_measures(bands[:, : n_optical + 1])
    images = bands[:, 1:]
    blurred = _gaussian_blurs(images)
    radar = [_gradients(blur[:, n_optical:].mean(dim=1, keepdim=True)) for blur in blurred]
    edges = torch.stack(
        [
            _edge_agreement(_gradients(blur[:, :n_optical]), gradients)
            for blur, gradients in zip(blurred, radar, strict=True)
        ]
    ).mean(dim=0)
    # Of an even number torch gives the lower of the two in the middle: it splits in the same way.
    median = radar[-1].length.flatten(1).median(dim=1).values[:, None, None, None]
    is_plain = (radar[-1].length <= median).float()
    n_plain = is_plain.sum(dim=(2, 3), keepdim=True)[:, :, 0]
    likenesses = [
        _likeness(sharper[..., 1:-1, 1:-1] - blunter[..., 1:-1, 1:-1], is_plain) / n_plain
        for sharper, blunter in pairwise([images, *blurred])
    ]
    n_versions = len(opticals)
    parts = [edges, *likenesses, steepnesses]
    by_version = [part.reshape(len(s1), n_versions, -1) for part in parts]
    return torch.cat([texture, torch.cat(by_version, dim=2).flatten(1)], dim=1).double()


def _optical_bands(optical: Tensor) -> tuple[Tensor, Tensor]:
    roots = optical.clamp(min=0).sqrt_()
    return roots[:, :3].mean(dim=1, keepdim=True), roots[:, 3:]


def _spectral_measures(images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3) texture and (B, N, 4) steepness of the radar's mean band and N optical bands."""
    window, weights = _window_and_rings(*images.shape[-2:], images.device)
    # Real and imaginary parts side by side; the weights are there for both.
    spectrum = torch.view_as_real(torch.fft.rfft2(images * window)).flatten(2)
    power = F.linear(spectrum.square_(), weights)
    log_power = (power.double() + POWER_FLOOR).log()
    first, last = STEEPNESS_RINGS[0], STEEPNESS_RINGS[-1]
    steepness = log_power[:, 1:].diff(dim=2)[..., first : last + 1]
    return log_power[:, 0, : len(TEXTURE_RINGS)], steepness


class _Gradients(NamedTuple):
    x: Tensor
    y: Tensor
    length: Tensor


def _gradients(images: Tensor) -> _Gradients:
    x = images[..., 1:-1, 2:] - images[..., 1:-1, :-2]
    y = images[..., 2:, 1:-1] - images[..., :-2, 1:-1]
    return _Gradients(x, y, torch.addcmul(x * x, y, y).sqrt_())


def _edge_agreement(optical: _Gradients, radar: _Gradients) -> Tensor:
    """(B, N)."""
    dot = (optical.x * radar.x).addcmul_(optical.y, radar.y)
    weight = optical.length * radar.length
    total = weight.sum(dim=(2, 3))
    parallel = dot.square_().div_(weight.add_(LEAST_WEIGHT)).sum(dim=(2, 3))
    return (2.0 * parallel - total) / (total + LEAST_WEIGHT * weight[0, 0].numel())


def _likeness(detail: Tensor, is_counted: Tensor) -> Tensor:
    """(B, N, 2), not yet divided by the number of pixels that count."""
    signs = detail.sign()
    signs[:, -2:] *= is_counted
    signs = signs.flatten(2)
    return signs[:, :-2] @ signs[:, -2:].mT


def _gaussian_blurs(images: Tensor) -> tuple[Tensor, ...]:
    """Blurs of (B, N, H, W) by each of ``SCALES_PX``, mirrored at the border."""
    *batch, height, width = images.shape
    across, along = _blur_weights(images.device)
    reach = along.shape[-1] // 2
    n_strips = -(-width // _STRIP_PX)
    rows = F.pad(images, (reach,) * 4, mode="reflect").flatten(0, -2)
    if n_missing := n_strips * _STRIP_PX - width:
        rows = F.pad(rows, (0, n_missing))
    # Across the columns: strips that overlap, each by the same small matrix, all scales in one.
    strips = rows.as_strided((n_strips, len(rows), len(across)), (_STRIP_PX, rows.shape[1], 1))
    blurred = torch.bmm(strips, across.expand(n_strips, -1, -1))
    # Down the rows: a line of pixels per strip, in whose channels lie scales and columns. It is
    # what a network calls depthwise, on the CPU faster than shifted sums; no band has to be brought
    # into channels-last and back.
    lines = blurred.view(-1, 1, height + 2 * reach, blurred.shape[-1]).permute(0, 3, 1, 2)
    blurred = F.conv2d(lines, along, groups=len(along)).permute(0, 3, 2, 1)
    blurred = blurred.reshape(n_strips, -1, height, len(SCALES_PX), _STRIP_PX)
    whole = blurred.permute(3, 1, 2, 0, 4).reshape(-1, *batch, height, n_strips * _STRIP_PX)
    return whole[..., :width].unbind()


@lru_cache(maxsize=8)
def _blur_weights(device: torch.device) -> tuple[Tensor, Tensor]:
    """(columns of a strip and its surroundings, scales x columns), (scales x columns, 1, 1, taps).

    The taps of each scale go from the first to the last offset; 0 beyond its own reach.
    """
    halves = [gaussian_taps(sigma_px) for sigma_px in SCALES_PX]
    n_taps = 2 * max(map(len, halves)) - 1
    taps = torch.zeros(len(halves), n_taps)
    for row, half in zip(taps, halves, strict=True):
        for offset, tap in enumerate(half):
            row[n_taps // 2 - offset] = row[n_taps // 2 + offset] = float(tap)
    across = torch.zeros(_STRIP_PX + n_taps - 1, len(halves), _STRIP_PX)
    for column in range(_STRIP_PX):
        across[column : column + n_taps, :, column] = taps.T
    along = taps.repeat_interleave(_STRIP_PX, dim=0)[:, None, None, :]
    return across.flatten(1).to(device), along.to(device)


@lru_cache(maxsize=32)
def _window_and_rings(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    window, weights = window_and_rings(height, width)
    doubled = torch.from_numpy(weights).repeat_interleave(2, dim=0).T.contiguous()
    return torch.from_numpy(window).to(device), doubled.to(device)
