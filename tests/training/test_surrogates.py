from __future__ import annotations

import numpy as np
import pytest
import torch

from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.dataset import TrainingTile
from axion_stage3.training.stage2_faults import FAULTS
from axion_stage3.training.stage2_surrogates import apply_faults, scene_of, training_surrogate
from axion_stage3.training.surrogate_families import FAMILIES, surrogate_tile

BATCH = 3


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Truth, s1 and generated tiles of a batch, (B, bands, 44, 52)."""
    tiles = [make_tile(seed, 44, 52) for seed in range(2 * BATCH)]
    truth = torch.from_numpy(np.stack([tile.truth for tile in tiles[:BATCH]]))
    s1 = torch.from_numpy(np.stack([tile.s1 for tile in tiles[:BATCH]]))
    other = torch.from_numpy(np.stack([tile.truth for tile in tiles[BATCH:]]))
    return truth, s1, other.sqrt()


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_strength_zero_leaves_the_tile_as_it_is(name: str) -> None:
    scene = scene_of(*batch(), random())
    strength = torch.tensor([0.0, 1.0, 0.0])
    damaged = FAULTS[name](scene.truth, scene, strength, random())
    torch.testing.assert_close(damaged[0], scene.truth[0], rtol=0, atol=1e-6)
    assert (damaged[1] - scene.truth[1]).abs().mean() > 1e-4


@pytest.mark.parametrize("name", FAULTS)
def test_a_stronger_fault_is_further_from_the_truth(name: str) -> None:
    scene = scene_of(*batch(), random())
    errors = [
        (FAULTS[name](scene.truth, scene, torch.full((BATCH,), s), random()) - scene.truth)
        .square()
        .mean()
        .item()
        for s in (0.1, 0.5, 1.0)
    ]
    assert errors == sorted(errors)


def test_training_surrogates_depend_on_the_seed_alone() -> None:
    first, again, other = (
        training_surrogate(scene_of(*batch(), random(seed)), random(seed)).opt_v2
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_share_of_the_surrogates_is_the_truth_itself() -> None:
    scene = scene_of(*batch(), random())
    untouched = training_surrogate(scene, random(), share_untouched=1.0).opt_v2
    torch.testing.assert_close(untouched, batch()[0], rtol=0, atol=1e-6)


def test_faults_left_out_are_never_applied() -> None:
    scene = scene_of(*batch(), random())
    surrogate = training_surrogate(scene, random(), left_out=frozenset(FAULTS))
    torch.testing.assert_close(surrogate.opt_v2, batch()[0], rtol=0, atol=1e-6)


def test_some_surrogates_are_wrong_in_some_bands_or_regions_only() -> None:
    """Of samples that are wrong somewhere, some have a band, and some a region, without a fault."""
    spared_bands, spared_regions = 0, 0
    for seed in range(40):
        scene = scene_of(*batch(), random(seed))
        surrogate = training_surrogate(scene, random(seed), emphasis=1.0)
        error = (surrogate.opt_v2 - surrogate.mendable).abs()
        of_band = error.mean(dim=(2, 3))
        is_wrong = of_band.amax(dim=1) > 1e-3
        spared_bands += int((is_wrong & (of_band.amin(dim=1) < 1e-7)).sum())
        of_place = error.amax(dim=1).flatten(1)
        is_right = of_place < 0.03 * of_place.amax(dim=1, keepdim=True)
        spared_regions += int((is_wrong & (is_right.float().mean(dim=1) > 0.5)).sum())
    assert 10 < spared_bands < 60
    assert 5 < spared_regions < 60


def test_no_fault_named_returns_the_truth() -> None:
    truth = batch()[0]
    result = apply_faults(scene_of(*batch(), random()), {}, random())
    torch.testing.assert_close(result.opt_v2, truth, rtol=0, atol=1e-6)


def test_what_can_be_mended_has_the_untraceable_faults_alone() -> None:
    scene = scene_of(*batch(), random())
    strong = torch.ones(BATCH)
    names = ("colour_cast", "coloured_noise")
    both = apply_faults(scene, dict.fromkeys(names, strong), random())
    cast = apply_faults(scene, {"colour_cast": strong}, random())
    assert torch.equal(both.mendable, cast.opt_v2)
    assert not torch.equal(both.mendable, both.opt_v2)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_make_the_same_tile_each_time(family: str) -> None:
    tiles = [
        TrainingTile(f"t{seed}.npz", f"g{seed}", tile.truth, tile.s1)
        for seed in range(3)
        for tile in [make_tile(seed, 44, 36)]
    ]
    generated = np.sqrt(np.stack([tiles[1].truth, tiles[2].truth]))
    first, again = (surrogate_tile(family, tiles[0], tiles[1:], generated) for _ in range(2))
    assert first.dtype == np.float32
    assert first.shape == (4, 44, 36)
    np.testing.assert_array_equal(first, again)
    error = np.abs(first - tiles[0].truth).mean()
    assert error < 1e-6 if family == "truth" else error > 1e-4
