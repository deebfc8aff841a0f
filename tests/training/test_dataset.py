"""Split files are read with care; crops are windows of their tile, all bands alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.errors import InputError
from axion_stage3.training.dataset import (
    SplitEntry,
    TileSet,
    TrainingTile,
    read_groups,
    read_split_file,
)

if TYPE_CHECKING:
    from pathlib import Path

SIZES = ((40, 48), (36, 33))
CROP_PX = 32
_TRANSFORMS = tuple((turns, is_flipped) for turns in range(4) for is_flipped in (False, True))


def numbered(tile: int, n_bands: int, first: int) -> np.ndarray:
    """A tile in which every pixel of every band has a number of its own."""
    height, width = SIZES[tile]
    pixels = np.arange(height * width, dtype=np.float32).reshape(height, width)
    return np.stack([pixels + 2000 * (first + band) + 40_000 * tile for band in range(n_bands)])


def make_tile_set() -> TileSet:
    tiles = [
        TrainingTile(
            f"{k}.npz",
            f"group_{k}",
            numbered(k, 4, 0),
            numbered(k, 2, 4),
            numbered(k, 4, 6) if k == 1 else None,
        )
        for k in range(2)
    ]
    draws = [np.stack([numbered(k, 4, 10), numbered(k, 4, 14)]) for k in range(2)]
    return TileSet(tiles, draws, torch.device("cpu"))


def transformed(window: np.ndarray, turns: int, is_flipped: bool) -> np.ndarray:
    turned = np.rot90(window, turns)
    return turned[:, ::-1] if is_flipped else turned


def test_a_crop_is_a_window_turned_or_flipped_with_all_its_bands() -> None:
    crops = make_tile_set().sample(600, CROP_PX, torch.Generator().manual_seed(0))
    corners: set[tuple[int, int, int]] = set()
    seen: set[tuple[int, bool]] = set()
    variants: set[int] = set()
    for k in range(600):
        tile = int(crops.tile_index[k])
        truth = crops.truth[k].numpy()
        width = SIZES[tile][1]
        first = int(truth[0].min()) - 40_000 * tile
        top, left = divmod(first, width)
        window = numbered(tile, 1, 0)[0, top : top + CROP_PX, left : left + CROP_PX]
        fitting = [how for how in _TRANSFORMS if (transformed(window, *how) == truth[0]).all()]
        assert len(fitting) == 1
        seen.add(fitting[0])
        corners.add((tile, top, left))
        for band in range(1, 4):
            np.testing.assert_array_equal(truth[band], truth[0] + 2000 * band)
        np.testing.assert_array_equal(crops.s1[k, 0], truth[0] + 2000 * 4)
        variant = int(crops.generated[k, 0, 0, 0] - truth[0, 0, 0]) // 2000
        variants.add(variant)
        np.testing.assert_array_equal(crops.generated[k], truth + 2000 * variant)
        assert bool(crops.has_opt_v2[k]) is (tile == 1)
        if tile == 1:
            np.testing.assert_array_equal(crops.opt_v2[k], truth + 2000 * 6)
    assert len(seen) == 8
    assert variants == {10, 14}
    for tile, (height, width) in enumerate(SIZES):
        tops = {top for number, top, _ in corners if number == tile}
        lefts = {left for number, _, left in corners if number == tile}
        assert tops == set(range(height - CROP_PX + 1))
        assert lefts == set(range(width - CROP_PX + 1))


def test_tiles_of_a_large_group_are_drawn_less_often_each() -> None:
    flat = np.zeros((4, 32, 32), np.float32)
    tiles = [TrainingTile(f"{k}", group, flat, flat[:2]) for k, group in enumerate("aaaab")]
    tile_set = TileSet(tiles, [flat[None]] * 5, torch.device("cpu"))
    crops = tile_set.sample(3000, 32, torch.Generator().manual_seed(0))
    shares = torch.bincount(crops.tile_index, minlength=5) / 3000
    # The root of the number in a group: four tiles of 1/2 each beside one of 1.
    torch.testing.assert_close(
        shares, torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 3]), rtol=0, atol=0.03
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "found: nothing"),
        ("a,b\n1,2,3\n", "needs the columns tile, group, split; found: a, b"),
        ("split,tile,group\nval,tile_0.npz,a\ntrain\n", "Line 3 .* has no tile or no group"),
        ("tile,group,split\nx.npz,,train\n", "Line 2 .* has no tile or no group"),
        ("tile,group,split\nx.npz,a,train\nx.npz,b,val\n", "names the tile 'x.npz' more than"),
        ("tile,group,split\n../x.npz,a,train\n", "names the tile '../x.npz': .* out of the folder"),
        ("tile,group,split\n/x.npz,a,train\n", "names the tile '/x.npz': .* out of the folder"),
        ("tile,group,split\nx\0.npz,a,train\n", "names the tile .*: .* control characters"),
    ],
    ids=[
        "empty",
        "other columns",
        "short line",
        "empty cell",
        "one tile on both sides",
        "outside",
        "absolute",
        "NUL",
    ],
)
def test_an_unfit_split_file_is_refused_with_the_place(
    content: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "split.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        read_split_file(tmp_path / "split.csv")


def test_a_split_file_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_bytes(
        b"\xef\xbb\xbftile,group,split,place\r\na.npz,g,train,x\r\nb.npz,h,val,y\r\nc.npz,,no,\r\n"
    )
    assert read_split_file(tmp_path / "split.csv") == (
        SplitEntry("a.npz", "g", "train"),
        SplitEntry("b.npz", "h", "val"),
    )


def test_groups_are_read_from_every_line_with_or_without_a_split(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("tile,group\na.npz,g\nb.npz,h\n")
    assert read_groups(path) == {"a.npz": "g", "b.npz": "h"}
    path.write_text("split,tile,group\ntrain,a.npz,g\ntest,b.npz,h\n,c.npz,h\nval,d.npz,g\n")
    assert read_groups(path) == {"a.npz": "g", "b.npz": "h", "c.npz": "h", "d.npz": "g"}


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        ("tile,split\na,val\n", "needs the columns tile, group; found", "Add the missing columns."),
        ("tile,group,split\na.npz,,test\n", "Line 2 .* has no tile or no group", "Fill in"),
        ("tile,group\na.npz,g\na.npz,h\n", "names the tile 'a.npz' more than once", "Keep one"),
        ("tile,group\n../a.npz,g\n", "names the tile '../a.npz': .* out of", "Name each tile"),
    ],
    ids=["no column", "empty cell", "twice", "outside"],
)
def test_unfit_groups_are_refused_with_the_place(
    content: str, words: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(InputError, match=words) as refused:
        read_groups(tmp_path / "groups.csv")
    assert refused.value.hint.startswith(hint)
