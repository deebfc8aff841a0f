"""What a batch is made of: real Stage 2 outputs where there are some, surrogates elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.dataset import TileSet, TrainingTile
from axion_stage3.training.random_fields import centre_crop
from axion_stage3.training.stage2_surrogates import Surrogate
from axion_stage3.training.training_batch import batch_of, sample_pairs

CPU = torch.device("cpu")


@pytest.fixture
def tiles() -> TileSet:
    """Two tiles, of which the second has a real Stage 2 output."""
    made = [make_tile(number, 64, 64) for number in range(2)]
    first, second = (
        TrainingTile(f"{number}.npz", f"group_{number}", tile.truth, tile.s1)
        for number, tile in enumerate(made)
    )
    draws = [np.sqrt(tile.truth)[None] for tile in made]
    return TileSet([first, replace(second, opt_v2=0.5 * second.truth)], draws, CPU)


@pytest.mark.parametrize("variation", ["light", "all"])
def test_real_outputs_go_with_truth_and_radar_as_they_were(
    tiles: TileSet, variation: Literal["light", "all"]
) -> None:
    random = torch.Generator().manual_seed(0)
    crops, pair = sample_pairs(tiles, 12, 32, variation, random)
    assert pair.truth.shape == (12, 4, 32, 32)
    surrogate = Surrogate(opt_v2=pair.truth + 1.0, mendable=pair.truth + 2.0)
    batch = batch_of(crops, pair, surrogate)
    is_real = crops.has_opt_v2
    assert 0 < int(is_real.sum()) < 12
    given = [centre_crop(x, 32, 32) for x in (crops.truth, crops.truth, crops.opt_v2, crops.s1)]
    simulated = (pair.truth, surrogate.mendable, surrogate.opt_v2, pair.s1)
    for found, as_it_was, otherwise in zip(batch, given, simulated, strict=True):
        assert torch.equal(found[is_real], as_it_was[is_real])
        assert torch.equal(found[~is_real], otherwise[~is_real])
    assert not torch.equal(pair.s1[is_real], batch.s1[is_real])  # others are varied
