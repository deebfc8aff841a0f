"""One benchmark from beginning to end."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from axion_stage3.benchmarking import diffusers_yardstick as yardstick
from axion_stage3.benchmarking.benchmark_document import (
    BENCHMARK_SCHEMA,
    BenchmarkDocument,
    SetupRecord,
    machine_record,
)
from axion_stage3.benchmarking.file_pace import (
    FilePace,
    measure_encoding,
    measure_reading,
    measure_writing,
)
from axion_stage3.benchmarking.goals import (
    ENCODING_PX,
    HELP,
    INFER_MANY,
    INFER_ONE,
    INSPECT_TILE,
    judge,
    judge_gpu,
)
from axion_stage3.benchmarking.network_pace import NetworkPace, measure_bound, measure_network
from axion_stage3.benchmarking.whole_runs import (
    ProcessPace,
    RunPace,
    infer_arguments,
    measure_file_processes,
    measure_file_threads,
    measure_process,
    measure_run,
)
from axion_stage3.benchmarking.workload import load_workload
from axion_stage3.config import MAX_TIMESTEPS, InferenceConfig
from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import UsageError
from axion_stage3.inference.devices import plan_workers, precision_name
from axion_stage3.inference.memory_reuse import keep_freed_memory
from axion_stage3.inference.predictor import Predictor
from axion_stage3.scaling.process_engine import n_workers_beside_gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from axion_stage3.benchmarking.network_pace import Way
    from axion_stage3.benchmarking.workload import Workload
    from axion_stage3.inference.devices import Precision
    from axion_stage3.storage.locations import Location

_log: Final = logging.getLogger(__name__)
_MANY_TILES: Final = 1_000_000
_RUN_LENGTH: Final = 8.0
"""A run takes about this many times as long as a measurement of the network.

