"""What networks are fitted to is what pixels say, and how they are fitted."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.agreeing_networks import AgreeingNetworks
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.dataset import TileSet, TrainingTile
from axion_stage3.training.figure_fitting import (
    ErrorMoments,
    Fitting,
    SquaredError,
    cell_figures,
    fit_networks,
)
from axion_stage3.training.stage2_faults import FAULTS

if TYPE_CHECKING:
    from axion_stage3.training.training_batch import TrainingBatch

CPU = torch.device("cpu")
N_MEMBERS = 8


@pytest.fixture
def tiles() -> TileSet:
    made = [make_tile(number, 64) for number in range(4)]
    training_tiles = [
        TrainingTile(f"{number}.npz", f"group_{number}", tile.truth, tile.s1)
        for number, tile in enumerate(made)
    ]
    return TileSet(training_tiles, [np.sqrt(tile.truth)[None] for tile in made], CPU)


def test_the_error_with_gains_is_that_of_the_pixels() -> None:
    random = torch.Generator().manual_seed(0)
    weighed = [torch.randn(3, 4, 64, 96, generator=random) for _ in range(2)]
    missing = torch.randn(3, 4, 64, 96, generator=random) + 0.3 * weighed[0] - 0.2 * weighed[1]
    measured = SquaredError.of(weighed, missing)
    gains = torch.randn(3, 2 * 3, 4 * 2, generator=random)  # of every second cell
    errors = []
    for cell, (y, x) in enumerate(product((0, 32), (16, 48, 80))):
        first, second = gains[:, cell].reshape(3, 4, 2, 1, 1).unbind(dim=2)
        left = missing - first * weighed[0] - second * weighed[1]
        errors.append(left[:, :, y : y + 16, x : x + 16].square().mean(dim=(2, 3)))
    expected = torch.stack(errors).mean(dim=0)
    torch.testing.assert_close(measured.with_gains(gains), expected, rtol=1e-4, atol=1e-5)


def measure(batch: TrainingBatch) -> ErrorMoments:
    """Figures of no use: the networks learn one gain for all."""
    figures = cell_figures(torch.zeros(len(batch.truth), 4, 4, 1))
    return ErrorMoments(figures, SquaredError.of([batch.opt_v2], batch.mendable - batch.opt_v2))


def fitted_weights(tiles: TileSet, *, seed: int) -> torch.Tensor:
    networks = AgreeingNetworks(N_MEMBERS, 1, 4, (-1.0, 1.0))
    fit_networks(networks, measure, Fitting(tiles, n_crops=16, seed=seed))
    return torch.cat([weight.detach().flatten() for weight in networks.weights])


def test_a_seed_decides_what_is_fitted(tiles: TileSet) -> None:
    first, again, other = (fitted_weights(tiles, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_groups_without_a_crop_are_given_to_no_member(tiles: TileSet) -> None:
    """Of few crops and many groups some have none, here all but the last."""
    tiles.group_index = torch.full_like(tiles.group_index, 3)
    assert bool(torch.isfinite(fitted_weights(tiles, seed=0)).all())


@pytest.mark.parametrize("left_out", [frozenset[str](), frozenset(FAULTS)])
def test_what_is_fitted_sees_no_fault_that_is_left_out(
    tiles: TileSet, left_out: frozenset[str]
) -> None:
    seen: list[bool] = []

    def look(batch: TrainingBatch) -> ErrorMoments:
        seen.append(bool((batch.opt_v2 != batch.mendable).any()))
        return measure(batch)

    networks = AgreeingNetworks(1, 1, 4, (-1.0, 1.0))
    fit_networks(networks, look, Fitting(tiles, n_crops=20, seed=0, left_out_faults=left_out))
    assert len(seen) == 2
    assert any(seen) is not bool(left_out)
