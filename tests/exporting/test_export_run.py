"""``export_run``, the function behind ``axion-stage3 export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export_workbench import NAMES

from axion_stage3 import export_run

if TYPE_CHECKING:
    from pathlib import Path


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
