from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from axion_stage3.errors import TileListError
from axion_stage3.tiles.pairing import Pairing, find_pairs
from axion_stage3.tiles.tile_list import read_tile_list, select_listed

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("a/tile_001.npz", "a/tile_002.npz", "b/tile_010.npz", "tile_003.npz", " odd .npz")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: opt_v2 and s1 with all NAMES, one of them elsewhere below s1."""
    for side in ("opt_v2", "s1"):
        for name in NAMES:
            path = tmp_path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "s1/b/tile_010.npz").rename(tmp_path / "s1/tile_010.npz")
    (tmp_path / "opt_v2/lone.npz").touch()
    (tmp_path / "s1/dark.npz").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def select(entries: Sequence[str]) -> list[str]:
    pairing: Pairing = find_pairs(Path("opt_v2"), Path("s1"))
    pairs = select_listed(
        pairing, entries, opt_v2_dir=Path("opt_v2"), s1_dir=Path("s1"), source=Path("list.txt")
    )
    return [pair.name for pair in pairs]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("a/tile_001.npz", "a/tile_001.npz"),
        ("a/tile_001", "a/tile_001.npz"),
        ("a/tile_001.NPZ", "a/tile_001.npz"),
        ("  tile_003.npz\t", "tile_003.npz"),
        (" odd .npz", " odd .npz"),
        ("./a/tile_001.npz", "a/tile_001.npz"),
        ("opt_v2/a/tile_002.npz", "a/tile_002.npz"),
        ("./opt_v2/x/../a/tile_002.npz", "a/tile_002.npz"),
        ("{root}/opt_v2/tile_003.npz", "tile_003.npz"),
        ("s1/a/tile_002.npz", "a/tile_002.npz"),
        ("s1/tile_010.npz", "b/tile_010.npz"),
    ],
)
def test_names_and_paths_find_their_tile(root: Path, entry: str, name: str) -> None:
    assert select([entry.format(root=root)]) == [name]


@pytest.mark.usefixtures("root")
def test_neither_order_nor_repetition_matters() -> None:
    assert select(["tile_003", "a/tile_001", "opt_v2/tile_003.npz"]) == [
        "a/tile_001.npz",
        "tile_003.npz",
    ]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["a/tile_01.npz"], ["1 of the 1 tiles listed in list.txt is no pair", "a/tile_001.npz"]),
        (["tile_003", *"vwxyz"], ["5 of the 6 tiles", "v, w, x, ..."]),
        (["elsewhere/tile_002.npz"], ["a/tile_002.npz"]),
        (["lone.npz"], ["lone.npz has no S1 tile"]),
        (["dark.npz"], ["dark.npz has no opt_v2 tile"]),
        (["../opt_v2/a/tile_001.npz"], ["is no pair"]),
        (["/etc/passwd", "\x1b[31m", "a\0b"], ["3 of the 3", "\\x1b[31m", "a\\x00b"]),
    ],
)
def test_unknown_names_are_one_clear_error(entries: list[str], words: list[str]) -> None:
    with pytest.raises(TileListError) as caught:
        select(entries)
    message = f"{caught.value.message} {caught.value.hint}"
    assert all(word in message for word in words), message
    assert caught.value.exit_code == 4
    assert message.isprintable()
    nearest = caught.value.hint.partition(": ")[2].rstrip(".").split(", ")
    assert len(nearest) == len(set(nearest))


def test_the_nearest_of_very_many_names_is_found(tmp_path: Path) -> None:
    for side in ("opt_v2", "s1"):
        (tmp_path / side).mkdir()
        for i in range(3000):
            (tmp_path / side / f"tile_{i:05d}.npz").touch()
    pairing = find_pairs(tmp_path / "opt_v2", tmp_path / "s1")
    with pytest.raises(TileListError) as caught:
        select_listed(
            pairing,
            ["tile_02500a.npz"],
            opt_v2_dir=tmp_path / "opt_v2",
            s1_dir=tmp_path / "s1",
            source=Path("-"),
        )
    assert "tile_02500.npz" in caught.value.hint
    assert "standard input" in caught.value.message


def test_a_list_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa.npz\r\n\n  \nb c.npz\n\xff.npz")
    assert read_tile_list(path) == ["a.npz", "b c.npz", "\udcff.npz"]


def test_a_list_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a.npz\nb.npz\n")))
    assert read_tile_list(Path("-")) == ["a.npz", "b.npz"]


@pytest.mark.parametrize("content", [None, b"", b"\n \n"])
def test_a_list_without_tiles_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TileListError, match=r"cannot be read|is empty"):
        read_tile_list(path)
