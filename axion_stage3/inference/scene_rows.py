"""A scene in rows of windows: read, grounded, blended, and written as they are finished.

A scene is never in memory as a whole. It is taken in rows of overlapping windows from top to
bottom; within a row windows are blended as in large tiles (see windows.py), and the overlap of a
row with the next is carried over. What can no longer change is a finished strip and goes to the
disk at once; a run that was killed computes the row above its first missing strip again, for the
overlap, and goes on from there. When all strips are there they become one GeoTIFF.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

import axion_stage3
from axion_stage3.atomic_write import write_json
from axion_stage3.errors import TilePixelsError
from axion_stage3.inference.output_checks import check_output
from axion_stage3.inference.scene_noise import SceneNoise
from axion_stage3.inference.tile_stages import as_output_error, make_folders_below
from axion_stage3.inference.windows import blend_weights, plan_spans
from axion_stage3.rasters.geotiff_writing import GeotiffStyle, RowWriter
from axion_stage3.rasters.raster_bands import OPTICAL_FACTS, std_facts
from axion_stage3.rasters.raster_tiles import OpenPair, filled, has_data
from axion_stage3.statistics.scene_statistics import SceneStatistics
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.inference.predictor import Predictor
    from axion_stage3.inference.run_observer import RunObserver
    from axion_stage3.inference.scene_strips import SceneStrips
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


class SceneRows:
    """One scene in work.

    Args:
        name: Name of the scene.
        scene: Its two rasters.
        predictor: The network.
        options: How it is grounded.
        observer: Is told how it goes on.
    """

    def __init__(
        self,
        name: str,
        scene: OpenPair,
        predictor: Predictor,
        options: SceneOptions,
        observer: RunObserver,
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
        self._observer.scene_begun(self._name, n_windows, self._scene.methods)
        self._observer.scene_advanced((len(self._rows) - len(missing)) * len(self._columns))
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
                self._observer.scene_advanced(1)
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
