"""Finished strips of a scene on the disk, until the scene is whole.

A strip is an NPZ with some full rows of the result. It is written atomically, under a folder named
after the fingerprint of the scene, so that a run that was killed goes on behind the last strip and
never takes one that was made from other inputs or options.
"""

from __future__ import annotations

import shutil
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import OutputError, TileReadError
from axion_stage3.inference.tile_stages import make_folders_below
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.statistics.scene_statistics import SceneStatistics
from axion_stage3.tiles.npz_reader import NpzArchive
from axion_stage3.tiles.npz_writer import write_npz

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_PIXELS: Final = "pixels"
_STRIPS_FOLDER: Final = "scene-strips"
_STRIP_BYTES: Final = 4 << 30


class SceneStrips:
    """The strips of one scene.

    Args:
        output_dir: The output folder of the run.
        name: Name of the scene.
        fingerprint: What it is made from.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, output_dir: Path, name: str, fingerprint: str) -> None:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        self._scene = output_dir / RUNS_FOLDER / _STRIPS_FOLDER / digest
        self._folder = self._scene / fingerprint
        if not self._folder.is_dir():
            self.remove()  # strips of other inputs or options
        try:
            make_folders_below(output_dir, self._folder)
        except OSError as error:
            raise OutputError(
                f"The folder {self._folder} cannot be made: {error.strerror or error}.",
                hint="Restore access to the output folder, then start the same command again.",
                path=self._folder,
            ) from error

    def has(self, number: int) -> bool:
        """Whether a strip is there, whole and undamaged in its sums."""
        try:
            self.statistics(number)
        except (TileReadError, KeyError):
            return False
        return True

    def write(self, number: int, pixels: NDArray[np.float32], statistics: SceneStatistics) -> None:
        """Write a strip.

        Args:
            number: Its number, from the top.
            pixels: (band, rows, W) float32, NaN where there is no data.
            statistics: Its sums.

        Raises:
            OutputError: It cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {_PIXELS: pixels, **statistics.as_arrays()}
        write_npz(self._path(number), arrays)

    def read(self, number: int) -> NDArray[np.float32]:
        """Read the pixels of a strip.

        Raises:
            TileReadError: It is damaged.
        """
        with NpzArchive(self._path(number), byte_budget=_STRIP_BYTES) as archive:
            return archive.read([_PIXELS])[_PIXELS]

    def statistics(self, number: int) -> SceneStatistics:
        """Read the sums of a strip.

        Raises:
            TileReadError: It is damaged or not there.
            KeyError: It lacks a sum.
        """
        with NpzArchive(self._path(number), byte_budget=_STRIP_BYTES) as archive:
            sums = [key for key in archive.names if key != _PIXELS]
            return SceneStatistics.from_arrays(archive.read(sums))

    def remove(self) -> None:
        """Remove all strips of the scene."""
        shutil.rmtree(self._scene, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"strip-{number:05d}.npz"
