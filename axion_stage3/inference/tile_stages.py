"""What happens to one tile before and after the network: read it; check and write it.

Each stage takes its own failures for the tile's, and says so with an outcome; what concerns the
whole run (a full disk, a lost lease) it raises.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.atomic_write import write_json
from axion_stage3.errors import InvalidOutputError, OutputError, ResourceError
from axion_stage3.inference.output_checks import check_output, is_in_range
from axion_stage3.rasters.raster_pairing import RasterPair
from axion_stage3.rasters.raster_tiles import load_raster_pair
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.statistics.grounding_measures import MIN_SCORED_PX
from axion_stage3.statistics.spectral_indices import index_statistics
from axion_stage3.statistics.tile_statistics import describe_tile, measure_tile
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.storage.retries import RETRIES_USED_UP, causes_of
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import LoadedTile, LoadOptions, load_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.inference.batch_queue import Shape
    from axion_stage3.runs.outcome import Phase
    from axion_stage3.statistics.grounding import GroundingReference
    from axion_stage3.statistics.spectral_indices import SpectralIndex
    from axion_stage3.statistics.tile_statistics import TileFigures
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import TilePair

_ERRNO_OF_ONE_TILE: Final = frozenset(
    {
        errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ,
        RETRIES_USED_UP,
    }
)  # fmt: skip
"""What says that this one file cannot be written, while others can."""

_NO_HANDLES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_SAYS_NO_HANDLES: Final = tuple(os.strerror(number) for number in _NO_HANDLES)
"""GDAL hands on what the system says, not the number of the error."""


@dataclass(frozen=True, slots=True)
class ReadTile:
    """A tile that waits for the network.

    Attributes:
        tile: The arrays.
        fingerprint: What it was made from.
        stage_seconds: Time by stage so far, in seconds; later stages add theirs.
    """

    tile: LoadedTile
    fingerprint: str
    stage_seconds: dict[str, float]

    @property
    def shape(self) -> Shape:
        """Height and width, in pixels."""
        height, width = self.tile.opt_v2.shape[1:]
        return height, width


@dataclass(frozen=True, slots=True)
class GroundedTile:
    """A tile that waits to be written.

    Attributes:
        source: What it was made from.
        opt_final: (4, H, W) float32, reflectance.
        std: Standard deviation over the draws, like ``opt_final``; None with a single draw.
        figures: What its statistics are made from, computed where it was; None if it is yet to be.
    """

    source: ReadTile
    opt_final: NDArray[np.float32]
    std: NDArray[np.float32] | None
    figures: TileFigures | None = None

    @property
    def shape(self) -> Shape:
        """Height and width, in pixels."""
        return self.source.shape


class TileReader:
    """Reads pairs and checks them.

    Args:
        options: How stored values become reflectance and dB.
        fingerprint: Gives a pair its fingerprint.
    """

    def __init__(self, options: LoadOptions, fingerprint: Callable[[TilePair], str]) -> None:
        self._options = options
        self._fingerprint = fingerprint

    def __call__(self, pair: TilePair) -> ReadTile | TileOutcome:
        """Return the tile, or the outcome that says why it cannot be used.

        Raises:
            ResourceError: Too many files are open, so that no tile can be read.
        """
        began = time.perf_counter()
        fingerprint = self._fingerprint(pair)
        try:
            if isinstance(pair, RasterPair):
                tile = load_raster_pair(pair, self._options)
            else:
                tile = load_pair(pair, self._options)
        except Exception as error:  # noqa: BLE001 - whatever a tile does to its reader, it is one tile
            refuse_too_many_files(pair.name, error)
            seconds = time.perf_counter() - began
            return TileOutcome.of_error(
                pair.name, error, phase="read", fingerprint=fingerprint, seconds=seconds
            )
        return ReadTile(tile, fingerprint, {"read": time.perf_counter() - began})


class TileWriter:
    """Checks results and writes them.

    Args:
        output_dir: The output folder.
        save_intermediate: Whether opt_v2 and s1 are saved in the output files.
        save_valid_mask: Whether the output files say which pixels were not filled.
        save_statistics: Whether the statistics are saved beside the output files.
        indices: Spectral indices that the statistics are to have.
        reference: Measures of true pairs; with them the statistics hold the grounding score.
    """

    def __init__(
        self,
        output_dir: Location,
        *,
        save_intermediate: bool,
        save_valid_mask: bool,
        save_statistics: bool,
        indices: Sequence[SpectralIndex] = (),
        reference: GroundingReference | None = None,
    ) -> None:
        self._indices = indices
        self._reference = reference
        self._output_dir = output_dir
        self._save_intermediate = save_intermediate
        self._save_valid_mask = save_valid_mask
        self._save_statistics = save_statistics

    def __call__(self, grounded: GroundedTile) -> TileOutcome:
        """Write the tile and return what became of it.

        Raises:
            OutputError: The output folder cannot be written, so that no tile can.
        """
        source = grounded.source
        name = source.tile.name
        began = time.perf_counter()
        try:
            statistics = self._checked_statistics(grounded)
            output_bytes = self._write(grounded, statistics)
        except Exception as error:
            if not concerns_one_tile(error):
                raise
            phase: Phase = "check" if isinstance(error, InvalidOutputError) else "write"
            return TileOutcome.of_error(
                name,
                error,
                phase=phase,
                fingerprint=source.fingerprint,
                seconds=sum(source.stage_seconds.values()) + time.perf_counter() - began,
            )
        stage_seconds = {**source.stage_seconds, "write": time.perf_counter() - began}
        return TileOutcome(
            tile=name,
            outcome="written",
            fingerprint=source.fingerprint,
            seconds=sum(v for k, v in stage_seconds.items() if not k.startswith("wait")),
            output_bytes=output_bytes,
            statistics=statistics,
            stage_seconds=stage_seconds,
        )

    def _checked_statistics(self, grounded: GroundedTile) -> dict[str, float | str]:
        """Describe a tile, or refuse it with an InvalidOutputError."""
        name, tile = grounded.source.tile.name, grounded.source.tile
        figures = grounded.figures
        if figures is None or not is_in_range(figures.least, figures.greatest):
            check_output(name, grounded.opt_final, grounded.shape)
        if grounded.std is not None:
            check_output(name, grounded.std, grounded.shape)
        if figures is None:
            figures = measure_tile(
                grounded.opt_final,
                tile.opt_v2,
                tile.s1,
                is_scored=self._reference is not None and min(grounded.shape) >= MIN_SCORED_PX,
            )
        of_indices = index_statistics(self._indices, grounded.opt_final)
        return describe_tile(name, figures, self._reference, of_indices)

    def _write(self, grounded: GroundedTile, statistics: Mapping[str, float | str]) -> int:
        tile = grounded.source.tile
        arrays: dict[str, NDArray[Any]] = {"opt_final": grounded.opt_final}
        if grounded.std is not None:
            arrays["opt_final_std"] = grounded.std
        if self._save_intermediate:
            arrays |= {"opt_v2": tile.opt_v2, "s1": tile.s1}
        if self._save_valid_mask or tile.valid_mask is not None:
            mask = tile.valid_mask
            arrays["valid_mask"] = np.ones(grounded.shape, bool) if mask is None else mask
        if tile.georeference is not None:
            arrays |= tile.georeference.as_arrays()
        path = self._output_dir / tile.name
        statistics_path = path.with_suffix(".json")
        # Before the tile: a tile that is there has its statistics beside it, whenever a run stops.
        with as_output_error(path):
            if not isinstance(path, ObjectUrl):
                make_folders_below(self._output_dir, path.parent)
            if not self._save_statistics:
                statistics_path.unlink(missing_ok=True)  # it would describe an older output
        if self._save_statistics:
            # Not yet its name: one fsync of the folder, after the tile, is for both.
            write_json(statistics_path, statistics, syncs_folder=False)
        return write_npz(path, arrays, {"opt_v3": "opt_final"})


def make_folders_below(output_dir: Location, folder: Path) -> None:
    """Make a sub-folder, but never the output folder: if that has vanished, the run stops.

    Args:
        output_dir: The output folder.
        folder: That folder, or one below it.

    Raises:
        OSError: It cannot be made.
    """
    if folder != output_dir and not folder.is_dir():
        make_folders_below(output_dir, folder.parent)
        folder.mkdir(exist_ok=True)


def concerns_one_tile(error: Exception) -> bool:
    """Whether a failure is that of one tile alone, so that the run goes on with the others."""
    return not isinstance(error, OutputError) or error.errno in _ERRNO_OF_ONE_TILE


def refuse_too_many_files(name: str, error: Exception) -> None:
    """Stop the run where a tile failed for want of file handles: that is no fault of the tile.

    Args:
        name: The tile.
        error: Why it failed.

    Raises:
        ResourceError: It was that.
    """
    # At the end alone: names of files and what they hold stand in the middle of such texts.
    if any(
        cause.errno in _NO_HANDLES or str(cause).endswith(_SAYS_NO_HANDLES)
        for cause in causes_of(error)
        if isinstance(cause, OSError)
    ):
        raise ResourceError(
            f"The tile {name} cannot be read: too many files are open on this machine.",
            hint="Raise the limit (ulimit -n 4096) or close other programs, then start the same "
            "command again: it goes on where it was.",
            tile_name=name,
        ) from error


@contextmanager
def as_output_error(path: Location) -> Iterator[None]:
    """Raise what the system reports about a file as an OutputError."""
    try:
        yield
    except OSError as error:
        output_error = OutputError(
            f"Cannot write {path}: {error.strerror or error}.",
            hint="Restore access to the output folder, then start the same command again.",
            path=path,
        )
        output_error.errno = error.errno
        raise output_error from error
