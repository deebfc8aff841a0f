"""Whole runs: from files to files, and whole processes from their start to their end."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import torch

from axion_stage3.benchmarking import process_launcher
from axion_stage3.benchmarking.timing import BYTES_PER_MEGABYTE, watch_memory
from axion_stage3.errors import AxionError
from axion_stage3.inference.devices import resolve_device
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.inference.memory_reuse import keep_freed_memory
from axion_stage3.inference.pipeline import Pipeline, PipelineSize, Stages
from axion_stage3.inference.tile_stages import GroundedTile, TileReader, TileWriter
from axion_stage3.scaling.crew import WorkerLostError
from axion_stage3.scaling.process_crew import ProcessCrew
from axion_stage3.statistics.tile_statistics import measure_tile
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import LoadOptions, load_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.config import InferenceConfig

_QUEUE_PX: Final = 1 << 20
_MOST_FILE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class RunPace:
    """A run of ``infer`` within this process, from the call to its return.

    Attributes:
        engine: ``local``, or ``processes``, whose start counts too.
        timesteps: Calls of the network per tile.
        batch_size: Tiles per batch, or ``auto``.
        n_tiles: Number of tiles.
        seconds: Wall time of the whole run.
        tiles_per_second: The two divided.
        stage_seconds: Time by stage, added up over threads, as in the summary of every run.
        peak_rss_mb: Most memory of the process meanwhile, in megabytes; null where unknown.
        peak_gpu_mb: Most memory that torch held on the device, in megabytes; null on the CPU.
    """

    engine: str
    timesteps: int
    batch_size: int | str
    n_tiles: int
    seconds: float
    tiles_per_second: float
    stage_seconds: dict[str, float]
    peak_rss_mb: float | None
    peak_gpu_mb: float | None


@dataclass(frozen=True, slots=True)
class ProcessPace:
    """A command as a process of its own, from its start to its end, files in the cache.

    Attributes:
        command: What was run.
        seconds: Wall time; the least of the repetitions.
        peak_rss_mb: Most memory of the process, in megabytes; null where unknown.
    """

    command: str
    seconds: float
    peak_rss_mb: float | None


def measure_run(config: InferenceConfig, n_tiles: int) -> RunPace:
    """Measure a run.

    Args:
        config: What to run; its timesteps are given and its output folder is not there.
        n_tiles: Number of pairs in its input folders.

    Raises:
        AxionError: The run cannot be made, or a tile failed.
    """
    assert config.timesteps is not None
    with watch_memory(resolve_device(config.device)) as peak:
        began = time.perf_counter()
        result = run_inference(config)
        seconds = time.perf_counter() - began
    if result.exit_code:
        reasons = "; ".join(tile.reason for tile in result.failed_tiles[:1])
        raise AxionError(
            f"A run of the benchmark ended with code {result.exit_code}. {reasons}",
            hint="axion-stage3 doctor looks at this installation.",
        )
    return RunPace(
        engine=config.engine,
        timesteps=config.timesteps,
        batch_size=config.batch_size,
        n_tiles=n_tiles,
        seconds=seconds,
        tiles_per_second=n_tiles / seconds,
        stage_seconds=dict(result.summary["stage_seconds"]),
        peak_rss_mb=peak.rss_mb,
        peak_gpu_mb=peak.gpu_mb,
    )


def measure_file_threads(config: InferenceConfig, n_tiles: int) -> float:
    """Measure reading and writing as in a run, beside each other, without the network.

    Args:
        config: The run; its output folder is not there.
        n_tiles: Number of pairs in its input folders.

    Returns:
        Tiles per second.
    """
    Path(str(config.output_dir)).mkdir(parents=True)
    pairs = find_pairs(config.opt_v2_dir, config.s1_dir).pairs
    write = TileWriter(
        config.output_dir, save_intermediate=False, save_valid_mask=False, save_statistics=True
    )
    first = load_pair(pairs[0])
    figures = measure_tile(first.opt_v2, first.opt_v2, first.s1, is_scored=False)
    stages = Stages(
        read=TileReader(LoadOptions(), lambda _: ""),
        ground=lambda tiles: [GroundedTile(t, t.tile.opt_v2, None, figures) for t in tiles],
        write=write,
        report=lambda _: None,
        batch_size=lambda _: 1,
    )
    size = PipelineSize(
        n_readers=config.io_threads,
        n_workers=1,
        n_compute_threads=1,
        n_writers=config.io_threads,
        queue_px=_QUEUE_PX,
    )
    began = time.perf_counter()
    Pipeline(stages, size, Event()).run(pairs)
    return n_tiles / (time.perf_counter() - began)


class FileWorker:
    """Measures reading and writing in a process of its own, see :class:`ProcessCrew`."""

    def begin(self) -> None:
        """Answer, when everything is imported."""

    def measure(self, config: InferenceConfig, n_tiles: int) -> float:
        """See :func:`measure_file_threads`."""
        torch.set_num_threads(1)
        keep_freed_memory()
        return measure_file_threads(config, n_tiles)


def measure_file_processes(configs: Sequence[InferenceConfig], n_tiles: int) -> float:
    """Measure reading and writing in several processes beside each other, without the network.

    Args:
        configs: A run for each process, as for :func:`measure_file_threads`.
        n_tiles: Number of pairs in the input folders of each.

    Returns:
        Tiles per second, of all processes together.

    Raises:
        AxionError: A process died, or does not come to an end.
    """
    crew = ProcessCrew((FileWorker.__module__, FileWorker.__name__))
    workers = [crew.hire() for _ in configs]
    try:
        _answers(crew, [crew.call(worker, FileWorker.begin) for worker in workers])
        calls = [
            crew.call(worker, FileWorker.measure, config, n_tiles)
            for worker, config in zip(workers, configs, strict=True)
        ]
        return math.fsum(_answers(crew, calls))
    finally:
        crew.dismiss(*workers)


def _answers(crew: ProcessCrew, calls: Sequence[int]) -> list[Any]:
    try:
        if len(crew.wait(calls, len(calls), _MOST_FILE_SECONDS)) < len(calls):
            raise WorkerLostError(f"no answer within {_MOST_FILE_SECONDS:.0f} s")
        return [crew.result(call) for call in calls]
    except WorkerLostError as error:
        raise AxionError(
            f"A process of the benchmark that reads and writes tiles was lost: {error}.",
            hint="Check the memory of the machine and its disk.",
        ) from error


def measure_process(title: str, arguments: Sequence[str], n_repetitions: int = 1) -> ProcessPace:
    """Measure a command of this program in processes of its own.

    Args:
        title: What to call it.
        arguments: Command line without the program's name.
        n_repetitions: How often it is run.

    Raises:
        AxionError: The command failed.
    """
    runs = [_run_process(arguments) for _ in range(n_repetitions)]
    sizes = [size for _, size in runs if size is not None]
    return ProcessPace(title, min(seconds for seconds, _ in runs), max(sizes, default=None))


def infer_arguments(config: InferenceConfig) -> list[str]:
    """Return the command line that gives a configuration, as far as a benchmark sets it."""
    options = {
        "--checkpoint": config.checkpoint,
        "--opt-v2-dir": config.opt_v2_dir,
        "--s1-dir": config.s1_dir,
        "--output-dir": config.output_dir,
        "--batch-size": config.batch_size,
        "--timesteps": config.timesteps,
        "--device": config.device,
        "--precision": config.precision,
    }
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    return ["infer", *(text for option in given for text in option), "--quiet"]


def _run_process(arguments: Sequence[str]) -> tuple[float, float | None]:
    """Wall time in seconds and peak memory in megabytes of one process."""
    # Isolated and without site-packages, so that the launcher is small and quick.
    launcher = [sys.executable, "-I", "-S", process_launcher.__file__]
    command = [sys.executable, "-m", "axion_stage3", *arguments]
    launched = subprocess.run(  # noqa: S603 - this very program
        [*launcher, *command], check=True, capture_output=True, text=True
    )
    report = json.loads(launched.stdout)
    if report["exit_code"]:
        raise AxionError(
            f"`axion-stage3 {' '.join(arguments)}` ended with code {report['exit_code']}.",
            hint="Run it by hand to see why.",
        )
    peak_bytes = report["peak_bytes"]
    return report["seconds"], None if peak_bytes is None else peak_bytes / BYTES_PER_MEGABYTE
