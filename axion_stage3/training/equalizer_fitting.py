"""Fitting the equalizer: from measured figures of spoiled crops to the gains that mend them.

The error after equalizing is a quadratic function of the gains, whose coefficients are a few means
over each cell. They are gathered once; the networks are then fitted in seconds, without a pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from axion_stage3.diffusion.equalizer import (
    DetailEqualizer,
    figures,
    local_moments,
)
from axion_stage3.diffusion.highpass import CELL_PX, detail_bands
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.augmentation import in_other_light
from axion_stage3.training.random_fields import uniform
from axion_stage3.training.stage2_faults import FAULTS
from axion_stage3.training.stage2_surrogates import Surrogate, scene_of, spoiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.training.dataset import TileSet
    from axion_stage3.training.surrogate_scene import SurrogateScene

_CROP_PX: Final = 96
_CROPS_AT_ONCE: Final = 16
_EVERY_CELL: Final = 2
"""Every second cell along each axis is looked at: neighbours tell nearly the same."""

_SHARE_RIGHT, _SHARE_NEARLY_RIGHT = 0.12, 0.18
_NEARLY_RIGHT: Final = (0.02, 0.12)
_SHARE_ONE_FAULT: Final = 0.45
_SHARES_BESIDES: Final = {
    "over_smoothing": 0.12,
    "coarse_grid": 0.06,
    "detail_gain": 0.05,
    "over_sharpening": 0.06,
    "coloured_noise": 0.04,
    "other_optics": 0.10,
    "resampled": 0.08,
}
"""Faults that change how strong detail is come besides all others: an equalizer can mend them."""

_BATCH: Final = 96
_CROPS_PER_STEP: Final = 8
_MOST_STEPS: Final = 3000
_LEARNING_RATE: Final = 4e-3
_WEIGHT_DECAY: Final = 0.05
_FIGURE_NOISE: Final = 0.2
_SHARE_OF_GROUPS: Final = 0.65
_ERROR_FLOOR: Final = 3e-4


class _Cells(NamedTuple):
    """What is known of cells, one row a crop (N, cells, ...); errors in standard deviations.

    With gains g of a band, its squared error is ``error - 2 g . covariance + g . products . g``.

    Attributes:
        figures: As the equalizer sees them, (N, cells, 48).
        products: Of the bands of detail with each other, (N, cells, 4, K, K).
        covariance: Of the bands of detail with what is missing, (N, cells, 4, K).
        error: Squared error of opt_v2, (N, cells, 4).
    """

    figures: Tensor
    products: Tensor
    covariance: Tensor
    error: Tensor

    def error_with(self, gains: Tensor) -> Tensor:
        """Mean squared error of each crop with gains (N, cells, 16), (N,)."""
        gains = gains.reshape(self.covariance.shape)
        squares = torch.einsum("...k,...kl,...l->...", gains, self.products, gains)
        error = self.error - 2.0 * (gains * self.covariance).sum(dim=-1) + squares
        return error.clamp_min(0.0).mean(dim=(1, 2))

    def rows(self, index: Tensor) -> _Cells:
        """Some of the crops."""
        return _Cells(*(field[index] for field in self))


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

    Each member sees two thirds of the groups. What counts is the mean logarithm of each crop's
    error over that of its opt_v2: decibels, so that to spoil a nearly right crop costs what to mend
    a bad one gains.

    Args:
        network: Its equalizer, if it has one, is changed in place.
        tiles: Training tiles.
        n_crops: Crops to gather; real Stage 2 outputs are taken as they are, faults simulated
            elsewhere.
        seed: Of crops, faults and initialisation.
        left_out_faults: Faults never used.
        on_step: Called with the share done.
    """
    equalizer = network.equalizer
    if equalizer is None:
        return
    random = torch.Generator(device=tiles.device).manual_seed(seed + 2)
    n_batches = math.ceil(n_crops / _CROPS_AT_ONCE)
    gathered, groups = [], []
    with torch.no_grad():
        for batch in range(n_batches):
            cells, group = _gather(network, tiles, left_out_faults, random)
            gathered.append(cells)
            groups.append(group)
            on_step(0.8 * (batch + 1) / n_batches)
    cells = _Cells(*(torch.cat(fields) for fields in zip(*gathered, strict=True)))
    _fit_members(equalizer, cells, torch.cat(groups), random)
    on_step(1.0)


