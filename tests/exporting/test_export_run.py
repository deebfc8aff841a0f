"""``export_run``, the function behind ``axion-stage3 export``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from export_workbench import NAMES

from axion_stage3 import export_run
from axion_stage3.errors import OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.exporting.tile_exports import Format


def test_folders_and_files_may_be_text(finished_run: Path, tmp_path: Path) -> None:
    done = export_run(
        str(finished_run),
        str(tmp_path / "gis"),
        has_change=True,
        georeference=str(finished_run.parent / "t.csv"),
        opt_v2_dir=str(finished_run.parent / "opt_v2"),
    )

    assert done.n_exported == len(NAMES)
    assert (tmp_path / "gis" / NAMES[0]).with_suffix(".tif").is_file()


def test_a_change_without_opt_v2_is_refused_by_name(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    done = export_run(
        finished_run,
        tmp_path / "gis",
        has_change=True,
        is_unreferenced_allowed=True,
        opt_v2_dir=tmp_path / "empty",
    )

    assert done.n_failed == len(NAMES)
    assert "The opt_v2 of a/tile_0.npz is not at hand" in done.failed[0].reason
    assert "--opt-v2-dir" in done.failed[0].hint


@pytest.mark.parametrize("to", ["geotiff", "zarr"])
def test_what_a_killed_export_left_is_swept(finished_run: Path, tmp_path: Path, to: Format) -> None:
    folder = tmp_path / "gis"
    (folder / "a").mkdir(parents=True)
    (folder / "tiles.zarr" / "c").mkdir(parents=True)
    token = "0123456789abcdef"
    left = [f"a/.tile_0.{ending}.{token}.tmp" for ending in ("tif", "png.aux.xml", "item.json")]
    left += [f".mosaic.tif.{token}.tmp", f".collection.json.{token}.tmp"]
    of_the_store = f"tiles.zarr/c/0.{2 * token}.partial"
    others = [f"a/.tile_9.tif.{token}.tmp", f"a/.tile_0.npz.{token}.tmp", "a/.tile_0.tif.x.tmp"]
    others += ["tiles.zarr/c/0.mine.partial"]
    for name in (*left, of_the_store, *others):
        (folder / name).touch()

    export_run(finished_run, folder, to=to, georeference=finished_run.parent / "t.csv")

    assert [name for name in left if (folder / name).exists()] == []
    assert (folder / of_the_store).exists() == (to != "zarr")
    assert [name for name in others if (folder / name).exists()] == others


def test_a_circle_of_links_is_no_target(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    # From Python 3.13 on paths take circles, and it is the folder that cannot be made.
    with pytest.raises((UsageError, OutputError), match="loop") as caught:
        export_run(finished_run, tmp_path / "loop", is_unreferenced_allowed=True)

    assert caught.value.hint


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_the_journal_is_named(finished_run: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "export-journal.jsonl")

    with pytest.raises(OutputError, match=r"export-journal\.jsonl is not a regular file"):
        export_run(finished_run, tmp_path, is_unreferenced_allowed=True)
