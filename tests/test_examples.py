"""The scripts in examples/ run, on the example tiles, with the bundled checkpoint."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

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


def test_measure_planning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["measure", "--pairs", "64", "--folder", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "cluster" / "measure_planning.py"))["main"]()

    said = capsys.readouterr().out
    assert "64 pairs" in said
    assert "resume check seconds" in said


@pytest.mark.slow
def test_planning_grows_no_faster_than_the_tiles(tmp_path: Path) -> None:
    """A tenth of what a million pairs may take: 60 s and 1.5 GB."""
    script = EXAMPLES / "cluster" / "measure_planning.py"
    tools = runpy.run_path(str(script))
    tools["make_data_set"](tmp_path, 100_000)
    tools["write_journal"](tmp_path)
    done = subprocess.run(
        [sys.executable, str(script), "--measure", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["processor_seconds"] < 6
    assert figures["peak_memory_bytes"] < 150e6
