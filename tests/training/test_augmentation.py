from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from axion_stage3.training.augmentation import in_other_light, vary
from axion_stage3.training.dataset import Crops
from axion_stage3.training.random_fields import gaussian_blur

BATCH, WIDE_PX, CROP_PX = 12, 60, 40


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def crops() -> Crops:
    """Fields whose borders are the same in truth, radar and generator draws."""
    noise = torch.randn(BATCH, 1, WIDE_PX, WIDE_PX, generator=random(9))
    fields = (gaussian_blur(noise, torch.full((BATCH,), 4.0)) > 0).float()
    truth = (0.05 + 0.2 * fields).expand(-1, 4, -1, -1).contiguous()
    return Crops(
        truth=truth,
        s1=(-15 + 20 * fields).expand(-1, 2, -1, -1).contiguous(),
        generated=truth.sqrt(),
        opt_v2=truth,
        has_opt_v2=torch.zeros(BATCH, dtype=torch.bool),
        tile_index=torch.zeros(BATCH, dtype=torch.long),
    )


def likeness(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Correlation over the pixels of each sample, of the means over bands."""
    flat = [x.mean(dim=1).flatten(1) for x in (a, b)]
    centred = [x - x.mean(dim=1, keepdim=True) for x in flat]
    lengths = [x.norm(dim=1) for x in centred]
    return (centred[0] * centred[1]).sum(dim=1) / (lengths[0] * lengths[1])


def test_radar_and_draws_go_where_the_truth_goes(crops: Crops) -> None:
    pair = vary(crops, CROP_PX, random())
    assert likeness(pair.truth, pair.s1).min() > 0.9
    assert likeness(pair.truth, pair.generated).min() > 0.9


def test_most_crops_change_their_shape(crops: Crops) -> None:
    pair = vary(crops, CROP_PX, random())
    margin = (WIDE_PX - CROP_PX) // 2
    still = crops.truth[..., margin:-margin, margin:-margin]
    assert pair.truth.shape == still.shape
    assert 0.4 < (likeness(pair.truth, still) < 0.9).float().mean() < 1.0


def test_about_half_of_the_blunt_draws_are_sharpened(crops: Crops) -> None:
    generated = gaussian_blur(crops.generated, torch.full((BATCH,), 1.5))
    blunt = replace(crops, generated=generated)
    pair = vary(blunt, CROP_PX, random())

    def detail(tiles: torch.Tensor) -> torch.Tensor:
        return (tiles - gaussian_blur(tiles, torch.ones(BATCH))).square().mean(dim=(1, 2, 3))

    power = detail(pair.generated) / detail(pair.truth.sqrt())
    assert 0.2 < (power > 0.1).float().mean() < 0.8


def test_varied_pairs_stay_reflectance_and_db(crops: Crops) -> None:
    light = in_other_light(crops.truth, crops.s1, random())
    pair = vary(crops, CROP_PX, random())
    for truth, s1 in (light, pair[:2]):
        assert truth.min() >= 0
        assert truth.max() < 2
        assert -45 < s1.min() < s1.max() < 30
    assert not torch.equal(light[0], crops.truth)


def test_variation_depends_on_the_seed_alone(crops: Crops) -> None:
    first, again, other = (vary(crops, CROP_PX, random(seed)).truth for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_crop_may_be_as_large_as_its_tile(crops: Crops) -> None:
    pair = vary(crops, WIDE_PX, random())
    assert pair.truth.shape == (BATCH, 4, WIDE_PX, WIDE_PX)
    assert bool(torch.isfinite(pair.truth).all())
