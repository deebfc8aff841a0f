"""Fitting the equalizer: from measured figures of spoiled crops to the gains that mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from axion_stage3.diffusion.equalizer import figures, local_moments
from axion_stage3.diffusion.highpass import CELL_PX, detail_bands
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.augmentation import in_other_light
from axion_stage3.training.figure_fitting import (
    CROPS_AT_ONCE,
    FITTING_CROP_PX,
    Cells,
    fit_networks,
    spoiled_for_fitting,
)
from axion_stage3.training.stage2_surrogates import scene_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from axion_stage3.training.dataset import TileSet


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
    random = torch.Generator(device=tiles.device).manual_seed(seed + 2)

    def gather() -> tuple[Cells, Tensor]:
        crop_px = min(FITTING_CROP_PX, tiles.smallest_px // CELL_PX * CELL_PX)
        crops = tiles.sample(CROPS_AT_ONCE, crop_px, random)
        # Neither turned, zoomed nor sharpened: the strength of a sensor's detail is to be learned.
        truth, s1 = in_other_light(crops.truth, crops.s1, random)
        scene = scene_of(truth, s1, crops.generated, random)
        surrogate = spoiled_for_fitting(scene, left_out_faults, random)
        is_real = crops.has_opt_v2[:, None, None, None]
        opt_v2 = torch.where(is_real, crops.opt_v2, surrogate.opt_v2)
        wanted = torch.where(is_real, crops.truth, surrogate.mendable)
        given, target = (
            network.normalised_optical(to_network_space(tile)) for tile in (opt_v2, wanted)
        )
        bands = detail_bands(given)
        cells = Cells.of(figures(local_moments(bands)), bands, target - given)
        return cells, tiles.group_index[crops.tile_index]

    fit_networks(network.equalizer, gather, n_crops, random, on_step)
