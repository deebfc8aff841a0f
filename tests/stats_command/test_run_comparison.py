"""Two runs side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from axion_stage3.errors import NoTilePairsError
from axion_stage3.runs.run_comparison import compare_runs
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import load_output


@pytest.fixture
def other_run(stats_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stats_run, tmp_path / "other"))


def rewrite(path: Path, opt_final: np.ndarray) -> None:
    write_npz(path, {"opt_final": opt_final.astype(np.float32)}, {"opt_v3": "opt_final"})


def test_equal_runs_are_equal(stats_run: Path, other_run: Path) -> None:
    done: list[None] = []
    comparison = compare_runs(stats_run, other_run, on_tile=lambda: done.append(None))
    assert comparison.n_equal == len(done) == 11
    assert not comparison.differences
    assert not comparison.not_comparable


def test_it_says_which_tiles_differ_and_by_how_much(stats_run: Path, other_run: Path) -> None:
    little, much = "north/tile_01.npz", "south/tile_00.npz"
    one_pixel = load_output(stats_run / little).copy()
    one_pixel[2, 3, 4] += np.float32(0.25)
    rewrite(other_run / little, one_pixel)
    rewrite(other_run / much, load_output(stats_run / much) - np.float32(0.5))
    comparison = compare_runs(stats_run, other_run)
    assert comparison.n_equal == 9
    assert [tile.tile_name for tile in comparison.differences] == [much, little]
    far, near = comparison.differences
    assert far.difference_max == pytest.approx(0.5, abs=1e-6)
    assert far.difference_mean == pytest.approx(0.5, abs=1e-6)
    assert near.difference_max == pytest.approx(0.25, abs=1e-6)
    assert near.difference_mean == pytest.approx(0.25 / (4 * 32 * 32), rel=1e-5)


def test_tiles_of_one_run_alone_and_tiles_that_do_not_fit_are_listed(
    stats_run: Path, other_run: Path
) -> None:
    (other_run / "north/tile_00.npz").rename(other_run / "new.npz")
    rewrite(other_run / "alone.npz", make_tile(1, 48).truth)
    (other_run / "south/tile_01.npz").write_bytes(b"")
    rewrite(other_run / "south/tile_02.npz", np.full((4, 32, 32), np.nan))
    comparison = compare_runs(stats_run, other_run)
    assert comparison.only_first == ("north/tile_00.npz",)
    assert comparison.only_second == ("new.npz",)
    reasons = {tile.tile_name: tile.reason for tile in comparison.not_comparable}
    assert reasons.keys() == {"alone.npz", "south/tile_01.npz", "south/tile_02.npz"}
    assert "(4, 32, 32) here and (4, 48, 48) there" in reasons["alone.npz"]
    assert "not finite" in reasons["south/tile_02.npz"]
    assert comparison.n_equal == 7


def test_runs_without_a_common_tile_are_refused(stats_run: Path, tmp_path: Path) -> None:
    rewrite(tmp_path / "foreign.npz", make_tile(1, 32).truth)
    with pytest.raises(NoTilePairsError, match="no tile in common"):
        compare_runs(stats_run, tmp_path)


def test_tiles_of_another_size_cannot_be_compared_whichever_is_the_larger(tmp_path: Path) -> None:
    for run, side in (("small", 16), ("large", 24)):
        (tmp_path / run).mkdir()
        write_npz(tmp_path / run / "a.npz", {"opt_final": make_tile(0, side).truth})
    for first, second in (("small", "large"), ("large", "small")):
        comparison = compare_runs(tmp_path / first, tmp_path / second)
        (tile,) = comparison.not_comparable
        assert "its shape is" in tile.reason
        assert not comparison.differences
