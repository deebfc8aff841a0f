"""Any pair is loaded as promised or refused by name; nothing else ever comes out."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from axion_stage3.errors import TileError
from axion_stage3.testing.strategies import honest_pairs, spoiled_pairs, tile_names
from axion_stage3.tiles.pairing import TilePair, find_tiles
from axion_stage3.tiles.tile_loading import LoadedTile, LoadOptions, load_pair
from axion_stage3.tiles.tile_names import name_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    Stored = tuple[Mapping[str, np.ndarray[Any, Any]], Mapping[str, np.ndarray[Any, Any]]]


def load(stored: Stored, **options: Any) -> LoadedTile:
    with tempfile.TemporaryDirectory() as name:
        pair = TilePair("x.npz", Path(name) / "opt_v2.npz", Path(name) / "s1.npz")
        for path, arrays in zip((pair.opt_v2_path, pair.s1_path), stored, strict=True):
            np.savez(path, allow_pickle=False, **arrays)
        return load_pair(pair, LoadOptions(**options))


@settings(max_examples=40, deadline=None)
@given(honest_pairs())
def test_an_honest_pair_is_loaded(stored: Stored) -> None:
    tile = load(stored)
    optical = [np.atleast_3d(np.moveaxis(array, 0, -1)) for array in stored[0].values()]
    assert tile.opt_v2.shape[1:] == tile.s1.shape[1:]
    assert tile.opt_v2.dtype == tile.s1.dtype == np.float32
    assert tile.opt_v2.sum() == pytest.approx(sum(array.sum(dtype=float) for array in optical))


@settings(max_examples=120, deadline=None)
@given(spoiled_pairs())
def test_a_spoiled_pair_is_loaded_soundly_or_refused(stored: Stored) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, {"fill_invalid": True, "resample_s1": True}):
            try:
                tile = load(stored, **options)
            except TileError:
                continue
            height, width = tile.opt_v2.shape[1:]
            assert min(height, width) >= 16
            assert tile.opt_v2.shape == (4, height, width)
            assert tile.s1.shape == (2, height, width)
            assert tile.opt_v2.dtype == tile.s1.dtype == np.float32
            assert np.isfinite(tile.opt_v2).all()
            assert np.isfinite(tile.s1).all()


@settings(max_examples=60, deadline=None)
@given(tile_names())
def test_a_tile_may_have_any_sensible_name(name: str) -> None:
    assert name_fault(name) is None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert find_tiles(Path(folder)) == {name: path}
