"""The document of ``axion-stage3 benchmark --json``."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

# The JSON schema is made from these classes, so that their names must be there at run time:
# ruff: noqa: TC001
from axion_stage3.benchmarking.diffusers_yardstick import YardstickPace
from axion_stage3.benchmarking.file_pace import FilePace
from axion_stage3.benchmarking.goals import Goal
from axion_stage3.benchmarking.network_pace import NetworkPace
from axion_stage3.benchmarking.whole_runs import ProcessPace, RunPace
from axion_stage3.processor_cores import n_usable_cores

BENCHMARK_SCHEMA: Final = 1
_CPU_INFO: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """What was measured on.

    Attributes:
        processor: Its name as the system gives it.
        n_cores: Cores that this process may use.
        device: The device that computes.
        device_name: The name of the GPU, or the processor's.
        python: Version of Python.
        torch: Version of torch.
        system: Operating system.
    """

    processor: str
    n_cores: int
    device: str
    device_name: str
    python: str
    torch: str
    system: str


@dataclass(frozen=True, slots=True)
class SetupRecord:
    """What was measured with.

    Attributes:
        tile_source: ``examples``: the example tiles; ``given``: those of the folders given;
            ``drawn``: synthetic ones, where the example tiles are not installed.
        tile_px: Height and width of the tiles, in pixels.
        n_distinct_tiles: Number of distinct tiles; all else are repetitions.
        checkpoint: Path of the checkpoint.
        checkpoint_sha256: Hash of its file.
        parameters: Number of weights of the network.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        n_workers: Batches that are computed at the same time.
        n_threads: Threads of torch within each of them.
    """

    tile_source: str
    tile_px: int
    n_distinct_tiles: int
    checkpoint: str
    checkpoint_sha256: str
    parameters: int
    precision: str
    n_workers: int
    n_threads: int


@dataclass(frozen=True, slots=True)
class BenchmarkDocument:
    """How fast this machine is, and what of it could be reached.

    Attributes:
        schema_version: Version of this layout.
        command: ``benchmark``.
        machine: What was measured on.
        setup: What was measured with.
        bound_gmac_per_second: What the workers reach together in a large matrix product or wide
            convolution, whichever is faster, in 10^9 MAC/s.
        network: The network alone, by timesteps and batch size.
        files: Reading and writing alone.
        runs: From files to files, by timesteps and batch size.
        processes: Commands as processes of their own: start-up times and memory.
        yardstick: The other network; null if none was asked for.
        goals: The ratios that this project wants to reach.
        seconds: How long the benchmark took.
    """

    schema_version: int
    command: str
    machine: MachineRecord
    setup: SetupRecord
    bound_gmac_per_second: float
    network: tuple[NetworkPace, ...]
    files: tuple[FilePace, ...]
    runs: tuple[RunPace, ...]
    processes: tuple[ProcessPace, ...]
    yardstick: YardstickPace | None
    goals: tuple[Goal, ...]
    seconds: float


def machine_record(device: torch.device) -> MachineRecord:
    """Describe this machine.

    Args:
        device: The device that computes.
    """
    processor = _processor_name()
    is_cuda = device.type == "cuda"
    return MachineRecord(
        processor=processor,
        n_cores=n_usable_cores(),
        device=str(device),
        device_name=torch.cuda.get_device_name(device) if is_cuda else processor,
        python=platform.python_version(),
        torch=torch.__version__,
        system=f"{platform.system()} {platform.release()}",
    )


def _processor_name() -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
