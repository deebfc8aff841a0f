"""A tile that is named on the command line is found in sub-folders, and never mixed up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from inspection_bench import NAME, Bench

from axion_stage3.errors import TileReadError
from axion_stage3.inspection.tile_inspection import inspect_tile


def put(bench: Bench, optical: str = "", radar: str = "", output: str = "") -> None:
    """Put the tile of the bench into the folders, under these names."""
    if not (bench.opt_v2_dir / NAME).exists():
        bench.write_output({"opt_final": bench.truth})
    for folder, name in (
        (bench.opt_v2_dir, optical),
        (bench.s1_dir, radar),
        (bench.output_dir, output),
    ):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / NAME, folder / name)


def clear(bench: Bench) -> None:
    for folder in (bench.opt_v2_dir, bench.s1_dir, bench.output_dir):
        (folder / NAME).unlink()


def found(bench: Bench, tile: str, *, output: bool = False) -> tuple[str, dict[str, str]]:
    """Name of the tile, and which file was taken for each kind."""
    report = inspect_tile(
        tile,
        opt_v2_dir=bench.opt_v2_dir,
        s1_dir=bench.s1_dir,
        output_dir=bench.output_dir if output else None,
    ).report
    paths = {
        file.subject: Path(file.path).relative_to(bench.root).as_posix() for file in report.files
    }
    return report.tile, paths


def test_a_name_that_no_disk_takes_is_refused(bench: Bench) -> None:
    with pytest.raises(TileReadError, match="cannot be looked for: File name too long"):
        found(bench, "a" * 300)


@pytest.mark.parametrize(
    "tile", ["north/a.npz", "north/a", "a.npz", "a", "south/a", "{opt_v2}/north/a.npz"]
)
def test_the_only_tile_of_its_file_name_is_found_in_any_sub_folder(tile: str, bench: Bench) -> None:
    put(bench, "north/a.npz", "south/a.npz")
    clear(bench)

    name, paths = found(bench, tile.format(opt_v2=bench.opt_v2_dir))

    assert name == "north/a.npz"
    assert paths == {"opt_v2": "opt_v2/north/a.npz", "s1": "s1/south/a.npz"}


def test_the_same_relative_path_comes_before_the_same_file_name(bench: Bench) -> None:
    for folder in ("north", "south"):
        put(bench, f"{folder}/a.npz", f"{folder}/a.npz")
    clear(bench)

    for folder in ("north", "south"):
        assert found(bench, f"{folder}/a") == (
            f"{folder}/a.npz",
            {"opt_v2": f"opt_v2/{folder}/a.npz", "s1": f"s1/{folder}/a.npz"},
        )


def test_a_partner_is_not_guessed_where_two_have_the_file_name(bench: Bench) -> None:
    put(bench, "a.npz", "north/a.npz")
    put(bench, radar="south/a.npz")
    clear(bench)

    assert found(bench, "a") == ("a.npz", {"opt_v2": "opt_v2/a.npz"})


def test_a_name_that_two_tiles_have_is_asked_about(bench: Bench) -> None:
    put(bench, "north/a.npz", "north/a.npz")
    put(bench, "south/a.npz")
    clear(bench)

    with pytest.raises(TileReadError, match=r"2 tiles in .*opt_v2 are called a\.npz") as caught:
        found(bench, "a")
    assert "north/a.npz, south/a.npz" in caught.value.hint


def test_the_output_of_another_tile_is_not_taken(bench: Bench) -> None:
    """north/a failed in the run; south/a, of the same file name, was written."""
    for folder in ("north", "south"):
        put(bench, f"{folder}/a.npz", f"{folder}/a.npz")
    put(bench, output="south/a.npz")
    clear(bench)

    assert set(found(bench, "north/a", output=True)[1]) == {"opt_v2", "s1"}
    assert set(found(bench, "south/a", output=True)[1]) == {"opt_v2", "s1", "opt_final"}


def test_a_copy_elsewhere_is_shown_beside_what_the_folders_hold(bench: Bench) -> None:
    put(bench, "north/a.npz", "north/a.npz")
    copy = Path(shutil.copy(bench.opt_v2_dir / NAME, bench.root / "a.npz"))
    clear(bench)

    name, paths = found(bench, str(copy))

    assert name == "north/a.npz"
    assert paths == {"opt_v2": "a.npz", "s1": "s1/north/a.npz"}
