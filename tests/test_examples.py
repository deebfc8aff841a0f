"""The scripts in examples/ run, on the example tiles, with the bundled checkpoint."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
N_TILES = len(list((EXAMPLES / "tiles" / "opt_v2").glob("*.npz")))


def test_ground_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "ground_arrays.py"))["main"](n_tiles=N_TILES)

    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "tile"
    assert len(rows) == N_TILES
    errors = [tuple(map(float, row.split()[-2:])) for row in rows]
    assert sum(after for _, after in errors) < sum(before for before, _ in errors)


def test_ground_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "ground_folder.py"))["main"](tmp_path / "out")

    first, *rows = capsys.readouterr().out.splitlines()
    assert first == f"{N_TILES} of {N_TILES} tiles, exit code 0"
    assert len(rows) == N_TILES
    assert all("uncertainty" in row for row in rows)


def test_run_infer(tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [EXAMPLES / "run_infer.sh", tmp_path / "out"],
        env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("change_mean: 0.")
    assert "✓ Model loaded from bundled reference checkpoint" in done.stderr
    assert len(list((tmp_path / "out").glob("*.npz"))) == N_TILES