Its beginning and end, when only one core has work, are then the small share of it that they are of
a run over many tiles.
"""
_OTHER_RUN_LENGTH: Final = 3.0
"""The same, for runs that no ratio is made of."""
_START_UP_REPETITIONS: Final = 3
_MEMORY_BATCH: Final = 8
_MEMORY_TILES: Final = 64
_FILE_TILES: Final = 2000
_FILE_TILES_OF_A_PROCESS: Final = 500
_WAYS: Final[dict[str, tuple[Way, ...]]] = {
    "cpu": ("eager",),
    "cuda": ("graph", "eager", "compile"),
}
"""The first is that of a run without further options."""
_BATCH_SIZES: Final = {"cpu": (1, 2, 4, 8, 16), "cuda": (1, 8, 64, 256)}

Engine = Literal["local", "processes"]
PaceT = TypeVar("PaceT", NetworkPace, RunPace)


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """What to measure.

    Attributes:
        opt_v2_dir: Folder of opt_v2 tiles in reflectance; None for the example tiles.
        s1_dir: Folder of Sentinel-1 tiles in dB; None likewise.
        tile_px: Height and width that the tiles are brought to, in pixels.
        checkpoint: Checkpoint; None for the bundled one.
        timesteps: Numbers of timesteps, 1 to 1000.
        batch_sizes: Batch sizes of the network alone; None for some that suit the device.
        device: See :func:`~axion_stage3.inference.devices.resolve_device`.
        precision: See :func:`~axion_stage3.inference.devices.resolve_precision`.
        against: Another network to measure on the same tiles.
        seconds: How long to measure each figure.

    Raises:
        UsageError: A number is out of its range.
    """

    opt_v2_dir: Path | None = None
    s1_dir: Path | None = None
    tile_px: int = 120
    checkpoint: Location | None = None
    timesteps: tuple[int, ...] = (1, 10)
    batch_sizes: tuple[int, ...] | None = None
    device: str = "auto"
    precision: Precision = "auto"
    against: Literal["diffusers-unet"] | None = None
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if not self.timesteps or not all(1 <= n <= MAX_TIMESTEPS for n in self.timesteps):
            raise UsageError(
                f"--timesteps needs whole numbers from 1 to {MAX_TIMESTEPS}.",
                hint="Such as --timesteps 1,10.",
            )
        if self.batch_sizes is not None and (not self.batch_sizes or min(self.batch_sizes) < 1):
            raise UsageError(
                "--batch-sizes needs whole numbers from 1.", hint="Such as --batch-sizes 1,8."
            )
        if not 0 < self.seconds < math.inf:
            raise UsageError(f"--seconds is {self.seconds}.", hint="Give a positive number.")


def run_benchmark(
    plan: BenchmarkPlan, on_step: Callable[[str], None] = lambda _: None
) -> BenchmarkDocument:
    """Measure everything, one thing at a time.

    Args:
        plan: What to measure.
        on_step: Is told what is measured next; how long it took is logged.

    Raises:
        UsageError: The plan cannot work.
        MissingExtraError: The yardstick is not installed.
        InputError: The tiles cannot be used.
        CheckpointError: The checkpoint is missing or unfit.
        ResourceError: There is no such device.
    """
    if plan.against is not None:
        yardstick.check_tile_size(plan.tile_px)
        yardstick.require_diffusers()
    workload = load_workload(plan.opt_v2_dir, plan.s1_dir, plan.tile_px)
    keep_freed_memory()
    predictor = Predictor(load_checkpoint(plan.checkpoint), plan.device, plan.precision)
    with tempfile.TemporaryDirectory(prefix="axion-benchmark-") as folder:
        return _Benchmark(plan, workload, predictor, Path(folder), on_step).document()


class _Benchmark:
    def __init__(
        self,
        plan: BenchmarkPlan,
        workload: Workload,
        predictor: Predictor,
        folder: Path,
        on_step: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._workload = workload
        self._predictor = predictor
        self._folder = folder
        self._on_step = on_step
        self._workers = plan_workers(predictor.device, _MANY_TILES)
        kind = "cuda" if predictor.device.type == "cuda" else "cpu"
        self._ways = _WAYS[kind]
        self._batch_sizes = plan.batch_sizes or _BATCH_SIZES[kind]
        self._file_paces: dict[Engine, float] = {}
        self._n_folders = 0

    def document(self) -> BenchmarkDocument:
        began = time.perf_counter()
        plan, device, dtype = self._plan, self._predictor.device, self._predictor.dtype
        processes = self._processes()
        files = self._files()
        with self._step("The bound: a large matrix product, a wide convolution"):
            bound = measure_bound(device, dtype, self._workers, plan.seconds / 2)
        if device.type == "cuda":
            self._file_paces = self._measure_file_paces()
        network: list[NetworkPace] = []
        runs: list[RunPace] = []
        for timesteps in plan.timesteps:
            alone, whole = self._network_and_runs(timesteps, bound)
            network += alone
            runs += whole
        for way in self._ways[1:]:
            network += self._other_way(way, bound)
        other = None
        if plan.against is not None:
            with self._step(f"The yardstick {plan.against}"):
                other = yardstick.measure_yardstick(self._workload, device, dtype, plan.seconds)
        return BenchmarkDocument(
            schema_version=BENCHMARK_SCHEMA,
            command="benchmark",
            machine=machine_record(device),
            setup=self._setup(),
            bound_gmac_per_second=bound,
            network=tuple(network),
            files=files,
            runs=tuple(runs),
            processes=processes,
            yardstick=other,
            goals=(
                *judge(network, files, runs, processes, other),
                *judge_gpu(
                    network, runs, [*self._file_paces.values()], is_gpu=device.type == "cuda"
                ),
            ),
            seconds=time.perf_counter() - began,
        )

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        """Say what is measured, and log how long that took."""
        self._on_step(what)
        began = time.perf_counter()
        yield
        _log.debug("%s: %.2f s", what, time.perf_counter() - began)

    def _network_and_runs(
        self, timesteps: int, bound: float
    ) -> tuple[list[NetworkPace], list[RunPace]]:
        """Measure the network alone and whole runs at one number of timesteps.

        What the ratios are made of, the best batch size, is measured in turn with the runs and the
        best time of each counts: another program's noise then rarely falls on one side alone.
        """
        paces = {size: self._network(timesteps, size, bound) for size in self._batch_sizes}
        best = max(paces, key=lambda size: paces[size].tiles_per_second)

        def n_tiles(length: float, engine: Engine = "local") -> int:
            file_pace = self._file_paces.get(engine, math.inf)
            pace = min(paces[best].tiles_per_second, file_pace)
            return math.ceil(pace * self._plan.seconds * length)

        run = self._run(timesteps, best, n_tiles(_RUN_LENGTH))
        paces[best] = _faster(paces[best], self._network(timesteps, best, bound))
        run = _faster(run, self._run(timesteps, best, n_tiles(_RUN_LENGTH)))
        others: list[int | Literal["auto"]] = [1, "auto"]
        n_short = n_tiles(_OTHER_RUN_LENGTH)
        runs = [run, *(self._run(timesteps, size, n_short) for size in others if size != best)]
        if "processes" in self._file_paces:
            n_long = n_tiles(_RUN_LENGTH, "processes")
            runs.append(self._run(timesteps, best, n_long, "processes"))
        return [*paces.values()], runs

    def _other_way(self, way: Way, bound: float) -> list[NetworkPace]:
        """The paces of the network run in another way than in a run without options."""
        predictor = Predictor(
            self._predictor.checkpoint,
            self._plan.device,
            self._plan.precision,
            is_compiled=way == "compile",
            has_graphs=way != "eager",
            on_note=self._on_step,
        )
        return [
            self._network(timesteps, size, bound, way, predictor)
            for timesteps in self._plan.timesteps
            for size in self._batch_sizes
        ]

    def _network(
        self,
        timesteps: int,
        batch_size: int,
        bound: float,
        way: Way | None = None,
        predictor: Predictor | None = None,
    ) -> NetworkPace:
        way = way or self._ways[0]
        with self._step(f"The network alone, {way}, T={timesteps}, batch {batch_size}"):
            return measure_network(
                predictor or self._predictor,
                self._workload,
                self._workers,
                way=way,
                timesteps=timesteps,
                batch_size=batch_size,
                bound_gmac_per_second=bound,
                seconds=self._plan.seconds,
            )

    def _run(
        self,
        timesteps: int,
        batch_size: int | Literal["auto"],
        n_tiles: int,
        engine: Engine = "local",
    ) -> RunPace:
        with self._step(f"From file to file, {engine}, T={timesteps}, batch {batch_size}"):
            config = self._config(n_tiles, batch_size, timesteps)
            pace = measure_run(config.model_copy(update={"engine": engine}), n_tiles)
        _discard(config)
        return pace

    def _measure_file_paces(self) -> dict[Engine, float]:
        """Tiles/s of reading and writing without the network, by engine."""
        with self._step("Reading and writing beside each other, without the network"):
            config = self._config(_FILE_TILES, 1, None)
            threads = measure_file_threads(config, _FILE_TILES)
        with self._step("The same in several processes"):
            n_each = _FILE_TILES_OF_A_PROCESS
            n_processes = n_workers_beside_gpus(self._predictor.device, 1)
            configs = [self._config(n_each, 1, None) for _ in range(n_processes)]
            processes = measure_file_processes(configs, n_each)
        for made in (config, *configs):
            _discard(made)
        return {"local": threads, "processes": processes}

    def _files(self) -> tuple[FilePace, ...]:
        paces: list[FilePace] = []
        for tile_px in sorted({self._plan.tile_px, ENCODING_PX}):
            workload = self._workload.resized(tile_px)
            seconds = self._plan.seconds / 2
            with self._step(f"Reading and writing, {tile_px} px"):
                paces.append(measure_reading(workload, self._new_folder(), seconds))
                paces.append(measure_encoding(workload, seconds))
                paces.append(measure_writing(workload, self._new_folder(), seconds))
        return tuple(paces)

    def _processes(self) -> tuple[ProcessPace, ...]:
        one, many = self._config(1, 1, None), self._config(_MEMORY_TILES, _MEMORY_BATCH, None)
        tile = str(one.opt_v2_dir / self._workload.batch(1)[2][0])
        with self._step("Start-up and memory of whole processes"):
            return (
                measure_process(HELP, ["--help"], _START_UP_REPETITIONS),
                measure_process(INSPECT_TILE, ["inspect-tile", tile], _START_UP_REPETITIONS),
                measure_process(INFER_ONE, infer_arguments(one)),
                measure_process(INFER_MANY, infer_arguments(many)),
            )

    def _config(
        self, n_tiles: int, batch_size: int | Literal["auto"], timesteps: int | None
    ) -> InferenceConfig:
        opt_v2_dir, s1_dir = self._workload.write(self._new_folder(), n_tiles)
        return InferenceConfig(
            checkpoint=self._plan.checkpoint,
            opt_v2_dir=opt_v2_dir,
            s1_dir=s1_dir,
            output_dir=self._new_folder(),
            batch_size=batch_size,
            timesteps=timesteps,
            device=self._plan.device,
            precision=self._plan.precision,
        )

    def _new_folder(self) -> Path:
        self._n_folders += 1
        return self._folder / str(self._n_folders)

    def _setup(self) -> SetupRecord:
        checkpoint = self._predictor.checkpoint
        return SetupRecord(
            tile_source=self._workload.source,
            tile_px=self._workload.tile_px,
            n_distinct_tiles=self._workload.n_distinct,
            checkpoint=str(checkpoint.path),
            checkpoint_sha256=checkpoint.sha256,
            parameters=sum(weight.numel() for weight in checkpoint.network.parameters()),
            precision=precision_name(self._predictor.dtype),
            n_workers=self._workers.n_workers,
            n_threads=self._workers.n_threads,
        )


def _discard(config: InferenceConfig) -> None:
    """Remove what a run has written: those of a fast GPU together would fill the disk."""
    shutil.rmtree(str(config.output_dir))


def _faster(first: PaceT, second: PaceT) -> PaceT:
    return max(first, second, key=lambda pace: pace.tiles_per_second)
