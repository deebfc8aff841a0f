"""Closed and full standard streams, and a Ctrl-C before the program is there, end as documented."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cli_workbench import N_TILES

PROGRAM = f"{shlex.quote(sys.executable)} -m axion_stage3"
INFER = f"{PROGRAM} infer --opt-v2-dir stage2_outputs --s1-dir tiles/s1 --output-dir out"
MODEL = "--checkpoint checkpoints/stage3/best_model.pt --device cpu --timesteps 1"

needs_a_shell = pytest.mark.skipif(sys.platform == "win32", reason="redirects of a POSIX shell")
needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def in_shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )


@needs_a_shell
@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("closed", ["2>&-", "--json >&-", "<&- >&- 2>&-"])
def test_a_run_does_without_closed_streams(closed: str) -> None:
    done = in_shell(f"{INFER} {MODEL} {closed}")
    assert done.returncode == 0, done.stderr
    assert len(list(Path("out").glob("*.npz"))) == N_TILES
    assert "bug" not in done.stderr


@needs_a_shell
@pytest.mark.usefixtures("workspace")
def test_a_list_from_closed_standard_input_is_empty() -> None:
    done = in_shell(f"{INFER} {MODEL} --tiles - <&-")
    assert done.returncode == 4
    assert "list of tiles from standard input is empty" in done.stderr


@needs_dev_full
@pytest.mark.parametrize("command", ["--version", "--help", "explain", "explain --json"])
def test_standard_output_that_is_full_is_one_message(command: str) -> None:
    done = in_shell(f"{PROGRAM} {command} >/dev/full")
    assert done.returncode == 6
    first, second = done.stderr.splitlines()
    assert first.startswith("Error AX-E600: Standard output cannot be written: No space left")
    assert second.startswith("  Hint: ")


def test_a_ctrl_c_while_the_program_is_loaded_has_no_traceback() -> None:
    interrupted = (
        "import runpy, sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "runpy.run_module('axion_stage3', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")
