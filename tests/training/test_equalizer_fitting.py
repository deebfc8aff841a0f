"""Fitting the equalizer on a few real tiles: it mends what it should, after seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork, from_network_space, to_network_space
from axion_stage3.training.dataset import TileSet, TrainingTile
from axion_stage3.training.equalizer_fitting import fit_equalizer
from axion_stage3.training.figure_fitting import Fitting

CPU = torch.device("cpu")


def fitted(example_tiles: list[TrainingTile]) -> GroundingNetwork:
    network = load_checkpoint().network
    network.renew_equalizer()
    tiles = TileSet(example_tiles, [to_draws(tile) for tile in example_tiles], CPU)
    fit_equalizer(network, Fitting(tiles, n_crops=320, seed=0))
    return network


def to_draws(tile: TrainingTile) -> np.ndarray:
    """What a generator without any idea draws: the mean colour."""
    network_space = to_network_space(torch.from_numpy(tile.truth)).numpy()
    mean = network_space.mean(axis=(1, 2), keepdims=True)
    return np.broadcast_to(mean, network_space.shape)[None].copy()


@pytest.mark.slow
def test_seconds_of_fitting_take_noise_away_and_spare_the_truth(
    example_tiles: list[TrainingTile],
) -> None:
    network = fitted(example_tiles)
    random = torch.Generator().manual_seed(1)
    gains, kept = [], []
    for tile in example_tiles:
        truth = torch.from_numpy(tile.truth)[None]
        noise = 0.02 * torch.randn(truth.shape, generator=random)
        noisy = from_network_space(to_network_space(truth) + noise)
        before, after, spared = (
            float((found - truth).square().mean())
            for found in (
                noisy,
                from_network_space(network.equalize(noisy)),
                from_network_space(network.equalize(truth)),
            )
        )
        gains.append(10 * np.log10(before / after))
        kept.append(-10 * np.log10(spared))
    assert np.mean(gains) > 0.5
    assert np.mean(kept) > 50.0
