"""What the losses teach on one batch: how strong detail is, and how much of it is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from axion_stage3.diffusion.highpass import local_strength
from axion_stage3.diffusion.network import GroundingNetwork, from_network_space
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.losses import Losses, grounding_losses
from axion_stage3.training.training_batch import TrainingBatch

N_STEPS = 80


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    """Two tiles whose left half is spoiled by noise in opt_v2."""
    tiles = [make_tile(seed, 48) for seed in (1, 2)]
    truth = torch.from_numpy(np.stack([tile.truth for tile in tiles]))
    s1 = torch.from_numpy(np.stack([tile.s1 for tile in tiles]))
    noise = 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    noise[..., truth.shape[-1] // 2 :] *= 0.2
    return TrainingBatch(truth, truth, (truth + noise).clamp_min(0.0), s1)


@pytest.fixture(scope="module")
def network(batch: TrainingBatch) -> GroundingNetwork:
    torch.manual_seed(4)
    network = GroundingNetwork().train()
    network.freeze_mean()  # opt_v2 itself: what the mean lacks is then known
    network.whitening.mul_(40.0)  # detail of about unit size
    optimizer = torch.optim.Adam(network.detail_head.parameters(), lr=4e-3)
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        grounding_losses(network, batch, random=None).total.backward()
        optimizer.step()
    return network.eval()


def halves(values: Tensor) -> tuple[float, float]:
    """Mean of the left and of the right half, away from their border."""
    middle = values.shape[-1] // 2
    return float(values[..., : middle - 6].mean()), float(values[..., middle + 6 :].mean())


def test_what_is_expected_is_what_there_is(network: GroundingNetwork, batch: TrainingBatch) -> None:
    with torch.no_grad():
        expected = network.expect_detail(network.encode(batch.opt_v2, batch.s1))
        spread = local_strength(network.whitened_detail(batch.truth - expected.mean))
        strength = local_strength(network.whitened_detail(batch.truth))
    # The loss of the spread is one of logarithms, that of the strength is not.
    logs = halves(spread.log())
    assert logs[0] > logs[1] + 1.0
    assert halves(expected.spread.log()) == pytest.approx(logs, abs=0.4)
    assert halves(expected.strength) == pytest.approx(halves(strength), rel=0.3)


def test_the_error_of_opt_v2_is_learned_for_each_band() -> None:
    tile = make_tile(5, 48)
    truth, s1 = torch.from_numpy(tile.truth)[None], torch.from_numpy(tile.s1)[None]
    opt_v2 = truth.clone()
    random = torch.Generator().manual_seed(6)
    opt_v2[:, 1] += 0.03 * torch.randn(truth[:, 1].shape, generator=random)
    torch.manual_seed(7)
    network = GroundingNetwork().train()
    optimizer = torch.optim.Adam(network.encoder.gains.parameters(), lr=2e-2)
    for _ in range(40):
        optimizer.zero_grad()
        grounding_losses(
            network, TrainingBatch(truth, truth, opt_v2, s1), random=None
        ).doubt.backward()
        optimizer.step()
    doubt = network.encode(opt_v2, s1).doubt.mean(dim=(0, 2, 3))
    assert doubt[1] > 5 * doubt[[0, 2, 3]].max()


@torch.no_grad()
def test_the_error_to_be_foretold_is_what_the_equalizer_leaves() -> None:
    tile = make_tile(5, 48)
    opt_v2, s1 = torch.from_numpy(tile.truth)[None], torch.from_numpy(tile.s1)[None]
    network = GroundingNetwork()
    assert network.equalizer is not None
    network.equalizer.biases[-1].fill_(0.5)
    mended = from_network_space(network.equalize(opt_v2))
    assert (mended - opt_v2).abs().mean() > 1e-4
    # Neither is what cannot be mended foretold, nor is it an error of the mean.
    batch = TrainingBatch(mended + 0.1, mended, opt_v2, s1)
    doubt = network.encode(opt_v2, s1).doubt
    losses = grounding_losses(network, batch, random=None)
    torch.testing.assert_close(losses.doubt, doubt.log().mean(), rtol=0, atol=1e-4)
    assert losses.mean < 0.006  # the floors of its roots


@torch.no_grad()
def test_reduced_precision_rounds_nothing_that_is_to_be_learned(batch: TrainingBatch) -> None:
    """A new network answers the same in any precision: what differs is what it is held to."""
    network = GroundingNetwork()
    exact, rounded = (
        losses_of_a_draw(network, batch, is_rounded=is_rounded) for is_rounded in (False, True)
    )
    for name, value in exact._asdict().items():
        torch.testing.assert_close(getattr(rounded, name), value, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_the_denoiser_learns_detail_of_strength_one(batch: TrainingBatch) -> None:
    """However strong the residual is: a denoiser that answers 0 is then wrong by 1 on average."""
    network = GroundingNetwork()
    for factor in (1e3, 1e2):
        network.whitening.copy_(factor * torch.eye(4))
        assert float(losses_of_a_draw(network, batch).detail) == pytest.approx(1.0, abs=0.1)


def losses_of_a_draw(
    network: GroundingNetwork, batch: TrainingBatch, *, is_rounded: bool = False
) -> Losses:
    random = torch.Generator().manual_seed(8)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_rounded):
        return grounding_losses(network, batch, random)
