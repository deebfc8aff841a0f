"""Fitting the equalizer: from measured figures of spoiled crops to the gains that mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from axion_stage3.diffusion.equalizer import figures, local_moments
from axion_stage3.diffusion.highpass import detail_bands
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.figure_fitting import Cells, fit_networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.training.dataset import TileSet
    from axion_stage3.training.training_batch import TrainingBatch


def fit_equalizer(
    network: GroundingNetwork,
    tiles: TileSet,
    *,
    n_crops: int,
    seed: int,
    left_out_faults: frozenset[str] = frozenset(),
    on_step: Callable[[float], None] = lambda _progress: None,
) -> None:
    """Fit the equalizer of a network, whose normalisation is measured already, anew.

    Args:
        network: Its equalizer, if it has one, is changed in place.
        tiles: Training tiles.
        n_crops: Crops to gather; real Stage 2 outputs are taken as they are, faults simulated
            elsewhere.
        seed: Of crops, faults and initialisation.
        left_out_faults: Faults never used.
        on_step: Called with the share done.
    """
    if network.equalizer is None:
        return

    def measure(batch: TrainingBatch) -> Cells:
        given, wanted = (
            network.normalised_optical(to_network_space(tile))
            for tile in (batch.opt_v2, batch.mendable)
        )
        bands = detail_bands(given)
        return Cells.of(figures(local_moments(bands)), bands, wanted - given)

    # Neither turned, zoomed nor sharpened: the strength of a sensor's detail is to be learned.
    fit_networks(
        network.equalizer,
        measure,
        tiles,
        n_crops=n_crops,
        random=torch.Generator(device=tiles.device).manual_seed(seed + 2),
        left_out_faults=left_out_faults,
        on_step=on_step,
    )
