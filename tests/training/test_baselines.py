from __future__ import annotations

import numpy as np

from axion_stage3.statistics.image_quality import hf_power_ratio, psnr
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.training.baselines import PixelRegression, smoothed


def test_smoothing_takes_noise_away_and_keeps_brightness() -> None:
    truth = make_tile(0, 64).truth
    noisy = truth + np.random.default_rng(0).normal(0, 0.02, truth.shape).astype(np.float32)
    result = smoothed(noisy)
    assert psnr(result, truth) > psnr(noisy, truth) + 3
    assert hf_power_ratio(result, truth) < hf_power_ratio(noisy, truth)
    np.testing.assert_allclose(result.mean(axis=(1, 2)), noisy.mean(axis=(1, 2)), atol=1e-4)


def test_regression_finds_a_linear_law_and_undoes_it() -> None:
    examples = []
    for seed in range(3):
        tile = make_tile(seed, 48)
        examples.append((0.8 * tile.truth[::-1] + 0.002 * tile.s1[:1] + 0.03, tile.s1, tile.truth))
    regression = PixelRegression.fit(examples)
    for opt_v2, s1, truth in examples:
        result = regression(opt_v2, s1)
        assert result.shape == truth.shape
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, truth, atol=1e-5)


def test_regression_takes_radar_that_says_nothing() -> None:
    tile = make_tile(0, 48)
    flat = np.full_like(tile.s1, -12.0)
    regression = PixelRegression.fit([(0.5 * tile.truth, flat, tile.truth)])
    np.testing.assert_allclose(regression(0.5 * tile.truth, flat), tile.truth, atol=1e-5)
