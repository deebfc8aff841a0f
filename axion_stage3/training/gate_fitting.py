"""Fitting the calibration of the gate: how much of its corrections a trained encoder may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from axion_stage3.diffusion.gate_calibration import gate_figures
from axion_stage3.diffusion.highpass import CELL_PX
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.augmentation import MARGIN_FACTOR, TruePair, in_other_light, vary
from axion_stage3.training.figure_fitting import (
    CROPS_AT_ONCE,
    FITTING_CROP_PX,
    Cells,
    fit_networks,
    spoiled_for_fitting,
)
from axion_stage3.training.random_fields import centre_crop, uniform
from axion_stage3.training.stage2_surrogates import scene_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from axion_stage3.training.dataset import TileSet

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
    random = torch.Generator(device=tiles.device).manual_seed(seed + 3)

    def gather() -> tuple[Cells, Tensor]:
        crop_px = min(FITTING_CROP_PX, tiles.smallest_px // CELL_PX * CELL_PX)
        # Half of them varied as in training, so that what is known by heart counts for less; half
        # of them not, so that there are scenes as they are.
        if float(uniform((1,), 0.0, 1.0, random)) < _SHARE_VARIED:
            wide_px = min(round(MARGIN_FACTOR * crop_px), tiles.smallest_px)
            crops = tiles.sample(CROPS_AT_ONCE, wide_px, random)
            pair = vary(crops, crop_px, random)
        else:
            crops = tiles.sample(CROPS_AT_ONCE, crop_px, random)
            pair = TruePair(*in_other_light(crops.truth, crops.s1, random), crops.generated)
        scene = scene_of(pair.truth, pair.s1, pair.generated, random)
        surrogate = spoiled_for_fitting(scene, left_out_faults, random)
        is_real = crops.has_opt_v2[:, None, None, None]
        opt_v2, s1, wanted = (
            torch.where(is_real, centre_crop(real, crop_px, crop_px), simulated)
            for real, simulated in (
                (crops.opt_v2, surrogate.opt_v2),
                (crops.s1, pair.s1),
                (crops.truth, surrogate.mendable),
            )
        )
        encoding = network.encode(opt_v2, s1)
        std = network.optical_std[:, None, None]
        mean = to_network_space(encoding.mean)
        correction = (mean - encoding.equalized) / std
        missing = (to_network_space(wanted) - mean) / std
        optical = network.normalised_optical(encoding.equalized)
        cells = Cells.of(gate_figures(correction, optical, encoding.doubt), [correction], missing)
        return cells, tiles.group_index[crops.tile_index]

    fit_networks(network.gate_calibration, gather, n_crops, random, on_step)
