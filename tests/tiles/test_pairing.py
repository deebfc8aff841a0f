from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.errors import InputFolderError, NoTilePairsError, TileCollisionError
from axion_stage3.tiles.pairing import Pairing, find_pairs, find_tiles
from axion_stage3.tiles.tile_names import name_fault, nearest_names


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    opt_v2, s1 = tmp_path / "opt_v2", tmp_path / "s1"
    opt_v2.mkdir()
    s1.mkdir()
    return opt_v2, s1


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs_of(pairing: Pairing) -> dict[str, tuple[str, str]]:
    return {pair.name: (str(pair.opt_v2_path), str(pair.s1_path)) for pair in pairing.pairs}


def test_same_names_make_pairs_sorted_by_name(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, "b.npz", "a.npz", "c.npz", "notes.txt")
    touch(s1, "a.npz", "b.npz", "d.npz")
    pairing = find_pairs(opt_v2, s1)
    assert pairs_of(pairing) == {
        "a.npz": (f"{opt_v2}/a.npz", f"{s1}/a.npz"),
        "b.npz": (f"{opt_v2}/b.npz", f"{s1}/b.npz"),
    }
    assert [pair.name for pair in pairing.pairs] == ["a.npz", "b.npz"]
    assert pairing.unmatched_opt_v2 == ("c.npz",)
    assert pairing.unmatched_s1 == ("d.npz",)
    assert pairing.refused == ()


def test_the_same_relative_path_comes_before_the_same_file_name(
    folders: tuple[Path, Path],
) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, "x/t.npz", "y/t.npz", "deep/er/lone.npz", "two.npz")
    touch(s1, "x/t.npz", "z/t.npz", "lone.npz", "p/two.npz", "q/two.npz")
    pairing = find_pairs(opt_v2, s1)
    assert {name: os.path.relpath(path, s1) for name, (_, path) in pairs_of(pairing).items()} == {
        "x/t.npz": "x/t.npz",
        "deep/er/lone.npz": "lone.npz",
    }
    # y/t.npz could belong to z/t.npz, but names that are there twice are never guessed at.
    assert pairing.unmatched_opt_v2 == ("two.npz", "y/t.npz")
    assert pairing.unmatched_s1 == ("p/two.npz", "q/two.npz", "z/t.npz")


def test_the_case_of_the_extension_does_not_matter(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, "a.NPZ")
    touch(s1, "a.npz")
    assert pairs_of(find_pairs(opt_v2, s1)) == {"a.npz": (f"{opt_v2}/a.NPZ", f"{s1}/a.npz")}
    touch(opt_v2, "a.Npz")
    with pytest.raises(TileCollisionError):
        find_pairs(opt_v2, s1)


def test_hidden_and_temporary_files_are_ignored(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    for folder in folders:
        touch(
            folder, "a.npz", ".b.npz", ".hidden/c.npz", ".d.npz.0123456789abcdef.tmp", "e.npz.tmp"
        )
    pairing = find_pairs(opt_v2, s1)
    assert [pair.name for pair in pairing.pairs] == ["a.npz"]
    assert pairing.refused == ()


def test_folders_inside_each_other_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.npz", "s1/a.npz", "out/a.npz", "out/b.npz")
    pairing = find_pairs(tmp_path, tmp_path / "s1", output_dir=tmp_path / "out")
    assert [pair.name for pair in pairing.pairs] == ["a.npz"]
    assert pairing.unmatched_opt_v2 == ()
    pairing = find_pairs(tmp_path / "s1", tmp_path, output_dir=tmp_path / "out")
    assert pairs_of(pairing) == {"a.npz": (f"{tmp_path}/s1/a.npz", f"{tmp_path}/a.npz")}


def test_one_folder_for_both_and_output_on_top(tmp_path: Path) -> None:
    touch(tmp_path, "a.npz")
    pairing = find_pairs(tmp_path, tmp_path, output_dir=tmp_path)
    assert pairs_of(pairing) == {"a.npz": (f"{tmp_path}/a.npz", f"{tmp_path}/a.npz")}


@pytest.mark.parametrize(
    ("names", "clash"),
    [
        (("Tile.npz", "tile.npz"), "Tile.npz and tile.npz"),
        (("x/a.npz", "X/a.npz"), "X/a.npz and x/a.npz"),
        (("stra\u00dfe.npz", "strasse.npz"), "strasse.npz and stra\u00dfe.npz"),
        (("u\u0308.npz", "\u00fc.npz"), "u\u0308.npz and \u00fc.npz"),
    ],
)
def test_names_that_some_disks_confuse_are_refused(
    folders: tuple[Path, Path], names: tuple[str, ...], clash: str
) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, *names)
    touch(s1, *names)
    with pytest.raises(TileCollisionError, match="would be written to one output file") as caught:
        find_pairs(opt_v2, s1)
    assert clash in str(caught.value)
    assert "Rename" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "inference_summary.npz",
        "Tile_Statistics.npz",
        "Runs/a.npz",
        "Inference_Summary.json/a.npz",
        "tile_statistics.json/a.npz",
        "tile_statistics.jsonl/a.npz",
    ],
)
def test_names_of_the_documents_of_a_run_are_refused(folders: tuple[Path, Path], name: str) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, name, "sub/" + name)
    touch(s1, name, "sub/" + name)
    with pytest.raises(TileCollisionError, match="where the run keeps its own documents"):
        find_pairs(opt_v2, s1)
    (opt_v2 / name).unlink()
    assert [pair.name for pair in find_pairs(opt_v2, s1).pairs] == ["sub/" + name]


