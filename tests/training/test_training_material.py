"""What is made of the training tiles before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_reader import read_npz
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.dataset import TileSet, TrainingTile
from axion_stage3.training.stage2_faults import FAULTS
from axion_stage3.training.training_material import (
    TrainingMaterial,
    fit_constants,
    generators_name,
    prepare_material,
)

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.training.training_config import TrainingConfig

CPU = torch.device("cpu")
SMALL = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)


@pytest.mark.usefixtures("little_material")
def test_a_tile_smaller_than_a_crop_is_left_out(data_dir: Path, config: TrainingConfig) -> None:
    for folder in ("s1", "s2_truth"):
        path = data_dir / folder / "tile_1.npz"
        cut = {key: bands[..., :40, :].copy() for key, bands in read_npz(path).items()}
        write_npz(path, cut)
    larger = config.model_copy(update={"crop_px": 48})
    material = prepare_material(data_dir, data_dir / "split.csv", larger, data_dir, CPU)
    assert material.tiles.names == ["tile_0.npz", "tile_2.npz", "tile_3.npz"]


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"seed": 1}, True),
        ({"generator_steps": 2}, True),
        ({"generator_batch_size": 3}, True),
        ({"crop_px": 40}, True),
        ({"precision": "bf16"}, True),
        ({"max_steps": 7, "equalizer_crops": 0}, False),
    ],
)
def test_generators_are_shared_by_whatever_would_make_the_same_ones(
    config: TrainingConfig, change: dict[str, object], *, is_another: bool
) -> None:
    name = generators_name("tiles", config)
    other = generators_name("tiles", config.model_copy(update=change))
    assert (other != name) is is_another
    assert generators_name("others", config) != name


@pytest.mark.usefixtures("little_material")
def test_what_the_mean_lacks_is_measured_without_faults_that_are_left_out(
    config: TrainingConfig,
) -> None:
    made = [make_tile(number, 48) for number in range(2)]
    tiles = [
        TrainingTile(f"{number}.npz", f"group_{number}", tile.truth, tile.s1)
        for number, tile in enumerate(made)
    ]
    draws = [np.sqrt(tile.truth)[None] for tile in made]
    material = TrainingMaterial(TileSet(tiles, draws, CPU), (), CPU, "fp32", "", {}, None)
    spread = {}
    for left_out in ((), tuple(FAULTS)):
        network = GroundingNetwork(SMALL)
        fit_constants(network, material, config.model_copy(update={"left_out_faults": left_out}))
        spread[left_out] = float(network.unwhitening.diagonal().min())
        product = network.whitening @ network.unwhitening
        torch.testing.assert_close(product, torch.eye(4), rtol=0, atol=1e-3)
    assert spread[()] > 1e-3
    assert spread[tuple(FAULTS)] == pytest.approx(1e-5, rel=1e-3)  # nothing but its floor
