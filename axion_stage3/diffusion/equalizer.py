"""The equalizer: detail brought back to the strength that a sensor's detail has, place by place.

A sensor's optics fix how much weaker each band of detail is than the next coarser one: in true
tiles that differs by 2 to 3 dB from scene to scene, while a blur of 1 px takes 20 dB of the finest
detail and noise or sharpening add as much. So a few figures of the detail around a place tell how
blurred, noisy or sharpened it is, and by which gains it would be nearer to the truth. What
convolutions of pixels hardly see, since it is a ratio of small numbers, is measured here outright::

    opt_v2 + sum over k of gain_k * detail_k(opt_v2)        normalised network space

It is a classical restoration filter (a Wiener filter where there is noise, MTF compensation where
there is blur) whose gains are looked up from measured figures by a small network.

Several such networks, each fitted on other scenes, must agree: gains are taken as far as they do
(deep ensembles, Lakshminarayanan et al. 2017). What looks unlike all scenes that they were fitted
on is mostly left alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.highpass import (
    BAND_SIGMAS_PX,
    cell_neighbourhoods,
    detail_bands,
    from_cells,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_N_OPTICAL: Final = 4
_N_DETAIL: Final = len(BAND_SIGMAS_PX)
N_FIGURES: Final = _N_OPTICAL * 3 * _N_DETAIL
"""See :func:`figures`."""

_N_GAINS: Final = _N_OPTICAL * _N_DETAIL
_HIDDEN_WIDTH: Final = 32
_LEAST_POWER: Final = 1e-6
_LEAST_MAGNITUDE: Final = 1e-4
_MOST_UNUSUAL: Final = 4.0
_LEAST_GAIN, _MOST_GAIN = -1.0, 3.0


class DetailEqualizer(nn.Module):
    """Figures of the detail around each place, and small networks that turn them into gains.

    Without training it changes nothing.

    Args:
        n_members: Number of networks that must agree.
    """

    figure_mean: Tensor
    figure_std: Tensor

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.register_buffer("figure_mean", torch.zeros(N_FIGURES))
        self.register_buffer("figure_std", torch.ones(N_FIGURES))
        sizes = (N_FIGURES, _HIDDEN_WIDTH, _HIDDEN_WIDTH, _N_GAINS)
        self.weights = nn.ParameterList(torch.zeros(n_members, *s) for s in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n_members, 1, width) for width in sizes[1:])

    def forward(self, normalised: Tensor) -> Tensor:
        """Return what is to be added to optical bands (B, 4, H, W), normalised network space."""
        with torch.autocast(normalised.device.type, enabled=False):
            detail = detail_bands(normalised)
            gains = self.gains(figures(local_moments(detail))).movedim(-1, 1).contiguous()
            rows, columns = (from_cells(px, gains.device) for px in normalised.shape[-2:])
            added = torch.zeros_like(normalised)
            for number, band in enumerate(detail):
                gain = rows @ gains[:, number::_N_DETAIL] @ columns.mT
                added.addcmul_(gain, band)
            return added

    def gains(self, figures: Tensor) -> Tensor:
        """Turn figures (..., 48) into gains (..., 16), as far as the members agree.

        There is one for each optical band and each of its bands of detail.
        """
        of_members = self.gains_of_members(figures.flatten(0, -2))
        agreed = of_members.mean(dim=0)
        variance = of_members.var(dim=0, correction=0)
        # A gain on which they differ by more than it is worth is mostly left out.
        agreed = agreed * agreed.square() / (agreed.square() + variance + _LEAST_POWER)
        return agreed.reshape(*figures.shape[:-1], _N_GAINS)

    def gains_of_members(self, figures: Tensor) -> Tensor:
        """Turn figures (N, 48), or (members, N, 48), into gains (members, N, 16)."""
        unusual = (figures - self.figure_mean) / self.figure_std
        hidden = unusual.clamp(-_MOST_UNUSUAL, _MOST_UNUSUAL)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if layer < last:
                hidden = F.silu(hidden)
        return hidden.clamp(_LEAST_GAIN, _MOST_GAIN)


def local_moments(detail: Sequence[Tensor]) -> Tensor:
    """Mean squares, magnitudes, products of neighbouring bands and steps around each cell.

    Args:
        detail: The bands of detail, the finest first, (B, 4, H, W) each.

    Returns:
        (B, 4, 13, y, x): 4 squares, 4 magnitudes, 3 products, and 2 squares of the steps of the
        finest band from pixel to pixel, means of some 80 px around.
    """
    rows, columns = (cell_neighbourhoods(px, detail[0].device) for px in detail[0].shape[-2:])
    # One after the other: what is in the cache is still there.
    means = [
        *(rows @ band.square() @ columns.mT for band in detail),
        *(rows @ band.abs() @ columns.mT for band in detail),
        *(rows @ (finer * coarser) @ columns.mT for finer, coarser in pairwise(detail)),
        *(rows @ step.square() @ columns.mT for step in _steps(detail[0])),
    ]
    return torch.stack(means, dim=2)


def _steps(band: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels down and across, of the shape of the band."""
    down, across = band.diff(dim=-2), band.diff(dim=-1)
    return F.pad(down, (0, 0, 0, 1)), F.pad(across, (0, 1))


def figures(moments: Tensor) -> Tensor:
    """What tells blur, noise and sharpening apart, (B, y, x, 48), from :func:`local_moments`.

    For each optical band: how much weaker each band of detail is than the next coarser one (3, in
    logarithms), how alike the two are (3, correlation: blur leaves one picture in both, noise two),
    how sparse each is (4, logarithm of magnitude over root mean square: edges are, noise is not),
    and how rough the finest one is down and across (2, logarithm of its steps over its strength:
    what lies beyond the finest band tells a soft blur from resampling).
    """
    power = moments[:, :, :_N_DETAIL] + _LEAST_POWER
    magnitude = moments[:, :, _N_DETAIL : 2 * _N_DETAIL].clamp_min(_LEAST_MAGNITUDE)
    product = moments[:, :, 2 * _N_DETAIL : 3 * _N_DETAIL - 1]
    step = moments[:, :, 3 * _N_DETAIL - 1 :] + _LEAST_POWER
    level = power.log()
    weaker = level[:, :, :-1] - level[:, :, 1:]
    alike = product / (power[:, :, :-1] * power[:, :, 1:]).sqrt()
    sparse = magnitude.log() - 0.5 * level
    rough = step.log() - level[:, :, :1]
    parts = [part.flatten(1, 2) for part in (weaker, alike, sparse, rough)]
    return torch.cat(parts, dim=1).movedim(1, -1)
