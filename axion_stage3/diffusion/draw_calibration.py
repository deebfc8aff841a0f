"""The calibrated draw: how much detail is drawn, and how much the mean's own is amplified.

The head of the detail foresees how strong detail is to be by what it learned from few scenes and
faults; of others it draws twice too much or hardly any. What it foresees is therefore judged once
more, around each place, by six figures a band: how fast the detail of the mean fades from band to
band, which tells how blurred it is, and how strong what it foresees is beside that.

Where the mean is blurred, its own finest detail is amplified: for the same power that costs less
error than noise, which knows nothing of the tile. With a gain g it changes by g - 1 of itself,
noise by the root of g² - 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from axion_stage3.diffusion.agreeing_networks import AgreeingNetworks
from axion_stage3.diffusion.highpass import (
    BAND_SIGMAS_PX,
    between_cells,
    detail_bands,
    means_around_cells,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

N_DRAW_FIGURES: Final = 4 * (len(BAND_SIGMAS_PX) + 2)
"""See :func:`draw_figures`."""

_N_OPTICAL: Final = 4
_N_GAINS: Final = 2
_GAIN_RANGE: Final = (-1.0, 6.0)
_LEAST_POWER: Final = 1e-12
_LEAST_WORTHWHILE: Final = 0.03
"""Square of an amplification of which half is left out: small ones harm what is nearly right."""


class DrawCalibration(AgreeingNetworks):
    """Figures of mean and expectation around each place, and networks that turn them into gains.

    Without training everything is drawn as it was foreseen, and nothing is amplified.

    Args:
        n_members: Number of networks that must agree.
    """

    def __init__(self, n_members: int) -> None:
        super().__init__(n_members, N_DRAW_FIGURES, _N_GAINS * _N_OPTICAL, _GAIN_RANGE)

    def forward(self, drawn: Tensor, mean: Tensor, expected_powers: Sequence[Tensor]) -> Tensor:
        """Return the detail to be added, (B, 4, H, W), reflectance.

        Args:
            drawn: Detail as it was foreseen, (B, 4, H, W), reflectance.
            mean: What it is drawn on, likewise.
            expected_powers: See :func:`draw_figures`.
        """
        bands = detail_bands(mean)
        gains = self.gains(draw_figures(bands, expected_powers)).movedim(-1, 1)
        of_drawn, of_finest = (gains[:, number::_N_GAINS] for number in range(_N_GAINS))
        square = of_finest.square()
        of_finest = of_finest * square / (square + _LEAST_WORTHWHILE)
        size = mean.shape[-2:]
        added = torch.addcmul(drawn, between_cells(of_drawn.contiguous(), *size), drawn)
        return added.addcmul_(between_cells(of_finest, *size), bands[0])


def draw_figures(bands: Sequence[Tensor], expected_powers: Sequence[Tensor]) -> Tensor:
    """What tells how much is to be drawn, (B, y, x, 24).

    For each optical band, in logarithms, from means of some 80 px around: how much weaker each band
    of the mean's detail is than the next coarser one (3), how strong the detail that the mean lacks
    and all detail are expected to be, beside the second finest band (2), and the former as it is
    (1).

    Args:
        bands: Bands of the mean's detail, the finest first, (B, 4, H, W) each, reflectance.
        expected_powers: Squared strengths of the detail that the mean lacks and of all detail,
            likewise.
    """
    levels = [_level(band.square()) for band in bands]
    missing, wanted = (_level(power) for power in expected_powers)
    figures = [
        *(finer - coarser for finer, coarser in pairwise(levels)),
        missing - levels[1],
        wanted - levels[1],
        missing,
    ]
    return torch.cat(figures, dim=1).movedim(1, -1)


def _level(power: Tensor) -> Tensor:
    return 0.5 * (means_around_cells(power) + _LEAST_POWER).log()
