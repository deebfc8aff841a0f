"""What the draw is calibrated by is what a draw does to the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.highpass import lowpass
from axion_stage3.diffusion.noise_schedule import NoiseSchedule
from axion_stage3.diffusion.samplers import plan_sampling, sample_residual
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training import draw_fitting
from axion_stage3.training.dataset import TileSet, TrainingTile
from axion_stage3.training.figure_fitting import Fitting, cell_means
from axion_stage3.training.random_fields import normal
from axion_stage3.training.training_batch import TrainingBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.diffusion.network import GroundingNetwork
    from axion_stage3.training.draw_fitting import DrawMoments

SEED = 5
N_MEMBERS = 8


@pytest.fixture(scope="module")
def network() -> GroundingNetwork:
    network = load_checkpoint().network
    network.renew_draw_calibration()
    return network


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    tiles = [make_tile(seed, 96) for seed in (1, 2)]
    truth, opt_v2, s1 = (
        torch.from_numpy(np.stack([getattr(tile, name) for tile in tiles]))
        for name in ("truth", "opt_v2", "s1")
    )
    return TrainingBatch(truth, truth, opt_v2, s1)


@pytest.fixture
def moments(
    network: GroundingNetwork, batch: TrainingBatch, monkeypatch: pytest.MonkeyPatch
) -> DrawMoments:
    """What fitting measures of the batch."""
    measured: list[DrawMoments] = []

    def fit(
        networks: object, measure: Callable[[TrainingBatch], DrawMoments], *_: object, **__: object
    ) -> None:
        measured.append(measure(batch))

    monkeypatch.setattr(draw_fitting, "fit_networks", fit)
    tile = TrainingTile("a.npz", "a", batch.truth[0].numpy(), batch.s1[0].numpy())
    tiles = TileSet([tile], [np.zeros((1, *tile.truth.shape))], torch.device("cpu"))
    draw_fitting.fit_draw_calibration(network, Fitting(tiles, n_crops=2, seed=SEED))
    return measured[0]


def drawn_with(
    network: GroundingNetwork, batch: TrainingBatch, of_drawn: float, of_finest: float
) -> torch.Tensor:
    """opt_final with the same draw and gains that are the same everywhere."""
    assert network.draw_calibration is not None
    gains = network.draw_calibration.biases[-1].view(N_MEMBERS, 4, 2)
    gains.copy_(torch.tensor([of_drawn, of_finest]).expand_as(gains))
    expected = network.expect_detail(network.encode(batch.opt_v2, batch.s1))
    plan = plan_sampling("2m", 9, NoiseSchedule())
    noise = network.pack(normal(tuple(batch.truth.shape), torch.Generator().manual_seed(SEED + 3)))
    residual = sample_residual(
        network.bind(expected, plan.sigmas), noise, plan, lambda _step: noise
    )
    opt_final = network.compose(expected, residual)
    network.draw_calibration.biases[-1].zero_()
    return opt_final


# What amplifies is held to it roughly only: the high pass takes a little of the finest detail, and
# small gains are made smaller.
@pytest.mark.parametrize(
    ("of_drawn", "of_finest", "tolerance"),
    [(0.0, 0.0, 1e-4), (-1.0, 0.0, 1e-4), (1.0, 0.0, 1e-4), (0.0, 2.0, 0.1)],
)
@torch.no_grad()
def test_error_and_power_of_a_draw_are_foretold(
    network: GroundingNetwork,
    batch: TrainingBatch,
    moments: DrawMoments,
    of_drawn: float,
    of_finest: float,
    tolerance: float,
) -> None:
    opt_final = drawn_with(network, batch, of_drawn, of_finest)
    gains = torch.tensor([of_drawn, of_finest]).repeat(4).expand(*moments.figures.shape[:2], -1)
    error, power, true_power = (
        cell_means(tiles.square())
        for tiles in (opt_final - batch.truth, fine(opt_final), fine(batch.truth))
    )
    for found, expected in (
        (moments.opt_final.with_gains(gains), error.mean(dim=1)),
        (moments.fine.with_gains(gains), power.mean(dim=1)),
        (moments.true_power, true_power),
    ):
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)
    if of_drawn == -1.0:  # nothing is drawn
        torch.testing.assert_close(moments.mean_error, error, rtol=tolerance, atol=0)


def fine(tiles: torch.Tensor) -> torch.Tensor:
    return tiles - lowpass(tiles, 1.0)
