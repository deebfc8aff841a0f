from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.tiles.pixel_filling import fill_from_neighbours, resample_bilinear

SIZES = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(height=SIZES, width=SIZES, share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_valid_pixels_stay_and_filled_ones_lie_between_them(
    height: int, width: int, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    band = random.normal(-10, 5, (height, width)).astype(np.float32)
    is_valid = random.random((height, width)) < share
    is_valid.reshape(-1)[random.integers(band.size)] = True
    spoiled = np.where(is_valid, band, np.float32(np.nan))
    filled = fill_from_neighbours(spoiled, is_valid)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[is_valid], band[is_valid])
    assert filled.min() >= band[is_valid].min() - 1e-4
    assert filled.max() <= band[is_valid].max() + 1e-4


def test_gaps_are_filled_from_nearby() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    is_valid = np.ones((64, 64), bool)
    is_valid[20:30, 20:30] = is_valid[40, 50] = False
    filled = fill_from_neighbours(np.where(is_valid, ramp, np.float32(-9999)), is_valid)
    assert np.abs(filled - ramp).max() < 0.12
    assert abs(filled[40, 50] - ramp[40, 50]) < 0.02


def test_large_gaps_take_no_longer() -> None:
    band = np.zeros((1024, 1024), np.float32)
    is_valid = np.zeros((1024, 1024), bool)
    is_valid[3, 5] = True
    band[3, 5] = 7
    started = time.process_time()
    np.testing.assert_array_equal(fill_from_neighbours(band, is_valid), np.full_like(band, 7))
    assert time.process_time() - started < 1


def test_resampling_to_the_same_size_changes_nothing() -> None:
    bands = np.random.default_rng(0).random((2, 20, 30)).astype(np.float32)
    np.testing.assert_array_equal(resample_bilinear(bands, 20, 30), bands)


@settings(deadline=None, max_examples=60)
@given(height=SIZES, width=SIZES, new_height=SIZES, new_width=SIZES)
def test_resampling_keeps_extremes_and_constants(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    bands = np.random.default_rng(0).random((2, height, width)).astype(np.float32)
    bands[1] = 0.25
    resampled = resample_bilinear(bands, new_height, new_width)
    assert resampled.shape == (2, new_height, new_width)
    assert resampled.dtype == np.float32
    assert bands[0].min() - 1e-6 <= resampled[0].min() <= resampled[0].max() <= bands.max() + 1e-6
    np.testing.assert_array_equal(resampled[1], 0.25)


@pytest.mark.parametrize("size", [16, 33, 50, 100, 200])
def test_resampling_keeps_the_ground_in_place(size: int) -> None:
    def ramp(n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        centres = (np.arange(n) + 0.5) / n
        return np.add.outer(2 * centres, centres)[np.newaxis]

    resampled = resample_bilinear(ramp(50), size, size)
    margin = size // 20 + 1
    inner = (0, slice(margin, -margin), slice(margin, -margin))
    np.testing.assert_allclose(resampled[inner], ramp(size)[inner], atol=1e-5)
