"""Fitting the calibration of the gate: how much of its corrections a trained encoder may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from axion_stage3.diffusion.gate_calibration import gate_figures
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.figure_fitting import Cells, fit_networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.training.dataset import TileSet
    from axion_stage3.training.training_batch import TrainingBatch

_SHARE_VARIED = 0.5


def fit_gate_calibration(
    network: GroundingNetwork,
    tiles: TileSet,
    *,
    n_crops: int,
    seed: int,
    left_out_faults: frozenset[str] = frozenset(),
    on_step: Callable[[float], None] = lambda _progress: None,
) -> None:
    """Fit the calibration of the gate of a trained network.

    Args:
        network: Its calibration, a new one that changes nothing yet, is changed in place.
        tiles: Training tiles.
        n_crops: Crops to gather; real Stage 2 outputs are taken as they are, faults simulated
            elsewhere.
        seed: Of crops, faults and initialisation.
        left_out_faults: Faults never used.
        on_step: Called with the share done.
    """
    assert network.gate_calibration is not None
    std = network.optical_std[:, None, None]

    def measure(batch: TrainingBatch) -> Cells:
        encoding = network.encode(batch.opt_v2, batch.s1)
        mean = to_network_space(encoding.mean)
        correction = (mean - encoding.equalized) / std
        missing = (to_network_space(batch.mendable) - mean) / std
        optical = network.normalised_optical(encoding.equalized)
        return Cells.of(gate_figures(correction, optical, encoding.doubt), [correction], missing)

    # Half of them varied as in training, so that what is known by heart counts for less; half of
    # them not, so that there are scenes as they are.
    fit_networks(
        network.gate_calibration,
        measure,
        tiles,
        n_crops=n_crops,
        random=torch.Generator(device=tiles.device).manual_seed(seed + 3),
        left_out_faults=left_out_faults,
        on_step=on_step,
        share_varied=_SHARE_VARIED,
    )