def test_links_are_followed_inside_the_folder_only(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, "a.npz", "real/b.npz")
    touch(s1, "a.npz", "b.npz", "c.npz", "d.npz", "e.npz", "loop.npz", "f.npz")
    (opt_v2 / "b.npz").symlink_to(opt_v2 / "real" / "b.npz")
    (opt_v2 / "c.npz").symlink_to(s1 / "c.npz")
    (opt_v2 / "d.npz").symlink_to("nothing.npz")
    (opt_v2 / "loop.npz").symlink_to("loop.npz")
    (opt_v2 / "linked").symlink_to(s1, target_is_directory=True)
    os.mkfifo(opt_v2 / "e.npz")
    (opt_v2 / "f.npz").mkdir()
    touch(opt_v2, "f.npz/g.npz")
    pairing = find_pairs(opt_v2, s1)
    assert [pair.name for pair in pairing.pairs] == ["a.npz", "b.npz"]
    assert {file.path.name: file.reason for file in pairing.refused} == {
        "c.npz": "it is a symlink that leads out of the folder",
        "d.npz": "it is not a regular file",
        "e.npz": "it is not a regular file",
        "linked": "symlinked folders are not searched",
        "loop.npz": "it is not a regular file",
    }


def test_the_folders_themselves_may_be_links(folders: tuple[Path, Path], tmp_path: Path) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, "a.npz")
    touch(s1, "a.npz")
    link = tmp_path / "link"
    link.symlink_to(opt_v2, target_is_directory=True)
    assert pairs_of(find_pairs(link, s1)) == {"a.npz": (f"{link}/a.npz", f"{s1}/a.npz")}


def test_names_no_output_can_have_are_refused_and_the_others_used(
    folders: tuple[Path, Path],
) -> None:
    opt_v2, s1 = folders
    names = ["a.npz", "evil\n.npz", "red\x1b[31m.npz", "back\\slash.npz", "x" * 240 + ".npz"]
    touch(opt_v2, *names)
    touch(s1, *names)
    (opt_v2 / os.fsdecode(b"latin-\xfc.npz")).touch()
    pairing = find_pairs(opt_v2, s1)
    assert [pair.name for pair in pairing.pairs] == ["a.npz"]
    assert len(pairing.refused) == 9
    assert all(file.reason.startswith("its name") for file in pairing.refused)


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd.npz", "../a.npz", "a/../b.npz", "..", "a\x00.npz", "a\u202enpz.exe.npz",
     "x/" * 513 + "a.npz", "\udc80.npz", "C:\\a.npz"],
)  # fmt: skip
def test_name_faults(name: str) -> None:
    assert name_fault(name) is not None


def test_a_name_of_other_bytes_is_called_that() -> None:
    assert name_fault(os.fsdecode(b"a/latin-\xfc.npz")) == "its name is not UTF-8"


@pytest.mark.parametrize(
    "name",
    [
        "a.npz",
        "x/y/z.npz",
        "T32 ü (1).npz",
        "a-b_c+d,e=f@g~h#.npz",
        "..a.npz",
        "a..npz",
        "日本/タイル\u3000一.npz",
        "x" * 226 + ".npz",
    ],
)
def test_names_without_fault(name: str) -> None:
    assert name_fault(name) is None


def test_no_pairs_says_what_was_found_and_what_is_near(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, *(f"tile_{index:03d}.npz" for index in range(5)))
    touch(s1, "tile_001_s1.npz", "other.npz")
    with pytest.raises(NoTilePairsError) as caught:
        find_pairs(opt_v2, s1)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == (
        f"No matching tile pairs found between {opt_v2}/ and {s1}/: "
        f"{opt_v2}/ holds 5 NPZ files (tile_000.npz, tile_001.npz, tile_002.npz, ...), "
        f"{s1}/ holds 2 NPZ files (other.npz, tile_001_s1.npz)."
    )
    general = "A pair has the same file name in both folders, such as tile_001.npz."
    assert caught.value.hint == general + " Nearest to tile_000.npz: tile_001_s1.npz."
    (s1 / "tile_001_s1.npz").unlink()
    with pytest.raises(NoTilePairsError) as caught:
        find_pairs(opt_v2, s1)
    assert caught.value.hint == general


