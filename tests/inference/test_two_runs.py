"""Two runs on one output folder: exactly one works, whatever the clocks say and whoever crashes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import hashes, journal_lines, temporary_files

from axion_stage3.errors import AxionError, RunConflictError
from axion_stage3.inference.grounding_run import run_inference

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
SKEWS_SECONDS = (0.0, -3e8, -86_400.0, 86_400.0, 3e8)


def contend(options: dict[str, Any], start: Any, skew_seconds: float) -> None:
    """Body of a child process: waits for the other one, then runs; its clock may be wrong."""
    real_time = time.time
    time.time = lambda: real_time() + skew_seconds
    start.wait(60)
    try:
        sys.exit(run_inference(**options).exit_code)
    except RunConflictError as error:
        is_named = "is in use by another run (process " in error.message
        sys.exit(error.exit_code if is_named else error.message)
    except AxionError as error:
        sys.exit(error.message)


def start_two(options: dict[str, Any], start: Any, skew_seconds: float = 0.0) -> list[BaseProcess]:
    both = [
        CONTEXT.Process(target=contend, args=(options, start, skew)) for skew in (0.0, skew_seconds)
    ]
    for process in both:
        process.start()
    return both


def wait_for(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.join(120)
    return sorted((process.exitcode for process in processes), key=str)


def kill_the_holder(processes: list[BaseProcess], output: Path) -> None:
    """SIGKILL the one that works, once it has written something; the other was refused."""
    deadline = time.monotonic() + 120
    while len(lines_so_far(output)) < 3 and any(p.exitcode is None for p in processes):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(random.random() * 0.02)
    for process in processes:
        if process.exitcode is None:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)


def lines_so_far(output: Path) -> list[bytes]:
    paths = (output / "runs").glob("journal-*.jsonl")
    return [line for path in paths for line in path.read_bytes().splitlines() if b'"tile"' in line]


def check_races(options: dict[str, Any], folder: Path, n_rounds: int) -> None:
    CONTEXT.set_forkserver_preload(["axion_stage3.inference.grounding_run"])
    random.seed(n_rounds)
    reference = hashes(run_inference(**options, output_dir=folder / "reference").output_dir)
    start = CONTEXT.Barrier(2)
    n_refused = n_killed = 0
    for i in range(n_rounds):
        output = folder / f"race_{i}"
        mine = {**options, "output_dir": output}
        if i % 3 == 2:
            crashed = start_two(mine, start)
            kill_the_holder(crashed, output)
            n_killed += -signal.SIGKILL in wait_for(crashed)
        n_before = len(lines_so_far(output))
        codes = wait_for(start_two(mine, start, SKEWS_SECONDS[i % len(SKEWS_SECONDS)]))
        # Under load the second may come when the first has ended: then it finds nothing to do.
        assert codes in ([0, 6], [0, 0]), (i, codes)
        n_refused += codes == [0, 6]
        written = [line["tile"] for line in journal_lines(output) if line["outcome"] == "written"]
        assert sorted(set(written)) == sorted(reference)
        if not n_before:
            assert len(written) == len(reference), "no tile was made twice"
        assert hashes(output) == reference
        assert not list(output.glob("runs/lease-*"))
        assert not temporary_files(output)
    (folder / "measured.txt").write_text(
        f"{n_rounds} rounds: {n_refused} refused, {n_killed} holders killed\n"
    )
    assert n_refused >= n_rounds / 2
    assert n_killed >= n_rounds // 3 / 2


@pytest.fixture
def options(checkpoint_path: Path, tiles: Path) -> dict[str, Any]:
    folders = {"opt_v2_dir": tiles / "opt_v2", "s1_dir": tiles / "s1"}
    return {"checkpoint": checkpoint_path, "device": "cpu", "timesteps": 10, **folders}


def test_of_two_runs_that_start_together_one_is_refused(
    options: dict[str, Any], tmp_path: Path
) -> None:
    check_races(options, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_races(options: dict[str, Any], tmp_path: Path) -> None:
    check_races(options, tmp_path, 50)
