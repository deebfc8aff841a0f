"""Reading and writing alone, each beside what numpy does with the same tiles."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from axion_stage3.benchmarking.timing import BYTES_PER_MEGABYTE, measure_pace
from axion_stage3.inference.devices import Workers
from axion_stage3.tiles.npz_writer import encode_npz, write_npz
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.benchmarking.workload import Workload

Operation = Literal["read", "encode", "write"]

_ONE_THREAD: Final = Workers(n_workers=1, n_threads=1)


@dataclass(frozen=True, slots=True)
class FilePace:
    """Reading pairs, or writing output tiles, with one thread.

    Attributes:
        operation: ``read``: opt_v2 and s1 of a pair, with all checks. ``encode``: an output tile
            with opt_final under its two keys, as bytes in memory. ``write``: the same as a file,
            atomic and handed to the disk, which numpy's is not.
        tile_px: Height and width of the tiles, in pixels.
        tiles_per_second: Of one thread.
        megabytes_per_second: Pixels that went through, uncompressed.
        numpy_tiles_per_second: The same arrays with numpy.load or numpy.savez_compressed.
        times_numpy: tiles_per_second over numpy_tiles_per_second.
    """

    operation: Operation
    tile_px: int
    tiles_per_second: float
    megabytes_per_second: float
    numpy_tiles_per_second: float
    times_numpy: float


def measure_reading(workload: Workload, folder: Path, seconds: float) -> FilePace:
    """Measure reading pairs, files in the cache of the system.

    Args:
        workload: The tiles.
        folder: A new folder for their files.
        seconds: How long to measure each way.
    """
    pairs = find_pairs(*workload.write(folder, workload.n_distinct)).pairs

    def read_plainly(number: int) -> None:
        pair = pairs[number % len(pairs)]
        for path in (pair.opt_v2_file, pair.s1_file):
            with np.load(path) as file:
                _ = dict(file)

    n_bytes = workload.opt_v2[0].nbytes + workload.s1[0].nbytes
    return _file_pace(
        "read",
        workload.tile_px,
        n_bytes,
        _pace(lambda number: load_pair(pairs[number % len(pairs)]), seconds),
        _pace(read_plainly, seconds),
    )


def measure_encoding(workload: Workload, seconds: float) -> FilePace:
    """Measure making the bytes of output tiles.

    Args:
        workload: Its opt_v2 stand for opt_final.
        seconds: How long to measure each way.
    """

    def encode_plainly(number: int) -> None:
        tile = workload.opt_v2[number % workload.n_distinct]
        np.savez_compressed(io.BytesIO(), opt_final=tile, opt_v3=tile)

    def encode(number: int) -> None:
        tile = workload.opt_v2[number % workload.n_distinct]
        encode_npz({"opt_final": tile}, {"opt_v3": "opt_final"})

    return _file_pace(
        "encode",
        workload.tile_px,
        2 * workload.opt_v2[0].nbytes,
        _pace(encode, seconds),
        _pace(encode_plainly, seconds),
    )


def measure_writing(workload: Workload, folder: Path, seconds: float) -> FilePace:
    """Measure writing output tiles.

    Args:
        workload: Its opt_v2 stand for opt_final.
        folder: A folder for the files.
        seconds: How long to measure each way.
    """
    folder.mkdir(parents=True)

    def write_plainly(number: int) -> None:
        tile = workload.opt_v2[number % workload.n_distinct]
        np.savez_compressed(folder / "plain.npz", opt_final=tile, opt_v3=tile)

    def write(number: int) -> None:
        tile = workload.opt_v2[number % workload.n_distinct]
        write_npz(folder / "tile.npz", {"opt_final": tile}, {"opt_v3": "opt_final"})

    return _file_pace(
        "write",
        workload.tile_px,
        2 * workload.opt_v2[0].nbytes,
        _pace(write, seconds),
        _pace(write_plainly, seconds),
    )


def _pace(work: Callable[[int], Any], seconds: float) -> float:
    numbers = count()

    def one_tile() -> int:
        work(next(numbers))
        return 1

    return measure_pace(one_tile, _ONE_THREAD, seconds)


def _file_pace(
    operation: Operation, tile_px: int, n_bytes: int, pace: float, plain_pace: float
) -> FilePace:
    return FilePace(
        operation=operation,
        tile_px=tile_px,
        tiles_per_second=pace,
        megabytes_per_second=pace * n_bytes / BYTES_PER_MEGABYTE,
        numpy_tiles_per_second=plain_pace,
        times_numpy=pace / plain_pace,
    )
