"""The numbers of a scene seen strip by strip are those of the scene seen at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.statistics.scene_statistics import SceneStatistics
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile

TILE = make_tile(3, 40, 24)
ALL_VALID = np.ones((40, 24), bool)


def strip(start: int, stop: int, is_valid: np.ndarray = ALL_VALID) -> SceneStatistics:
    rows = slice(start, stop)
    return SceneStatistics.of(
        TILE.truth[:, rows], TILE.opt_v2[:, rows], TILE.s1[:, rows], is_valid[rows]
    )


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(0, 40), max_size=5))
def test_any_partition_gives_the_statistics_of_the_whole(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), 40]
    parts = [strip(start, stop) for start, stop in pairwise(bounds)]
    found = SceneStatistics.merged(parts).describe("a.npz")
    expected = tile_statistics("a.npz", TILE.truth, TILE.opt_v2, TILE.s1)
    assert list(found) == list(expected)
    assert found.pop("tile_name") == expected.pop("tile_name")
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_pixels_without_data_do_not_count() -> None:
    is_valid = ALL_VALID.copy()
    is_valid[7:, :] = False
    assert strip(0, 40, is_valid).describe("a") == strip(0, 7).describe("a")
    assert strip(0, 40, np.zeros_like(ALL_VALID)).describe("a") == {"tile_name": "a"}


def test_sums_survive_being_kept_in_a_file() -> None:
    part = strip(0, 9)
    assert SceneStatistics.from_arrays(part.as_arrays()).describe("a") == part.describe("a")
