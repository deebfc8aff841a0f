"""Noise of a tile: the same wherever and whenever it is drawn, and normal."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.diffusion.tile_noise import (
    batch_initial_noise,
    batch_noise_keys,
    batch_step_noise,
    expand_noise,
    initial_noise,
    step_noise,
)
from axion_stage3.tiles.window import Window

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


def whole(shape: tuple[int, int, int]) -> Window:
    return Window(0, shape[1], 0, shape[2])


@pytest.mark.parametrize("kind", ["drawn", "computed"])
def test_noise_is_standard_normal(kind: str) -> None:
    shape = 4, 64, 64
    noise = (
        batch_initial_noise(3, NAMES, 0, shape)
        if kind == "drawn"
        else expand_noise(batch_noise_keys(3, NAMES, 0), shape, whole(shape))
    ).double()
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


def test_computed_noise_is_that_of_its_key_and_place() -> None:
    """SplitMix64 and the transform of Box and Muller, in Python's own numbers."""
    keys = batch_noise_keys(5, NAMES, 2, 1)
    noise = expand_noise(keys, SHAPE, whole(SHAPE))
    assert (noise.shape, noise.dtype) == ((len(NAMES), *SHAPE), torch.float32)
    for tile, place in ((0, 0), (3, 17), (len(NAMES) - 1, noise[0].numel() - 1)):
        bits = ((place + 1) * 0x9E3779B97F4A7C15 + int(keys[tile])) % 2**64
        bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
        bits ^= bits >> 31
        first, second = (bits >> 40) + 1, (bits >> 16) % 2**24
        radius = math.sqrt(-2 * math.log(first / 2**24))
        expected = radius * math.cos(2 * math.pi * second / 2**24)
        assert float(noise[tile].flatten()[place]) == pytest.approx(expected, abs=2e-6)


def test_computed_noise_of_a_window_is_the_whole_ones() -> None:
    keys, window = batch_noise_keys(0, NAMES, 0), Window(3, 11, 2, 18)
    noise = expand_noise(keys, SHAPE, whole(SHAPE))
    assert torch.equal(expand_noise(keys, SHAPE, window), window.cut(noise))
    alone = [expand_noise(batch_noise_keys(0, [name], 0), SHAPE, window)[0] for name in NAMES]
    assert torch.equal(torch.stack(alone), window.cut(noise))


def test_everything_that_names_the_noise_changes_its_key() -> None:
    keys = [
        int(batch_noise_keys(*arguments)[0])
        for arguments in (
            (0, ["a.npz"], 0), (1, ["a.npz"], 0), (0, ["b.npz"], 0), (0, ["a.npz"], 1),
            (0, ["a.npz"], 0, 0), (0, ["a.npz"], 0, 1),
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_computed_noise_stays_what_it_was() -> None:
    shape = 4, 120, 120
    noise = expand_noise(batch_noise_keys(0, ["tile_001.npz"], 0), shape, whole(shape))
    assert noise[0, 0, 0, :3].tolist() == pytest.approx(
        [-1.9020251, -0.6103598, -1.5829872], abs=2e-6
    )
