"""Runs that are killed again and again end as if they had never been."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import (
    cut_examples,
    hashes,
    journal_lines,
    run_as_process,
    temporary_files,
)

from axion_stage3.inference.grounding_run import run_inference

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

# 0: the run ended before. The last one: the signal came before the run could handle it.
EXIT_CODES = {signal.SIGKILL: {0, -9}, signal.SIGTERM: {0, 143, -15}, signal.SIGINT: {0, 130, 1}}
MAX_SECONDS_TO_STOP = 5.0


def start(options: dict[str, Any]) -> BaseProcess:
    # A fork of a server that has imported torch already: quick, and without this process's threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["axion_stage3.inference.grounding_run"])
    process = context.Process(target=run_as_process, args=(options,))
    process.start()
    return process


def competitors_for_a_core() -> float:
    """How many processes want each core: on a busy machine everything takes so much longer."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def stop_at(process: BaseProcess, output: Path, n_outcomes: int, number: int) -> bool:
    """Send a signal once there are so many outcomes; False if the run ended before."""
    deadline = time.monotonic() + 250
    while process.exitcode is None and len(journal_lines_so_far(output)) < n_outcomes:
        assert time.monotonic() < deadline
        process.join(0.002)
    time.sleep(random.random() * 0.01)
    if process.exitcode is not None:
        return False
    assert process.pid is not None
    os.kill(process.pid, number)
    sent = time.monotonic()
    process.join(60)
    assert process.exitcode in EXIT_CODES[signal.Signals(number)]
    assert time.monotonic() - sent < MAX_SECONDS_TO_STOP * competitors_for_a_core()
    return process.exitcode != 0


def journal_lines_so_far(output: Path) -> list[bytes]:
    paths = (output / "runs").glob("journal-*.jsonl")
    return [line for path in paths for line in path.read_bytes().splitlines() if b'"tile"' in line]


def summary_without_times(output: Path) -> dict[str, Any]:
    summary = json.loads((output / "inference_summary.json").read_text())
    times = {"processing_time_seconds", "tiles_per_second", "stage_seconds"}
    return {key: value for key, value in summary.items() if key not in times}


def check_kills(
    options: dict[str, Any], folder: Path, numbers: list[int], n_tiles: int, seed: int
) -> None:
    random.seed(seed)
    cut_examples(folder, n_tiles)
    options |= {"opt_v2_dir": folder / "opt_v2", "s1_dir": folder / "s1"}
    reference, output = folder / "reference", folder / "killed"
    assert run_inference(**options, output_dir=reference).exit_code == 0
    options["output_dir"] = output
    n_kills = 0
    for i, number in enumerate(numbers):
        n_before = len(journal_lines_so_far(output))
        n_wanted = n_before + random.randrange(n_tiles // max(2, len(numbers) // 2))
        n_kills += stop_at(start(options), output, n_wanted, number)
        for name, value in hashes(output, "tile_*.npz").items():
            assert value == hashes(reference, name)[name], (i, name)
    (folder / "measured.txt").write_text(f"{n_kills} of {len(numbers)} signals met a running run\n")
    assert n_kills > len(numbers) / 3
    assert run_inference(**options).exit_code == 0
    assert hashes(output, "*.npz") == hashes(reference, "*.npz")
    assert hashes(output, "tile_*.json") == hashes(reference, "tile_*.json")
    assert summary_without_times(output) == summary_without_times(reference)
    assert not temporary_files(output)
    n_lines = len(journal_lines(output))
    assert run_inference(**options).exit_code == 0
    assert len(journal_lines(output)) == n_lines


@pytest.fixture
def options(checkpoint_path: Path) -> dict[str, Any]:
    # With batches of several tiles, a resumed run batches otherwise: then the last bits may differ.
    return {"checkpoint": checkpoint_path, "device": "cpu", "timesteps": 2, "batch_size": 1}


def test_a_run_that_is_killed_ends_as_if_it_had_not_been(
    options: dict[str, Any], tmp_path: Path
) -> None:
    check_kills(options, tmp_path, [signal.SIGKILL], 24, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_killed_fifty_times_ends_as_if_it_had_not_been(
    options: dict[str, Any], tmp_path: Path, number: int
) -> None:
    check_kills(options, tmp_path, [number] * 50, 200, seed=number)
