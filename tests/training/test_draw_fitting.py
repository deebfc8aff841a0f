"""Calibrating the draw on a few real tiles: what is drawn too strongly is drawn less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.highpass import lowpass
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.dataset import TileSet
from axion_stage3.training.draw_fitting import fit_draw_calibration

if TYPE_CHECKING:
    from axion_stage3.training.dataset import TrainingTile


def power_ratio(network: GroundingNetwork, tile: TrainingTile) -> float:
    """Power of fine detail over the truth's, of a draw on a blurred tile."""
    truth, s1 = (torch.from_numpy(bands)[None] for bands in (tile.truth, tile.s1))
    expected = network.expect_detail(network.encode(lowpass(truth, 2.0), s1))
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    output = network.compose(expected, network.pack(noise))
    fine, true = ((x - lowpass(x, 1.0)).square().mean() for x in (output, truth))
    return float(fine / true)


@pytest.mark.slow
@torch.no_grad()
def test_what_is_drawn_too_strongly_is_drawn_less(example_tiles: list[TrainingTile]) -> None:
    network = load_checkpoint().network
    network.renew_draw_calibration()
    head = network.detail_head.log_strengths.bias
    head.add_(1.0)
    before = [power_ratio(network, tile) for tile in example_tiles]
    draws = [to_network_space(torch.from_numpy(tile.truth)).numpy()[None] for tile in example_tiles]
    material = TileSet(example_tiles, draws, torch.device("cpu"))
    with torch.enable_grad():
        fit_draw_calibration(network, material, n_crops=480, seed=0)
    after = [power_ratio(network, tile) for tile in example_tiles]
    assert np.mean(np.abs(np.log(after))) < 0.7 * np.mean(np.abs(np.log(before)))
