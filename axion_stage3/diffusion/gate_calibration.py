"""The calibrated gate: how much of the encoder's correction is taken, by measured figures.

The encoder foresees the error of each band by what it learned from few scenes, and is sometimes
sure and wrong in another one. What it proposes is therefore judged once more, around each place, by
sixteen figures that know nothing of the scene: how strong the correction of each band is, also
beside the detail that is there, what error was foreseen, and whether it takes detail away or adds
some. The networks see the four bands side by side: one band that is corrected much more than the
others is a fault, four that are corrected alike are more often another kind of place.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from axion_stage3.diffusion.agreeing_networks import AgreeingNetworks
from axion_stage3.diffusion.highpass import (
    BAND_SIGMAS_PX,
    between_cells,
    lowpass,
    means_around_cells,
)

_N_OPTICAL: Final = 4
N_GATE_FIGURES: Final = 4 * _N_OPTICAL
"""See :func:`gate_figures`."""

_GAIN_RANGE: Final = (-1.0, 1.0)
_LEAST_POWER: Final = 1e-6


class GateCalibration(AgreeingNetworks):
    """Figures of the correction around each place, and networks that turn them into shares of it.

    Without training all of the correction is taken.

    Args:
        n_members: Number of networks that must agree.
    """

    def __init__(self, n_members: int) -> None:
        super().__init__(n_members, N_GATE_FIGURES, _N_OPTICAL, _GAIN_RANGE)

    def forward(self, correction: Tensor, optical: Tensor, doubt: Tensor) -> Tensor:
        """Return the correction as far as it is to be taken: from none to twice of it.

        Args:
            correction: What the encoder would add, (B, 4, H, W), standard deviations.
            optical: What it would add it to, likewise.
            doubt: The error that it foresees, likewise.
        """
        with torch.autocast(correction.device.type, enabled=False):
            gains = self.gains(gate_figures(correction, optical, doubt)).movedim(-1, 1)
            shares = between_cells(gains, *correction.shape[-2:])
            return torch.addcmul(correction, shares, correction)


def gate_figures(correction: Tensor, optical: Tensor, doubt: Tensor) -> Tensor:
    """What tells a correction that is due from one that is not, (B, y, x, 16).

    For each optical band, means of some 80 px around: how strong the correction is, how strong
    beside the detail finer than 5 px (2, logarithms), the error foreseen (logarithm), and whether
    detail is taken away (-1) or made stronger (1, correlation).

    Args:
        correction: (B, 4, H, W), standard deviations.
        optical: What is corrected, likewise.
        doubt: Foreseen error, likewise.
    """
    detail = optical - lowpass(optical, BAND_SIGMAS_PX[-1])
    strength = means_around_cells(correction.square()) + _LEAST_POWER
    present = means_around_cells(detail.square()) + _LEAST_POWER
    alike = means_around_cells(correction * detail) / (strength * present).sqrt()
    foreseen = means_around_cells(doubt.log())
    level = 0.5 * strength.log()
    figures = torch.cat([level, level - 0.5 * present.log(), foreseen, alike], dim=1)
    return figures.movedim(1, -1)
