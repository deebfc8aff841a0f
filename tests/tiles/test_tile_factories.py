from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.errors import UsageError
from axion_stage3.testing.tile_factories import make_tile, write_pair, write_pairs
from axion_stage3.tiles.layouts import OPTICAL_LAYOUTS, RADAR_LAYOUTS
from axion_stage3.tiles.npz_reader import read_headers
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_optical, load_pair

if TYPE_CHECKING:
    from pathlib import Path


def test_equal_seeds_give_equal_tiles_and_others_do_not() -> None:
    first, again, other = make_tile(1, 32, 40), make_tile(1, 32, 40), make_tile(2, 32, 40)
    for name in ("opt_v2", "s1", "truth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
        assert getattr(first, name).dtype == np.float32
    assert first.opt_v2.shape == first.truth.shape == (4, 32, 40)
    assert first.s1.shape == (2, 32, 40)


def test_tiles_look_like_real_ones() -> None:
    for seed in range(5):
        tile = make_tile(seed, 96)
        assert 0 < tile.truth.min() < tile.truth.max() < 1
        error = np.abs(tile.opt_v2 - tile.truth).mean()
        assert 0.003 < error < 0.05
        assert np.diff(tile.truth, axis=2).std() > np.diff(tile.opt_v2, axis=2).std()
        assert -32 < tile.s1[1].mean() < tile.s1[0].mean() < -3
        assert 0.7 < np.corrcoef(tile.truth[0].ravel(), tile.truth[1].ravel())[0, 1] < 1
        speckle = np.diff(tile.s1[0], axis=1)[:, 1:].std() / np.sqrt(2)
        assert 1.8 < speckle < 4


@pytest.mark.parametrize("optical", [layout.name for layout in OPTICAL_LAYOUTS])
@pytest.mark.parametrize("radar", [layout.name for layout in RADAR_LAYOUTS])
def test_pairs_in_all_layouts_hold_the_same_tile(tmp_path: Path, optical: str, radar: str) -> None:
    tile = make_tile(9, 24, 20)
    pair = write_pair(
        tmp_path, "x/a.npz", seed=9, height=24, width=20, optical_layout=optical,
        radar_layout=radar, has_truth=True,
    )  # fmt: skip
    loaded = load_pair(pair)
    np.testing.assert_array_equal(loaded.opt_v2, tile.opt_v2)
    np.testing.assert_array_equal(loaded.s1, tile.s1)
    assert loaded.name == "x/a.npz"
    np.testing.assert_array_equal(load_optical(tmp_path / "truth" / "x/a.npz"), tile.truth)
    assert find_pairs(tmp_path / "opt_v2", tmp_path / "s1").pairs == (pair,)


def test_many_pairs_go_through_sizes_and_layouts(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 12, sizes=(16, 18))
    assert tuple(pairs) == find_pairs(tmp_path / "opt_v2", tmp_path / "s1").pairs
    assert {load_pair(pair).opt_v2.shape for pair in pairs} == {(4, 16, 16), (4, 18, 18)}
    assert len({tuple(read_headers(pair.opt_v2_path)) for pair in pairs}) == 3
    assert len({tuple(read_headers(pair.s1_path)) for pair in pairs}) == 3
    assert len({load_pair(pair).s1.tobytes() for pair in pairs}) == 12


def test_unknown_layouts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no key layout 'bgr'") as caught:
        write_pair(tmp_path, "a.npz", optical_layout="bgr")
    assert "opt_v2, s2_bands, opt_v2_bands" in caught.value.hint
