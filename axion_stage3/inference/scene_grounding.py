"""Whole scenes: read in windows, grounded, blended, and written as they are finished.

A scene is never in memory as a whole. It is taken in rows of overlapping windows from top to
bottom; within a row windows are blended as in large tiles (see windows.py), and the overlap of a
row with the next is carried over. What can no longer change is a finished strip and goes to the
disk at once; a run that was killed computes the row above its first missing strip again, for the
overlap, and goes on from there. When all strips are there they become one GeoTIFF.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

import axion_stage3
from axion_stage3.atomic_write import write_json
from axion_stage3.errors import (
    InvalidOutputError,
    OutputError,
    ResourceError,
    TileError,
    TilePixelsError,
)
from axion_stage3.inference.batch_grounding import BatchDropped
from axion_stage3.inference.devices import is_out_of_memory
from axion_stage3.inference.output_checks import check_output
from axion_stage3.inference.scene_noise import SceneNoise
from axion_stage3.inference.scene_strips import SceneStrips
from axion_stage3.inference.tile_stages import (
    as_output_error,
    concerns_one_tile,
    make_folders_below,
)
from axion_stage3.inference.windows import blend_weights, plan_spans
from axion_stage3.rasters.geotiff_writing import GeotiffStyle, RowWriter
from axion_stage3.rasters.raster_bands import OPTICAL_FACTS, std_facts
from axion_stage3.rasters.raster_tiles import OpenPair, filled, has_data
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.statistics.scene_statistics import SceneStatistics
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.predictor import Predictor
    from axion_stage3.inference.run_observer import RunObserver
    from axion_stage3.rasters.raster_pairing import RasterPair
    from axion_stage3.runs.outcome import Phase
    from axion_stage3.tiles.pairing import TilePair
    from axion_stage3.tiles.tile_loading import LoadOptions

ROW_PX: Final = 512
COLUMN_PX: Final = 1024
"""Most rows and columns of a window. Wide windows waste less on overlaps, low ones keep the rows
that are in memory few."""


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """How scenes are grounded.

    Attributes:
        load: How stored values become reflectance and dB, where tags do not say.
        timesteps: Calls of the network, the mean included; None for the checkpoint's number.
        sampler: Name of the sampler.
        seed: Seed of the noise.
        samples: Number of draws; above 1 the spread is written too.
        has_statistics: Whether statistics are written beside the scene.
        tags: Facts about the run, for the GeoTIFF.
    """

    load: LoadOptions
    timesteps: int | None
    sampler: str
    seed: int
    samples: int
    has_statistics: bool
    tags: dict[str, str]


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
            Exception: What the observer raised.
        """
        began = time.perf_counter()
        fingerprint = self._fingerprint(pair)
        try:
            with OpenPair(pair, self._options.load) as scene:
                work = _Scene(pair.name, scene, self._predictor, self._options, self._observer)
                strips = SceneStrips(self._output_dir, pair.name, fingerprint)
                work.ground(strips)
                statistics = work.statistics(strips)
                n_bytes = work.write(strips, self._output_dir, statistics)
        except Exception as error:
            if isinstance(error, BatchDropped) or error is self._observer.error:
                raise
            if not concerns_one_tile(error):
                raise
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


class _SceneObserver:
    """Tells an observer how scenes go on, and keeps what it raises: that is no scene's failure."""

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self.error: Exception | None = None

    def begun(self, name: str, n_windows: int, methods: Mapping[str, str]) -> None:
        with self._keeping_error():
            self._observer.scene_begun(name, n_windows, methods)

    def advanced(self, n_windows: int) -> None:
        with self._keeping_error():
            self._observer.scene_advanced(n_windows)

    @contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise


