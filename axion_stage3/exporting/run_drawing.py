"""Figures and contact sheets of the tiles of a run, written to a folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from axion_stage3.atomic_write import write_bytes
from axion_stage3.errors import TileError
from axion_stage3.exporting.contact_sheets import PICTURE_PX, TILES_PER_SHEET, contact_sheet
from axion_stage3.exporting.output_folder import make_folder
from axion_stage3.exporting.run_pictures import brightest_change, load_truth, small_pictures
from axion_stage3.exporting.tile_figures import run_tile_figure
from axion_stage3.exporting.wording import decimal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from axion_stage3.exporting.contact_sheets import SheetTile
    from axion_stage3.progress import Progress
    from axion_stage3.runs.run_folder import RunFolder
    from axion_stage3.statistics.spectral_indices import SpectralIndex


_log: Final = logging.getLogger(__name__)


class RunDrawing:
    """Draws tiles into a folder, and remembers those that could not be drawn.

    Args:
        folder: The run.
        target: Where the pictures go; must exist.
        truth_dir: Folder of truth tiles, matched by name; None if there are none.
        progress: Shows how far the work is.
        indices: Spectral indices that the figures show; NDVI if there are none.

    Attributes:
        undrawn: Tiles that could not be drawn, and why.
    """

    def __init__(
        self,
        folder: RunFolder,
        target: Path,
        truth_dir: Path | None,
        progress: Progress,
        indices: Sequence[SpectralIndex] = (),
    ) -> None:
        self._indices = indices
        self._folder = folder
        self._target = target
        self._truth_dir = truth_dir
        self._progress = progress
        self.undrawn: dict[str, str] = {}

    def figures(self, names: Sequence[str]) -> list[Path]:
        """Write ``figures/NAME.png`` for each tile; returns the files.

        Raises:
            OutputError: A file cannot be written.
        """
        paths = []
        with self._progress("Drawing figures", len(names)) as shown:
            for name in names:
                path = (self._target / "figures" / name).with_suffix(".png")
                try:
                    tile = self._folder.load(name)
                    truth = load_truth(self._folder, tile, self._truth_dir)
                    picture = run_tile_figure(tile, truth, indices=self._indices)
                except TileError as error:
                    self.undrawn[name] = error.message
                else:
                    make_folder(path.parent)
                    write_bytes(path, picture)
                    _log.debug("%s: drawn to %s", name, path)
                    paths.append(path)
                shown.advance()
        return paths

    def sheets(self, names: Sequence[str], changes: Mapping[str, float]) -> list[Path]:
        """Write ``sheet-001.png``, ...; returns the files.

        Args:
            names: The tiles, in their order on the sheets.
            changes: Mean change by tile name, as far as it is known.

        Raises:
            OutputError: A file cannot be written.
        """
        paths = []
        brightest = brightest_change(changes.values())
        n_sheets = -(-len(names) // TILES_PER_SHEET)
        with self._progress("Drawing contact sheets", len(names)) as shown:
            for number in range(1, n_sheets + 1):
                cells: list[SheetTile] = []
                for name in names[(number - 1) * TILES_PER_SHEET : number * TILES_PER_SHEET]:
                    cells += self._cell(name, changes.get(name), brightest)
                    shown.advance()
                if cells:
                    note = f"change: 0 to {brightest:g} reflectance, dark to bright"
                    title = f"{self._folder.output_dir}, sheet {number} of {n_sheets}"
                    path = self._target / f"sheet-{number:03d}.png"
                    write_bytes(path, contact_sheet(cells, title=title, note=note))
                    _log.debug("%d tiles drawn to %s", len(cells), path)
                    paths.append(path)
        return paths

    def _cell(self, name: str, change: float | None, brightest: float) -> list[SheetTile]:
        """What a sheet shows of a tile; nothing if it cannot be read."""
        try:
            tile = self._folder.load(name)
        except TileError as error:
            self.undrawn[name] = error.message
            return []
        pictures = small_pictures(tile, None, PICTURE_PX, brightest=brightest)
        note = "" if change is None else f"mean change {decimal(change)}"
        return [(name, pictures, note)]
