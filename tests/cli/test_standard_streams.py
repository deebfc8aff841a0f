"""Closed and full standard streams, and a Ctrl-C before the program is there, end as documented."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_workbench import N_TILES

from axion_stage3.cli.app import main

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = f"{shlex.quote(sys.executable)} -m axion_stage3"
TILES = "--opt-v2-dir stage2_outputs --s1-dir tiles/s1"
INFER = f"infer {TILES} --output-dir out"
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
def test_a_run_does_without_closed_streams() -> None:
    done = in_shell(f"{PROGRAM} {INFER} {MODEL} --json <&- >&- 2>&-")
    assert done.returncode == 0
    assert len(list(Path("out").glob("*.npz"))) == N_TILES


@needs_a_shell
@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("closed", ["2>&-", "--json >&-"])
def test_any_command_does_without_a_closed_stream(closed: str) -> None:
    done = in_shell(f"{PROGRAM} validate {TILES} --workers 1 --fail-on never {closed}")
    assert done.returncode == 0, done.stderr
    assert bool(done.stdout) is (closed == "2>&-")
    assert "bug" not in done.stderr


@pytest.fixture
def _closed_stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process finds that was started with ``<&-``."""
    kept = os.dup(0)
    os.close(0)
    monkeypatch.setattr(sys, "stdin", None)
    yield
    sys.stdin.close()
    os.dup2(kept, 0)
    os.close(kept)


@pytest.mark.usefixtures("workspace", "_closed_stdin")
def test_a_list_from_closed_standard_input_is_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["axion-stage3", *f"{INFER} {MODEL} --tiles -".split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 4
    assert "list of tiles from standard input is empty" in capsys.readouterr().err


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
