"""The scenes of a run, one after the other: each fails by itself, and a stop is obeyed."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from axion_stage3.errors import InvalidOutputError, OutputError, ResourceError, TileError
from axion_stage3.inference.batch_grounding import BatchDropped
from axion_stage3.inference.devices import is_out_of_memory
from axion_stage3.inference.run_observer import RunObserver
from axion_stage3.inference.scene_rows import COLUMN_PX, ROW_PX, SceneOptions, SceneRows
from axion_stage3.inference.scene_strips import SceneStrips
from axion_stage3.inference.tile_stages import concerns_one_tile, refuse_too_many_files
from axion_stage3.rasters.raster_tiles import OpenPair
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.predictor import Predictor
    from axion_stage3.rasters.raster_pairing import RasterPair
    from axion_stage3.runs.outcome import Phase
    from axion_stage3.tiles.pairing import TilePair
    from axion_stage3.tiles.tile_loading import LoadOptions


def ground_scenes(
    pairs: Sequence[RasterPair],
    predictor: Predictor,
    config: InferenceConfig,
    load: LoadOptions,
    fingerprint: Callable[[TilePair], str],
    report: Callable[[TileOutcome], None],
    observer: RunObserver,
) -> None:
    """Ground scenes one after the other, until all are done or the run is to stop.

    Args:
        pairs: The scenes.
        predictor: The network.
        config: The run.
        load: How stored values become reflectance and dB, where tags do not say.
        fingerprint: Gives a pair its fingerprint; called just before the pair is read.
        report: Takes note of what became of a scene.
        observer: Is told how each scene goes on.

    Raises:
        OutputError: The output folder cannot be written.
    """
    if not pairs:
        return
    assert not isinstance(config.output_dir, ObjectUrl), "scenes are paired on disks only"
    if config.save_intermediate or config.indices:
        observer.warned(
            "--save-intermediate and --indices do nothing for whole scenes:"
            " their inputs are rasters already, and `export --indices` adds bands."
        )
    options = SceneOptions(
        load=load,
        timesteps=config.timesteps,
        sampler=config.sampler,
        seed=config.seed,
        samples=config.samples,
        has_statistics=config.statistics,
        tags={
            "AXION_CHECKPOINT_SHA256": predictor.checkpoint.sha256,
            "AXION_TIMESTEPS": str(config.timesteps or predictor.checkpoint.timesteps),
            "AXION_SAMPLER": config.sampler,
            "AXION_SEED": str(config.seed),
            "AXION_SAMPLES": str(config.samples),
        },
    )
    grounder = SceneGrounder(predictor, options, config.output_dir, fingerprint, observer)
    with suppress(BatchDropped):
        for pair in pairs:
            report(grounder(pair))


class SceneGrounder:
    """Grounds scenes, one at a time.

    Args:
        predictor: The network.
        options: How scenes are grounded.
        output_dir: The output folder of the run.
        fingerprint: Gives a pair its fingerprint.
        observer: Is told how the scene goes on.
    """

    def __init__(
        self,
        predictor: Predictor,
        options: SceneOptions,
        output_dir: Path,
        fingerprint: Callable[[RasterPair], str],
        observer: RunObserver,
    ) -> None:
        self._predictor = predictor
        self._options = options
        self._output_dir = output_dir
        self._fingerprint = fingerprint
        self._observer = _SceneObserver(observer)

    def __call__(self, pair: RasterPair) -> TileOutcome:
        """Ground a scene and return what became of it.

        Raises:
            BatchDropped: The run is to stop; finished strips stay for the next one.
            OutputError: The output folder cannot be written.
            ResourceError: Too many files are open.
            Exception: What the observer raised.
        """
        began = time.perf_counter()
        fingerprint = self._fingerprint(pair)
        try:
            with OpenPair(pair, self._options.load) as scene:
                rows = SceneRows(pair.name, scene, self._predictor, self._options, self._observer)
                strips = SceneStrips(self._output_dir, pair.name, fingerprint)
                rows.ground(strips)
                statistics = rows.statistics(strips)
                n_bytes = rows.write(strips, self._output_dir, statistics)
        except Exception as error:
            if isinstance(error, BatchDropped) or error is self._observer.error:
                raise
            if not concerns_one_tile(error):
                raise
            refuse_too_many_files(pair.name, error)
            return TileOutcome.of_error(
                pair.name,
                _no_room(pair.name) if is_out_of_memory(error) else error,
                phase=_phase_of(error),
                fingerprint=fingerprint,
                seconds=time.perf_counter() - began,
            )
        strips.remove()
        return TileOutcome(
            tile=pair.name,
            outcome="written",
            fingerprint=fingerprint,
            seconds=time.perf_counter() - began,
            output_bytes=n_bytes,
            statistics=statistics,
        )


def _no_room(name: str) -> ResourceError:
    return ResourceError(
        f"Memory ran out on {name}, in a window of at most {ROW_PX} x {COLUMN_PX} px.",
        hint="Free memory on the device, or use --device cpu.",
        tile_name=name,
    )


def _phase_of(error: Exception) -> Phase:
    """Where a scene failed: reading, computing, checking and writing alternate from row to row."""
    if isinstance(error, InvalidOutputError):
        return "check"
    if isinstance(error, OutputError):
        return "write"
    return "read" if isinstance(error, TileError) else "compute"


class _SceneObserver(RunObserver):
    """Passes on how scenes go on, and keeps what is raised then: that is no scene's failure."""

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self.error: Exception | None = None

    def scene_begun(self, name: str, n_windows: int, methods: Mapping[str, str]) -> None:
        with self._keeping_error():
            self._observer.scene_begun(name, n_windows, methods)

    def scene_advanced(self, n_windows: int) -> None:
        with self._keeping_error():
            self._observer.scene_advanced(n_windows)

    @contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise
