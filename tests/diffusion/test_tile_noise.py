"""Noise of a tile: the same wherever and whenever it is drawn, and normal."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.diffusion.tile_noise import (
    batch_initial_noise,
    batch_step_noise,
    initial_noise,
    step_noise,
)

SHAPE = (4, 16, 18)
NAMES = [f"scene_{scene}/tile_{tile}.npz" for scene in range(3) for tile in range(4)]


def test_noise_does_not_depend_on_batch_or_order() -> None:
    alone = {name: initial_noise(7, name, 0, SHAPE) for name in NAMES}
    alone_step = {name: step_noise(7, name, 0, 3, SHAPE) for name in NAMES}
    shuffled = random.Random(0).sample(NAMES, len(NAMES))
    for size in (1, 3, 8, len(NAMES)):
        for start in range(0, len(NAMES), size):
            names = shuffled[start : start + size]
            batch = batch_initial_noise(7, names, 0, SHAPE)
            batch_step = batch_step_noise(7, names, 0, 3, SHAPE)
            assert batch.shape == (len(names), *SHAPE)
            for i, name in enumerate(names):
                assert torch.equal(batch[i], alone[name])
                assert torch.equal(batch_step[i], alone_step[name])


def test_noise_does_not_depend_on_global_random_states() -> None:
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = initial_noise(0, "a.npz", 0, SHAPE)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    assert torch.equal(first, initial_noise(0, "a.npz", 0, SHAPE))


def test_everything_that_names_the_noise_changes_it() -> None:
    draws = [
        initial_noise(0, "a/tile.npz", 0, SHAPE),
        initial_noise(1, "a/tile.npz", 0, SHAPE),
        initial_noise(-1, "a/tile.npz", 0, SHAPE),
        initial_noise(0, "b/tile.npz", 0, SHAPE),
        initial_noise(0, "tile.npz", 0, SHAPE),
        initial_noise(0, "a/tile.npz", 1, SHAPE),
        step_noise(0, "a/tile.npz", 0, 0, SHAPE),
        step_noise(0, "a/tile.npz", 0, 1, SHAPE),
        step_noise(0, "a/tile.npz", 1, 0, SHAPE),
    ]
    flat = torch.stack(draws).flatten(1)
    correlation = torch.corrcoef(flat) - torch.eye(len(draws))
    # 1152 samples each: a correlation has a standard deviation of 0.03.
    assert correlation.abs().max() < 0.15


def test_noise_is_standard_normal() -> None:
    noise = batch_initial_noise(3, NAMES, 0, (4, 64, 64)).double()
    assert noise.dtype == torch.float64
    n = noise.numel()
    assert abs(noise.mean()) < 4 / n**0.5
    assert abs(noise.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / n) ** 0.5
    rows, columns = noise[..., 1:, :] * noise[..., :-1, :], noise[..., 1:] * noise[..., :-1]
    assert abs(rows.mean()) < 4 / n**0.5
    assert abs(columns.mean()) < 4 / n**0.5


@settings(max_examples=40, deadline=None)
@given(name=st.text(max_size=40), seed=st.integers(-(2**70), 2**70))
def test_any_name_and_seed_has_noise(name: str, seed: int) -> None:
    noise = initial_noise(seed, name, 0, (1, 2, 2))
    assert noise.dtype == torch.float32
    assert noise.device.type == "cpu"
    assert bool(noise.isfinite().all())


def test_names_that_are_not_unicode_have_noise_of_their_own() -> None:
    """A file name with the byte 0xff arrives as a lone surrogate."""
    first, second = "tile_\udcff.npz", "tile_\udcfe.npz"
    assert not torch.equal(initial_noise(0, first, 0, SHAPE), initial_noise(0, second, 0, SHAPE))


def test_noise_stays_what_it_was() -> None:
    """Results of earlier runs can be repeated only while these figures stand."""
    first = initial_noise(0, "tile_001.npz", 0, (4, 120, 120))[0, 0, :3]
    after_step = step_noise(0, "tile_001.npz", 0, 0, (4, 120, 120))[0, 0, :2]
    assert first.tolist() == pytest.approx([0.1702442, -1.3011405, 0.5772197], abs=1e-6)
    assert after_step.tolist() == pytest.approx([0.5169210, 1.5803897], abs=1e-6)
