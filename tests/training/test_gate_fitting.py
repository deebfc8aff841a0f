"""Calibrating the gate on a few real tiles: corrections that do harm are taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.training.dataset import SplitEntry, TileSet, TrainingTile, load_tiles
from axion_stage3.training.gate_fitting import fit_gate_calibration

TILES = Path(__file__).parents[2] / "examples" / "tiles"


def load_examples(data_dir: Path) -> list[TrainingTile]:
    (data_dir / "s1").symlink_to(TILES / "s1")
    (data_dir / "s2_truth").symlink_to(TILES / "truth")
    names = sorted(path.name for path in (TILES / "truth").glob("*.npz"))
    return load_tiles(data_dir, [SplitEntry(name, name, "train") for name in names])


def squared_error(network: GroundingNetwork, tile: TrainingTile) -> float:
    """Of the true tile, which no correction is due to."""
    truth, s1 = (torch.from_numpy(bands)[None] for bands in (tile.truth, tile.s1))
    return float((network.encode(truth, s1).mean - truth).square().mean())


@pytest.mark.slow
@torch.no_grad()
def test_corrections_that_do_harm_are_taken_back(tmp_path: Path) -> None:
    tiles = load_examples(tmp_path)
    network = load_checkpoint().network
    network.renew_gate_calibration()
    random = torch.Generator().manual_seed(0)
    for bias in (network.encoder.correction.bias, network.encoder.gains.bias):
        bias.add_(0.3 * torch.randn(bias.shape, generator=random))
    before = [squared_error(network, tile) for tile in tiles]
    draws = [to_network_space(torch.from_numpy(tile.truth)).numpy()[None] for tile in tiles]
    material = TileSet(tiles, draws, torch.device("cpu"))
    with torch.enable_grad():
        fit_gate_calibration(network, material, n_crops=480, seed=0)
    after = [squared_error(network, tile) for tile in tiles]
    assert np.mean(np.log10(after)) < np.mean(np.log10(before)) - 0.2
