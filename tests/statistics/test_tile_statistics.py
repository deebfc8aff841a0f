from __future__ import annotations

import json

import numpy as np
import pytest

from axion_stage3.statistics.tile_statistics import tile_statistics

GUIDE_FIELDS = [
    "tile_name",
    "opt_final_mean",
    "opt_final_std",
    "change_mean",
    "change_max",
    "blue_mean",
    "green_mean",
    "red_mean",
    "nir_mean",
]


@pytest.fixture
def tile():
    random = np.random.default_rng(5)
    opt_v2 = random.uniform(0.0, 0.5, (4, 20, 24)).astype(np.float32)
    return opt_v2 + random.normal(0, 0.05, opt_v2.shape).astype(np.float32), opt_v2


def test_the_guides_fields_come_first_and_are_right(tile):
    opt_final, opt_v2 = tile
    statistics = tile_statistics("a/b.npz", opt_final, opt_v2)
    assert list(statistics)[:9] == GUIDE_FIELDS
    exact = opt_final.astype(np.float64)
    change = np.abs(exact - opt_v2)
    expected = [exact.mean(), exact.std(), change.mean(), change.max(), *exact.mean(axis=(1, 2))]
    assert statistics["tile_name"] == "a/b.npz"
    assert [statistics[name] for name in GUIDE_FIELDS[1:]] == pytest.approx(expected, rel=1e-12)


def test_band_extremes_and_changes_belong_to_their_band(tile):
    opt_final, opt_v2 = (array.copy() for array in tile)
    opt_final[2] = opt_v2[2]
    opt_final[2, 3, 4] = -1.5
    opt_final[3] = opt_v2[3] + 0.25
    statistics = tile_statistics("a.npz", opt_final, opt_v2)
    assert statistics["red_min"] == -1.5
    assert statistics["red_change_mean"] == pytest.approx((1.5 + opt_v2[2, 3, 4]) / 480, rel=1e-6)
    assert statistics["nir_change_mean"] == pytest.approx(0.25, rel=1e-6)
    assert statistics["nir_max"] == opt_final[3].max()


def test_radar_means_are_there_if_the_radar_is(tile):
    opt_final, opt_v2 = tile
    s1 = np.stack([np.full((20, 24), -11.5), np.full((20, 24), -18.25)]).astype(np.float32)
    statistics = tile_statistics("a.npz", opt_final, opt_v2, s1)
    assert (statistics["vv_mean"], statistics["vh_mean"]) == (-11.5, -18.25)
    assert "vv_mean" not in tile_statistics("a.npz", opt_final, opt_v2)


def test_statistics_are_a_json_document_and_float16_does_not_overflow():
    bright = np.full((4, 300, 300), 9.0, dtype=np.float16)
    statistics = tile_statistics("a.npz", bright, np.zeros_like(bright))
    assert json.loads(json.dumps(statistics, allow_nan=False)) == statistics
    assert statistics["opt_final_mean"] == 9.0
