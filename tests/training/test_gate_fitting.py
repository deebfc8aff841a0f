"""Calibrating the gate on a few real tiles: corrections that do harm are taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.dataset import TileSet
from axion_stage3.training.figure_fitting import Fitting
from axion_stage3.training.gate_fitting import fit_gate_calibration

if TYPE_CHECKING:
    from axion_stage3.training.dataset import TrainingTile


def squared_error(network: GroundingNetwork, tile: TrainingTile) -> float:
    """Of the true tile, which no correction is due to."""
    truth, s1 = (torch.from_numpy(bands)[None] for bands in (tile.truth, tile.s1))
    return float((network.encode(truth, s1).mean - truth).square().mean())


@pytest.mark.slow
@torch.no_grad()
def test_corrections_that_do_harm_are_taken_back(example_tiles: list[TrainingTile]) -> None:
    tiles = example_tiles
    network = load_checkpoint().network
    network.renew_gate_calibration()
    random = torch.Generator().manual_seed(0)
    for bias in (network.encoder.correction.bias, network.encoder.gains.bias):
        bias.add_(0.3 * torch.randn(bias.shape, generator=random))
    before = [squared_error(network, tile) for tile in tiles]
    draws = [to_network_space(torch.from_numpy(tile.truth)).numpy()[None] for tile in tiles]
    material = TileSet(tiles, draws, torch.device("cpu"))
    with torch.enable_grad():
        fit_gate_calibration(network, Fitting(material, n_crops=480, seed=0))
    after = [squared_error(network, tile) for tile in tiles]
    assert np.mean(np.log10(after)) < np.mean(np.log10(before)) - 0.2
