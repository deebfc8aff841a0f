"""What fitting is told, and what a training that starts from a checkpoint begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import BUNDLED_CHECKPOINT, load_checkpoint
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training import fitted_parts
from axion_stage3.training.dataset import TileSet, TrainingTile
from axion_stage3.training.fitted_parts import calibrate, fit_before_training, network_to_train
from axion_stage3.training.training_material import TrainingMaterial

if TYPE_CHECKING:
    from axion_stage3.training.figure_fitting import Fitting
    from axion_stage3.training.training_config import TrainingConfig

CPU = torch.device("cpu")
SMALL = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)


@pytest.fixture
def material() -> TrainingMaterial:
    tile = make_tile(0, 48)
    tiles = TileSet(
        [TrainingTile("a.npz", "a", tile.truth, tile.s1)], [np.sqrt(tile.truth)[None]], CPU
    )
    return TrainingMaterial(tiles, (), CPU, "fp32", "", {}, None)


def test_everything_that_is_fitted_has_seed_and_faults_of_the_configuration(
    config: TrainingConfig, material: TrainingMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[Fitting] = []
    for name in ("fit_equalizer", "fit_gate_calibration", "fit_draw_calibration"):
        monkeypatch.setattr(fitted_parts, name, lambda _network, fitting: fitted.append(fitting))
    changes = {
        "seed": 7,
        "left_out_faults": ("colour_cast", "haze"),
        "equalizer_crops": 16,
        "gate_crops": 17,
        "draw_crops": 18,
    }
    config, network = config.model_copy(update=changes), GroundingNetwork(SMALL)
    told: list[tuple[str, float]] = []
    for fit in (fit_before_training, calibrate):
        fit(network, config, material, lambda part, progress: told.append((part, progress)))
    assert [fitting.n_crops for fitting in fitted] == [16, 17, 18]
    for fitting in fitted:
        assert (fitting.seed, fitting.left_out_faults) == (7, {"colour_cast", "haze"})
        assert fitting.tiles is material.tiles
        fitting.on_step(0.5)
    assert told == [("equalizer", 0.5), ("gate", 0.5), ("draw", 0.5)]


@pytest.mark.parametrize(
    ("part", "is_kept"),
    [("all", False), ("detail", False), ("equalizer", True), ("gate", True), ("draw", True)],
)
def test_epochs_are_counted_anew_where_steps_are_taken(
    config: TrainingConfig,
    material: TrainingMaterial,
    part: Literal["all", "detail", "equalizer", "gate", "draw"],
    *,
    is_kept: bool,
) -> None:
    changes = {"start_from": str(BUNDLED_CHECKPOINT), "trained_part": part}
    _, epoch = network_to_train(config.model_copy(update=changes), material)
    given = load_checkpoint().epoch
    assert given > 0
    assert epoch == (given if is_kept else 0)