def test_a_name_that_is_there_more_than_once_is_no_pair(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    touch(opt_v2, "a/t.npz", "b/t.npz")
    touch(s1, "t.npz", "u.npz")
    for first, second in ((opt_v2, s1), (s1, opt_v2)):
        with pytest.raises(NoTilePairsError) as caught:
            find_pairs(first, second)
        assert "t.npz is there more than once (" in caught.value.message
        assert all(f"{path}" in caught.value.message for path in opt_v2.rglob("t.npz"))
        assert "the same sub-folder on both sides" in caught.value.hint
        assert "Nearest" not in caught.value.hint


def test_empty_folders_are_no_pairs_either(folders: tuple[Path, Path]) -> None:
    opt_v2, s1 = folders
    touch(s1, "a.npz")
    (opt_v2 / "a.npz").symlink_to(s1 / "a.npz")
    with pytest.raises(NoTilePairsError, match="holds no NPZ file") as caught:
        find_pairs(opt_v2, s1)
    assert "Not used: 1" in str(caught.value)
    assert "leads out of the folder" in str(caught.value)


def test_missing_folders_are_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "stage2_outputs").mkdir()
    with pytest.raises(InputFolderError, match="stage2_output cannot be read: No such") as caught:
        find_pairs(tmp_path / "stage2_output", tmp_path / "stage2_outputs")
    assert "stage2_outputs" in caught.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(InputFolderError, match="Not a directory") as caught:
        find_pairs(tmp_path / "stage2_outputs", tmp_path / "file")
    assert caught.value.hint == "Give the folder that holds the tiles, not a file."
    with pytest.raises(InputFolderError) as caught:
        find_pairs(tmp_path / "no" / "where", tmp_path)
    assert "the folder above it" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [("locked", "move it out of the input folder"), ("opt_v2", "see its permissions")],
)
def test_unreadable_folders_stop_the_search(
    folders: tuple[Path, Path], name: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_v2, s1 = folders
    assert opt_v2.name == "opt_v2"
    touch(opt_v2, "a.npz", "locked/b.npz")
    touch(s1, "a.npz")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        InputFolderError, match=f"{name} cannot be read: Permission denied"
    ) as caught:
        find_pairs(opt_v2, s1)
    assert hint in caught.value.hint


def test_find_tiles_lists_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "b.npz", "x/a.NPZ", "runs/c.npz", ".d.npz", "e.json")
    assert find_tiles(tmp_path, exclude=[tmp_path / "runs"]) == {
        "b.npz": tmp_path / "b.npz",
        "x/a.npz": tmp_path / "x" / "a.NPZ",
    }


def test_of_names_that_are_equally_like_the_one_that_begins_alike_comes_first() -> None:
    candidates = [f"tile_00{number}_S1.npz" for number in (3, 2, 1, 4)]

    for number in (1, 2, 3):
        assert nearest_names(f"tile_00{number}.npz", candidates)[0] == f"tile_00{number}_S1.npz"


def test_nearest_names_looks_at_a_bounded_number() -> None:
    assert nearest_names("tile_1.npz", ["tile_10.npz", "abc", "tile_2.npz"]) == [
        "tile_10.npz",
        "tile_2.npz",
    ]
    endless = (f"tile_{index}.npz" for index in itertools.count())
    assert len(nearest_names("tile_0.npz", endless)) == 3


PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@settings(deadline=None, max_examples=25)
@given(opt_names=st.sets(PATHS), s1_names=st.sets(PATHS))
def test_every_tile_is_used_once_or_reported(
    tmp_path_factory: pytest.TempPathFactory, opt_names: set[str], s1_names: set[str]
) -> None:
    root = tmp_path_factory.mktemp("pairing")
    touch(root, *(f"opt/{name}.npz" for name in opt_names))
    touch(root, *(f"s1/{name}.npz" for name in s1_names))
    for folder in ("opt", "s1"):
        (root / folder).mkdir(exist_ok=True)
    try:
        pairing = find_pairs(root / "opt", root / "s1")
    except NoTilePairsError:
        assert not opt_names & s1_names
        return
    opt_used = [pair.name for pair in pairing.pairs]
    s1_used = [pair.s1_path.relative_to(root / "s1").as_posix() for pair in pairing.pairs]
    assert sorted([*opt_used, *pairing.unmatched_opt_v2]) == sorted(f"{n}.npz" for n in opt_names)
    assert sorted([*s1_used, *pairing.unmatched_s1]) == sorted(f"{n}.npz" for n in s1_names)
    assert {f"{name}.npz" for name in opt_names & s1_names} <= set(opt_used)
    for pair, s1_name in zip(pairing.pairs, s1_used, strict=True):
        assert pair.opt_v2_path.name == Path(s1_name).name