def _gather(
    network: GroundingNetwork,
    tiles: TileSet,
    left_out_faults: frozenset[str],
    random: torch.Generator,
) -> tuple[_Cells, Tensor]:
    """Cells of a batch of crops, and the group of each crop."""
    crop_px = min(_CROP_PX, tiles.smallest_px // CELL_PX * CELL_PX)
    crops = tiles.sample(_CROPS_AT_ONCE, crop_px, random)
    # Neither turned, zoomed nor sharpened: the strength of a sensor's detail is what is learned.
    truth, s1 = in_other_light(crops.truth, crops.s1, random)
    scene = scene_of(truth, s1, crops.generated, random)
    surrogate = _spoil(scene, left_out_faults, random)
    is_real = crops.has_opt_v2[:, None, None, None]
    opt_v2 = torch.where(is_real, crops.opt_v2, surrogate.opt_v2)
    wanted = torch.where(is_real, crops.truth, surrogate.mendable)
    normalised, target = (
        network.normalised_optical(to_network_space(tile)) for tile in (opt_v2, wanted)
    )
    return _cells(normalised, target - normalised), tiles.group_index[crops.tile_index]


def _spoil(scene: SurrogateScene, left_out: frozenset[str], random: torch.Generator) -> Surrogate:
    """Crops that are right, nearly right, wrong in one way or in many; a third wrong in detail."""
    batch = (scene.truth.shape[0],)
    kind = uniform(batch, 0.0, 1.0, random)
    severity = uniform(batch, 0.0, 1.0, random)
    nearly_right = uniform(batch, *_NEARLY_RIGHT, random)
    severity = torch.where(kind < _SHARE_RIGHT + _SHARE_NEARLY_RIGHT, nearly_right, severity)
    severity = torch.where(kind < _SHARE_RIGHT, 0.0, severity)
    switch_on = uniform(batch, 0.02, 0.28, random)
    has_one = uniform(batch, 0.0, 1.0, random) < _SHARE_ONE_FAULT
    one = uniform(batch, 0.0, len(FAULTS), random).long()
    strengths = {}
    for number, name in enumerate(FAULTS):
        is_on = uniform(batch, 0.0, 1.0, random) < switch_on
        is_on = torch.where(has_one, one == number, is_on)
        strength = torch.where(is_on, severity * uniform(batch, 0.3, 1.0, random), 0.0)
        if name in _SHARES_BESIDES:
            comes_besides = uniform(batch, 0.0, 1.0, random) < _SHARES_BESIDES[name]
            strength = torch.where(comes_besides, uniform(batch, 0.0, 1.0, random), strength)
        if name not in left_out:
            strengths[name] = strength
    return spoiled(scene, strengths, random)


def _cells(normalised: Tensor, missing: Tensor) -> _Cells:
    """Measure crops (B, 4, H, W) and what they miss."""
    bands = detail_bands(normalised)
    detail, n_detail = torch.stack(bands, dim=2), len(bands)
    products = (detail[:, :, :, None] * detail[:, :, None]).flatten(1, 3)
    covariance = (detail * missing[:, :, None]).flatten(1, 2)
    quadratic = torch.cat([products, covariance, missing.square()], dim=1)
    means = _some(avg_pool2d(quadratic, CELL_PX))
    products, covariance, error = torch.tensor_split(
        means, (4 * n_detail**2, 4 * n_detail * (n_detail + 1)), dim=-1
    )
    shape = means.shape[:2]
    seen = figures(local_moments(bands)).movedim(-1, 1)
    return _Cells(
        figures=_some(seen),
        products=products.reshape(*shape, 4, n_detail, n_detail),
        covariance=covariance.reshape(*shape, 4, n_detail),
        error=error,
    )


def _some(cells: Tensor) -> Tensor:
    """Every second cell of (B, C, y, x) along each axis, (B, cells, C)."""
    return cells[:, :, ::_EVERY_CELL, 1::_EVERY_CELL].flatten(2).transpose(1, 2)


def _fit_members(
    equalizer: DetailEqualizer, cells: _Cells, groups: Tensor, random: torch.Generator
) -> None:
    """Fit all members at once, each on crops of its own groups."""
    seen = cells.figures.flatten(0, 1)
    equalizer.figure_mean.copy_(seen.mean(dim=0))
    equalizer.figure_std.copy_(seen.std(dim=0).clamp_min(1e-3))
    _initialise(equalizer, random)
    n_steps = max(1, min(_MOST_STEPS, len(groups) // _CROPS_PER_STEP))
    optimizer = torch.optim.AdamW(equalizer.parameters(), weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=n_steps)
    n_members = len(equalizer.weights[0])
    own_crops = [_crops_of_some_groups(groups, random) for _ in range(n_members)]
    equalizer.requires_grad_(requires_grad=True)
    for _ in range(n_steps):
        index = torch.cat(
            [own[uniform((_BATCH,), 0.0, len(own), random).long()] for own in own_crops]
        )
        batch = cells.rows(index)
        noise = torch.randn(batch.figures.shape, generator=random, device=random.device)
        seen = batch.figures + _FIGURE_NOISE * equalizer.figure_std * noise
        gains = equalizer.gains_of_members(seen.reshape(n_members, -1, seen.shape[-1]))
        after = batch.error_with(gains.reshape(len(index), -1, gains.shape[-1]))
        before = batch.error.mean(dim=(1, 2))
        loss = ((after + _ERROR_FLOOR) / (before + _ERROR_FLOOR)).log().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    equalizer.requires_grad_(requires_grad=False)


def _initialise(equalizer: DetailEqualizer, random: torch.Generator) -> None:
    with torch.no_grad():
        for weight in equalizer.weights:
            spread = weight.shape[1] ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=random, device=random.device) * spread)
        equalizer.weights[-1].mul_(0.05)
        for bias in equalizer.biases:
            nn.init.zeros_(bias)


def _crops_of_some_groups(groups: Tensor, random: torch.Generator) -> Tensor:
    """Which crops a member sees: those of two thirds of the groups, at least of one."""
    n_groups = int(groups.max()) + 1
    n_chosen = max(1, round(_SHARE_OF_GROUPS * n_groups))
    chosen = torch.randperm(n_groups, generator=random, device=groups.device)[:n_chosen]
    return torch.isin(groups, chosen).nonzero()[:, 0]
