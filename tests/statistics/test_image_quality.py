from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    spectral_angle_mapper,
    structural_similarity_index_measure,
)
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error

from axion_stage3.errors import TileShapeError
from axion_stage3.statistics.image_quality import (
    image_quality,
    mae,
    ndvi,
    psnr,
    rmse,
    sam_degrees,
    ssim,
)
from axion_stage3.statistics.spectrum import band_power, hf_power_ratio
from axion_stage3.tiles.bands import OPTICAL_BANDS

METRICS = [
    ("psnr", psnr, lambda x, y: peak_signal_noise_ratio(x, y, data_range=1.0)),
    ("ssim", ssim, lambda x, y: structural_similarity_index_measure(x, y, data_range=1.0)),
    ("mae", mae, mean_absolute_error),
    ("rmse", rmse, lambda x, y: mean_squared_error(x, y, squared=False)),
]


def scene(height: int, width: int, seed: int = 0):
    """Smooth fields with texture, and a version with another colour, noise and a moved edge."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = 0.15 + 0.1 * np.sin(x / 7.0) * np.cos(y / 11.0) + 0.05 * (x > width / 2)
    truth = base + np.array([0.0, 0.02, 0.01, 0.2])[:, None, None]
    truth = truth + random.normal(0, 0.01, truth.shape)
    output = np.roll(truth, 1, axis=2) * 1.05 + random.normal(0, 0.02, truth.shape)
    return output.astype(np.float32), truth.astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 80), (16, 16), (31, 17)])
@pytest.mark.parametrize(("name", "metric", "reference"), METRICS)
def test_metrics_agree_with_torchmetrics_overall_and_per_band(name, metric, reference, shape):
    output, truth = scene(*shape)
    x, y = torch.from_numpy(output)[None], torch.from_numpy(truth)[None]
    quality = image_quality(output, truth)
    assert quality[name] == metric(output, truth)
    assert quality[name] == pytest.approx(float(reference(x, y)), abs=1e-4)
    for index, band in enumerate(OPTICAL_BANDS):
        one = slice(index, index + 1)
        expected = float(reference(x[:, one].contiguous(), y[:, one].contiguous()))
        assert quality[f"{name}_{band}"] == pytest.approx(expected, abs=1e-4)


def test_the_spectral_angle_agrees_with_torchmetrics():
    output, truth = scene(48, 48)
    x, y = (torch.from_numpy(array)[None].double() for array in (output, truth))
    expected = math.degrees(float(spectral_angle_mapper(x, y)))
    assert sam_degrees(output, truth) == pytest.approx(expected, abs=1e-4)


def test_equal_tiles_are_perfect():
    _, truth = scene(32, 32)
    quality = image_quality(truth, truth)
    assert quality["psnr"] == math.inf
    assert quality["ssim"] == pytest.approx(1.0, abs=1e-12)
    assert quality["sam_degrees"] == pytest.approx(0.0, abs=1e-5)
    assert (quality["mae"], quality["rmse"], quality["hf_power_ratio"]) == (0.0, 0.0, 1.0)


def test_spectra_without_direction_count_as_equal_or_as_orthogonal():
    truth = np.zeros((4, 1, 2), dtype=np.float32)
    output = truth.copy()
    assert sam_degrees(output, truth) == 0.0
    output[:, 0, 0] = 0.3
    assert sam_degrees(output, truth) == 45.0


def test_high_frequency_power_measures_added_noise_and_blur():
    random = np.random.default_rng(1)
    truth = random.normal(0, 0.01, (4, 120, 120))
    noise = random.normal(0, 0.03, truth.shape)
    blurred = (
        truth + np.roll(truth, 1, 1) + np.roll(truth, 1, 2) + np.roll(truth, (1, 1), (1, 2))
    ) / 4
    assert hf_power_ratio(truth * 2, truth) == pytest.approx(4.0)
    assert hf_power_ratio(truth + noise, truth) == pytest.approx(10.0, rel=0.05)
    assert hf_power_ratio(blurred, truth) < 0.4


@pytest.mark.parametrize("shape", [(120, 120), (37, 64)])
def test_band_power_is_the_variance_of_a_wave_in_its_ring_and_nothing_outside(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = 0.1 * np.cos(2 * np.pi * (0.25 * x + 0.2 * y))[None]
    assert band_power(wave, 0.2, 0.5) == pytest.approx(0.005, rel=0.02)
    assert band_power(wave, 0.02, 0.2) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("shape", [(24, 20), (24, 21), (17, 20), (17, 21)])
def test_band_powers_add_up_to_the_variance_under_the_window(shape):
    """Parseval: each entry of the half spectrum counts as often as it stands in the whole one."""
    image = np.random.default_rng(2).normal(0.3, 0.1, (3, *shape))
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in shape))
    centred = image - image.mean(axis=(1, 2), keepdims=True)
    expected = ((centred * window) ** 2).sum(axis=(1, 2)) / (window**2).sum()
    assert band_power(image, 0.0, 1.0) == pytest.approx(expected, rel=1e-12)


def test_borders_that_do_not_match_are_not_detail():
    y, x = np.mgrid[:120, :120]
    ramp = (x + 2.0 * y)[None] / 360
    assert float(band_power(ramp, 0.2, 0.5)[0]) < 1e-9


def test_detail_where_the_truth_has_none_is_infinitely_much():
    flat = np.full((4, 32, 32), 0.25)
    output, _ = scene(32, 32)
    assert hf_power_ratio(output, flat) == math.inf
    assert hf_power_ratio(flat, flat) == 1.0


def test_ndvi_of_vegetation_water_and_nothing():
    optical = np.zeros((4, 1, 4), dtype=np.float32)
    optical[2, 0] = [0.05, 0.04, 0.0, -0.1]
    optical[3, 0] = [0.45, 0.01, 0.0, -0.1]
    assert ndvi(optical)[0] == pytest.approx([0.8, -0.6, 0.0, 0.0], abs=1e-6)


def test_tiles_that_cannot_be_compared_are_refused():
    output, truth = scene(32, 32)
    with pytest.raises(TileShapeError, match=r"\(4, 32, 32\).*\(3, 32, 32\)"):
        mae(output, truth[:3])
    with pytest.raises(TileShapeError, match="at least 11 px"):
        ssim(output[:, :8], truth[:, :8])
