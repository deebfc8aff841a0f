"""The equalizer: detail brought back to the strength that a sensor's detail has, place by place.

A sensor's optics fix how much weaker each band of detail is than the next coarser one: in true
tiles that differs by 2 to 3 dB from scene to scene, while a blur of 1 px takes 20 dB of the finest
detail and noise or sharpening add as much. So a few figures of the detail around a place tell how
blurred, noisy or sharpened it is, and by which gains it would be nearer to the truth. What
convolutions of pixels hardly see, since it is a ratio of small numbers, is measured here outright::

    opt_v2 + sum over k of gain_k * detail_k(opt_v2)        normalised network space

It is a classical restoration filter (a Wiener filter where there is noise, MTF compensation where
there is blur) whose gains are looked up from measured figures (see ``agreeing_networks.py``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.agreeing_networks import AgreeingNetworks
from axion_stage3.diffusion.highpass import (
    BAND_SIGMAS_PX,
    between_cells,
    detail_bands,
    means_around_cells,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_N_OPTICAL: Final = 4
_N_DETAIL: Final = len(BAND_SIGMAS_PX)
N_FIGURES: Final = _N_OPTICAL * 3 * _N_DETAIL
"""See :func:`figures`."""

_LEAST_POWER: Final = 1e-6
_LEAST_MAGNITUDE: Final = 1e-4
_GAIN_RANGE: Final = (-1.0, 3.0)


class DetailEqualizer(AgreeingNetworks):
    """Figures of the detail around each place, and networks that turn them into gains.

    There is a gain for each optical band and each of its bands of detail. Without training nothing
    is changed.

    Args:
        n_members: Number of networks that must agree.
    """

    def __init__(self, n_members: int) -> None:
        super().__init__(n_members, N_FIGURES, _N_OPTICAL * _N_DETAIL, _GAIN_RANGE)

    def forward(self, normalised: Tensor) -> Tensor:
        """Return what is to be added to optical bands (B, 4, H, W), normalised network space."""
        with torch.autocast(normalised.device.type, enabled=False):
            detail = detail_bands(normalised)
            gains = self.gains(figures(local_moments(detail))).movedim(-1, 1).contiguous()
            added = torch.zeros_like(normalised)
            for number, band in enumerate(detail):
                gain = between_cells(gains[:, number::_N_DETAIL], *band.shape[-2:])
                added.addcmul_(gain, band)
            return added


def local_moments(detail: Sequence[Tensor]) -> Tensor:
    """Mean squares, magnitudes, products of neighbouring bands and steps around each cell.

    Args:
        detail: The bands of detail, the finest first, (B, 4, H, W) each.

    Returns:
        (B, 4, 13, y, x): 4 squares, 4 magnitudes, 3 products, and 2 squares of the steps of the
        finest band from pixel to pixel, means of some 80 px around.
    """
    # One after the other: what is in the cache is still there.
    means = [
        *(means_around_cells(band.square()) for band in detail),
        *(means_around_cells(band.abs()) for band in detail),
        *(means_around_cells(finer * coarser) for finer, coarser in pairwise(detail)),
        *(means_around_cells(step.square()) for step in _steps(detail[0])),
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
