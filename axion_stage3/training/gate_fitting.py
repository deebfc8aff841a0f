"""Fitting the calibration of the gate: how much of its corrections a trained encoder may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.diffusion.gate_calibration import gate_figures
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.figure_fitting import (
    ErrorMoments,
    SquaredError,
    cell_figures,
    fit_networks,
)

if TYPE_CHECKING:
    from axion_stage3.training.figure_fitting import Fitting
    from axion_stage3.training.training_batch import TrainingBatch

_SHARE_VARIED = 0.5


def fit_gate_calibration(network: GroundingNetwork, fitting: Fitting) -> None:
    """Fit the calibration of the gate of a trained network.

    Args:
        network: Its calibration, a new one that changes nothing yet, is changed in place.
        fitting: What it is fitted to.
    """
    assert network.gate_calibration is not None
    std = network.optical_std[:, None, None]

    def measure(batch: TrainingBatch) -> ErrorMoments:
        encoding = network.encode(batch.opt_v2, batch.s1)
        mean = to_network_space(encoding.mean)
        correction = (mean - encoding.equalized) / std
        missing = (to_network_space(batch.mendable) - mean) / std
        optical = network.normalised_optical(encoding.equalized)
        figures = gate_figures(correction, optical, encoding.doubt)
        return ErrorMoments(cell_figures(figures), SquaredError.of([correction], missing))

    # Half of them varied as in training, so that what is known by heart counts for less; half of
    # them not, so that there are scenes as they are.
    fit_networks(network.gate_calibration, measure, fitting, share_varied=_SHARE_VARIED)
