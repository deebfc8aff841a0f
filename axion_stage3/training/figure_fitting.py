"""Fitting networks that look gains up from measured figures, without looking at a pixel again.

What gains do to the error of a crop is a quadratic function of them, whose coefficients are a few
means over each cell. They are gathered once; the networks are then fitted in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from axion_stage3.diffusion.highpass import CELL_PX
from axion_stage3.training.random_fields import uniform
from axion_stage3.training.stage2_faults import FAULTS
from axion_stage3.training.stage2_surrogates import Surrogate, scene_of, spoiled
from axion_stage3.training.training_batch import TrainingBatch, batch_of, sample_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from axion_stage3.diffusion.agreeing_networks import AgreeingNetworks
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
"""Faults that change how strong detail is come besides all others: gains can mend them."""

_BATCH: Final = 96
_CROPS_PER_STEP: Final = 8
_MOST_STEPS: Final = 3000
_LEARNING_RATE: Final = 4e-3
_WEIGHT_DECAY: Final = 0.05
_FIGURE_NOISE: Final = 0.2
_SHARE_OF_GROUPS: Final = 0.65
_ERROR_FLOOR: Final = 3e-4
_SHARE_GATHERING: Final = 0.8


@dataclass(frozen=True)
class Fitting:
    """What networks are fitted to.

    Attributes:
        tiles: Training tiles.
        n_crops: Crops to gather; real Stage 2 outputs are taken as they are, faults simulated
            elsewhere.
        seed: Of crops, faults, initialisation and noise.
        left_out_faults: Faults never used.
        on_step: Called with the share done.
    """

    tiles: TileSet
    n_crops: int
    seed: int
    left_out_faults: frozenset[str] = frozenset()
    on_step: Callable[[float], None] = lambda _progress: None


class Moments(Protocol):
    """What has to be known of crops to fit networks to them.

    A named tuple of tensors that have a row for each crop, or of such tuples.
    """

    @property
    def figures(self) -> Tensor:
        """As the networks see them, (N, cells, n_figures)."""

    def __iter__(self) -> Iterator[Any]:
        """The fields."""

    def loss(self, gains: Tensor) -> Tensor:
        """What gains (N, cells, n_gains) cost, a scalar."""


MomentsT = TypeVar("MomentsT", bound=Moments)


class SquaredError(NamedTuple):
    """The squared error of cells as a function of gains, one row a crop.

    With gains g of a band it is ``error - 2 g . covariance + g . products . g``.

    Attributes:
        products: Of what is weighed by the gains, with each other, (N, cells, 4, K, K).
        covariance: Of that with what is missing, (N, cells, 4, K).
        error: Squared error without gains, (N, cells, 4).
    """

    products: Tensor
    covariance: Tensor
    error: Tensor

    @classmethod
    def of(cls, weighed: Sequence[Tensor], missing: Tensor) -> SquaredError:
        """Measure crops.

        Args:
            weighed: What gains are for, K times (B, 4, H, W).
            missing: What their sum should be, (B, 4, H, W).
        """
        terms, n_terms = torch.stack(list(weighed), dim=2), len(weighed)
        products = (terms[:, :, :, None] * terms[:, :, None]).flatten(1, 3)
        covariance = (terms * missing[:, :, None]).flatten(1, 2)
        means = cell_means(torch.cat([products, covariance, missing.square()], dim=1))
        products, covariance, error = torch.tensor_split(
            means, (4 * n_terms**2, 4 * n_terms * (n_terms + 1)), dim=-1
        )
        shape = means.shape[:2]
        return cls(
            products=products.reshape(*shape, 4, n_terms, n_terms),
            covariance=covariance.reshape(*shape, 4, n_terms),
            error=error,
        )

    def with_gains(self, gains: Tensor) -> Tensor:
        """Mean of each band of each crop with gains (N, cells, 4 K), (N, 4)."""
        gains = gains.reshape(self.covariance.shape)
        squares = torch.einsum("...k,...kl,...l->...", gains, self.products, gains)
        error = self.error - 2.0 * (gains * self.covariance).sum(dim=-1) + squares
        return error.clamp_min(0.0).mean(dim=1)


class ErrorMoments(NamedTuple):
    """Figures of crops and the error that gains make; see :class:`Moments`.

    Attributes:
        figures: As the networks see them, (N, cells, n_figures).
        after: Squared error, standard deviations.
    """

    figures: Tensor
    after: SquaredError

    def loss(self, gains: Tensor) -> Tensor:
        """Mean logarithm of each crop's error over that without gains.

        Decibels, so that to spoil a nearly right crop costs what to mend a bad one gains.
        """
        after, before = self.after.with_gains(gains).mean(dim=1), self.after.error.mean(dim=(1, 2))
        return ((after + _ERROR_FLOOR) / (before + _ERROR_FLOOR)).log().mean()


def fit_networks(
    networks: AgreeingNetworks,
    measure: Callable[[TrainingBatch], MomentsT],
    fitting: Fitting,
    *,
    share_varied: float = 0.0,
) -> None:
    """Fit all members anew, each on crops of two thirds of the groups.

    Args:
        networks: Changed in place.
        measure: Makes moments of a batch of crops.
        fitting: What they are fitted to.
        share_varied: Share of batches that are varied in shape, detail and colours too.
    """
    # Not the seed of training's steps, which may follow.
    random = torch.Generator(device=fitting.tiles.device).manual_seed(fitting.seed + 2)
    n_batches = math.ceil(fitting.n_crops / _CROPS_AT_ONCE)
    moments: MomentsT | None = None
    groups = []
    with torch.no_grad():
        for number in range(n_batches):
            batch, group = _fitting_batch(fitting, share_varied, random)
            measured = measure(batch)
            # Written into what is there for all crops: small tensors that are kept hold on to the
            # memory of large ones beside them, 24,000 crops to more than 20 GB.
            if moments is None:
                moments = _of_each(partial(_room_for, n_batches), measured)
            _of_each(partial(_write, number), moments, measured)
            groups.append(group)
            fitting.on_step(_SHARE_GATHERING * (number + 1) / n_batches)
    assert moments is not None
    _fit_members(networks, moments, torch.cat(groups), random, fitting.on_step)


def _of_each(function: Callable[..., Tensor], *moments: MomentsT) -> MomentsT:
    """Do something to each tensor of moments, beside those of others."""
    fields = zip(*moments, strict=True)
    return type(moments[0])(
        *(function(*f) if isinstance(f[0], Tensor) else _of_each(function, *f) for f in fields)
    )


def _room_for(n_batches: int, batch: Tensor) -> Tensor:
    return batch.new_empty(n_batches * len(batch), *batch.shape[1:])


def _write(number: int, all_rows: Tensor, batch: Tensor) -> Tensor:
    return all_rows[number * len(batch) :][: len(batch)].copy_(batch)


def _fitting_batch(
    fitting: Fitting, share_varied: float, random: torch.Generator
) -> tuple[TrainingBatch, Tensor]:
    """A batch of crops, and the group of each."""
    tiles = fitting.tiles
    crop_px = min(_CROP_PX, tiles.smallest_px // CELL_PX * CELL_PX)
    is_varied = share_varied > 0 and float(uniform((1,), 0.0, 1.0, random)) < share_varied
    variation: Literal["light", "all"] = "all" if is_varied else "light"
    crops, pair = sample_pairs(tiles, _CROPS_AT_ONCE, crop_px, variation, random)
    scene = scene_of(pair.truth, pair.s1, pair.generated, random)
    surrogate = _spoiled(scene, fitting.left_out_faults, random)
    return batch_of(crops, pair, surrogate), tiles.group_index[crops.tile_index]


def _spoiled(scene: SurrogateScene, left_out: frozenset[str], random: torch.Generator) -> Surrogate:
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


def cell_means(tiles: Tensor) -> Tensor:
    """Means over the cells that are looked at of (B, C, H, W), (B, cells, C)."""
    return _some(avg_pool2d(tiles, CELL_PX))


def cell_figures(figures: Tensor) -> Tensor:
    """Those of (B, y, x, n_figures) that are looked at, (B, cells, n_figures)."""
    return _some(figures.movedim(-1, 1))


def _some(cells: Tensor) -> Tensor:
    """Every second cell of (B, C, y, x) along each axis, (B, cells, C)."""
    return cells[:, :, ::_EVERY_CELL, 1::_EVERY_CELL].flatten(2).transpose(1, 2)


def _fit_members(
    networks: AgreeingNetworks,
    moments: Moments,
    groups: Tensor,
    random: torch.Generator,
    on_step: Callable[[float], None],
) -> None:
    seen = moments.figures.flatten(0, 1)
    networks.figure_mean.copy_(seen.mean(dim=0))
    networks.figure_std.copy_(seen.std(dim=0).clamp_min(1e-3))
    _initialise(networks, random)
    n_steps = max(1, min(_MOST_STEPS, len(groups) // _CROPS_PER_STEP))
    optimizer = torch.optim.AdamW(networks.parameters(), weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=n_steps)
    n_members = len(networks.weights[0])
    own_crops = [_crops_of_some_groups(groups, random) for _ in range(n_members)]
    networks.requires_grad_(requires_grad=True)
    for step in range(n_steps):
        index = torch.cat(
            [own[uniform((_BATCH,), 0.0, len(own), random).long()] for own in own_crops]
        )
        batch = _of_each(lambda rows, index=index: rows[index], moments)
        noise = torch.randn(batch.figures.shape, generator=random, device=random.device)
        seen = batch.figures + _FIGURE_NOISE * networks.figure_std * noise
        gains = networks.gains_of_members(seen.reshape(n_members, -1, seen.shape[-1]))
        loss = batch.loss(gains.reshape(len(index), -1, gains.shape[-1]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        on_step(_SHARE_GATHERING + (1.0 - _SHARE_GATHERING) * (step + 1) / n_steps)
    networks.requires_grad_(requires_grad=False)


def _initialise(networks: AgreeingNetworks, random: torch.Generator) -> None:
    with torch.no_grad():
        for weight in networks.weights:
            spread = weight.shape[1] ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=random, device=random.device) * spread)
        networks.weights[-1].mul_(0.05)
        for bias in networks.biases:
            nn.init.zeros_(bias)


def _crops_of_some_groups(groups: Tensor, random: torch.Generator) -> Tensor:
    """Which crops a member sees: those of two thirds of the groups, at least of one."""
    # Of those with a crop: of few crops and many groups some may have none.
    present = torch.unique(groups)
    n_chosen = max(1, round(_SHARE_OF_GROUPS * len(present)))
    order = torch.randperm(len(present), generator=random, device=groups.device)
    return torch.isin(groups, present[order[:n_chosen]]).nonzero()[:, 0]
