from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import Encoding, GroundingNetwork
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.dataset import TrainingTile
from axion_stage3.training.surrogate_families import ValidationCase
from axion_stage3.training.validation import validate

if TYPE_CHECKING:
    import torch

SMALL = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)


class Adding(GroundingNetwork):
    """Adds a constant, so that what it gains is known."""

    def __init__(self, value: float) -> None:
        super().__init__(SMALL)
        self.value = value

    def encode(self, opt_v2: torch.Tensor, s1: torch.Tensor) -> Encoding:
        return super().encode(opt_v2, s1)._replace(mean=opt_v2 + self.value)


def case(group: str, error: float, family: str = "hard") -> ValidationCase:
    """A tile whose opt_v2 is wrong by a constant."""
    tile = make_tile(0, 32)
    shown = TrainingTile(f"{group}.npz", group, tile.truth, tile.s1)
    return ValidationCase(family, shown, tile.truth + np.float32(error))


def test_gains_are_means_over_groups_and_what_nobody_can_see_does_not_count() -> None:
    # 20 dB to 40 dB, and 60 dB (an error of 0.001) to 39.2 dB (0.011), of which 45 dB count.
    result = validate(Adding(-0.09), [case("a", 0.1)])
    assert result.families["hard"].gain == pytest.approx(20, abs=0.01)
    mixed = validate(Adding(0.01), [case("a", 0.001)]).families["hard"]
    assert mixed.gain == pytest.approx(39.17 - 60, abs=0.02)
    assert mixed.gain_that_counts == pytest.approx(39.17 - 45, abs=0.02)
    both = validate(Adding(-0.09), [case("a", 0.1), case("a", 0.1), case("b", 0.09)])
    assert both.families["hard"].psnr_opt_v2 == pytest.approx((20 + 20.915) / 2, abs=0.01)


def test_the_truth_has_no_say_in_the_score() -> None:
    with_truth = validate(Adding(-0.09), [case("a", 0.1), case("a", 0.0, "truth")])
    assert with_truth.score == validate(Adding(-0.09), [case("a", 0.1)]).score
    assert with_truth.families["truth"].gain < 0


def test_no_tile_counts_for_more_than_60_db() -> None:
    # Nothing can be said of a mean with an infinite value in it.
    perfect = validate(Adding(-0.1), [case("a", 0.1), case("b", 0.2)]).families["hard"]
    assert perfect.psnr_opt_final == pytest.approx((60 + 20) / 2, abs=0.01)
    spoiled = validate(Adding(0.01), [case("a", 0.0)]).families["hard"]
    assert spoiled.psnr_opt_v2 == 60
    assert spoiled.gain == pytest.approx(40 - 60, abs=0.01)


def test_one_tile_of_each_group_is_shown() -> None:
    result = validate(Adding(0.0), [case("a", 0.1), case("a", 0.2), case("b", 0.1)])
    assert [tile.name for tile in result.tiles] == ["a.npz", "b.npz"]
