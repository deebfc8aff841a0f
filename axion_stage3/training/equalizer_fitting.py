"""Fitting the equalizer: from measured figures of spoiled crops to the gains that mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.diffusion.equalizer import figures, local_moments
from axion_stage3.diffusion.highpass import detail_bands
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


def fit_equalizer(network: GroundingNetwork, fitting: Fitting) -> None:
    """Fit the equalizer of a network, whose normalisation is measured already, anew.

    Args:
        network: Its equalizer, if it has one, is changed in place.
        fitting: What it is fitted to.
    """
    if network.equalizer is None:
        return

    def measure(batch: TrainingBatch) -> ErrorMoments:
        given, wanted = (
            network.normalised_optical(to_network_space(tile))
            for tile in (batch.opt_v2, batch.mendable)
        )
        bands = detail_bands(given)
        found = cell_figures(figures(local_moments(bands)))
        return ErrorMoments(found, SquaredError.of(bands, wanted - given))

    # Neither turned, zoomed nor sharpened: the strength of a sensor's detail is to be learned.
    fit_networks(network.equalizer, measure, fitting)