class _Scene:
    """One scene in work."""

    def __init__(
        self,
        name: str,
        scene: OpenPair,
        predictor: Predictor,
        options: SceneOptions,
        observer: _SceneObserver,
    ) -> None:
        self._name = name
        self._scene = scene
        self._predictor = predictor
        self._options = options
        self._observer = observer
        self._noise = SceneNoise(options.seed, name)
        height, width = scene.size
        self._rows = plan_spans(height, ROW_PX)
        self._columns = plan_spans(width, COLUMN_PX)
        self._row_weights = [weight.numpy() for weight in blend_weights(self._rows)]
        self._column_weights = [weight.numpy() for weight in blend_weights(self._columns)]
        self._n_bands = 4 if options.samples == 1 else 8

    @property
    def _strip_starts(self) -> list[int]:
        """Where finished strips begin, and where the last one ends."""
        return [row.start for row in self._rows] + [self._scene.size[0]]

    def ground(self, strips: SceneStrips) -> None:
        """Make all strips that are not there yet."""
        missing = [i for i in range(len(self._rows)) if not strips.has(i)]
        n_windows = len(self._rows) * len(self._columns)
        self._observer.begun(self._name, n_windows, self._scene.methods)
        self._observer.advanced((len(self._rows) - len(missing)) * len(self._columns))
        carried: NDArray[np.float32] | None = None
        carried_to = -1
        for number in missing:
            if number > 0 and carried_to != number:
                carried = self._overlap(number, self._blended_row(number - 1, is_new=False))
            row = self._blended_row(number, is_new=True)
            if carried is not None:
                row[:, : carried.shape[1]] += carried
            self._finish(strips, number, row)
            if number + 1 < len(self._rows):
                carried, carried_to = self._overlap(number + 1, row), number + 1

    def _overlap(self, number: int, row_above: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the row above adds to the first lines of a row of windows."""
        n_lines = self._rows[number - 1].stop - self._rows[number].start
        return row_above[:, -n_lines:].copy()

    def _blended_row(self, number: int, *, is_new: bool) -> NDArray[np.float32]:
        """One row of windows, blended sideways and weighted for the blend with its neighbours."""
        rows = self._rows[number]
        result = np.zeros((self._n_bands, rows.stop - rows.start, self._scene.size[1]), np.float32)
        for columns, weight in zip(self._columns, self._column_weights, strict=True):
            window = Window(rows.start, rows.stop, columns.start, columns.stop)
            result[:, :, columns.start : columns.stop] += self._predict(window) * weight
            if is_new:
                self._observer.advanced(1)
        result *= self._row_weights[number][:, np.newaxis]
        return result

    def _predict(self, window: Window) -> NDArray[np.float32]:
        optical, radar = self._scene.read(window)
        if not has_data(optical, radar).any():
            return np.zeros((self._n_bands, *window.size), np.float32)
        opt_v2, s1, _ = filled(optical, radar)
        prediction = self._predictor.predict_window(
            opt_v2[np.newaxis],
            s1[np.newaxis],
            partial(self._noise.cut, window),
            timesteps=self._options.timesteps,
            sampler=self._options.sampler,
            samples=self._options.samples,
        )
        result = prediction.opt_final[0].numpy()
        if prediction.std is not None:
            result = np.concatenate([result, prediction.std[0].numpy()])
        return result

    def _finish(self, strips: SceneStrips, number: int, row: NDArray[np.float32]) -> None:
        """Check and write the lines of a row of windows that no later row changes."""
        start, stop = self._strip_starts[number], self._strip_starts[number + 1]
        pixels = row[:, : stop - start]
        optical, radar = self._scene.read(Window(start, stop, 0, self._scene.size[1]))
        is_valid = has_data(optical, radar)
        check_output(self._name, pixels[:4], (stop - start, self._scene.size[1]))
        statistics = SceneStatistics.of(pixels[:4], optical, radar, is_valid)
        strips.write(number, np.where(is_valid, pixels, np.float32(np.nan)), statistics)

    def statistics(self, strips: SceneStrips) -> dict[str, float | str]:
        """Describe the scene by the sums of its strips.

        Raises:
            TilePixelsError: No pixel of the scene has data.
        """
        merged = SceneStatistics.merged(strips.statistics(i) for i in range(len(self._rows)))
        if merged.n_pixels == 0:
            raise TilePixelsError(
                f"{self._name}: no pixel has data in both rasters.",
                hint="Leave this scene out.",
                tile_name=self._name,
            )
        return merged.describe(self._name)

    def write(
        self, strips: SceneStrips, output_dir: Path, statistics: dict[str, float | str]
    ) -> int:
        """Join the strips into the GeoTIFF; returns its size in bytes."""
        path = output_dir / self._name
        facts = OPTICAL_FACTS if self._n_bands == 4 else (*OPTICAL_FACTS, *std_facts())
        methods = {f"AXION_{key.upper()}": text for key, text in self._scene.methods.items()}
        tags = {
            "TIFFTAG_SOFTWARE": f"axion-stage3 {axion_stage3.__version__}",
            **self._options.tags,
            **methods,
        }
        statistics_path = path.with_suffix(".json")
        with as_output_error(path):
            make_folders_below(output_dir, path.parent)
            if not self._options.has_statistics:
                statistics_path.unlink(missing_ok=True)  # it would describe an older output
        if self._options.has_statistics:
            write_json(statistics_path, statistics)
        style = GeotiffStyle(is_cog=False, tags=tags)
        place = self._scene.georeference
        with RowWriter(path, facts, self._scene.size, place, style) as writer:
            for number in range(len(self._rows)):
                writer.write_rows(strips.read(number))
        return path.stat().st_size


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
