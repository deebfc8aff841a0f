"""The mosaic of a run as a file: GeoTIFF, COG, quick look or STAC item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import UsageError
from axion_stage3.exporting.mosaic import mosaic_strips, plan_mosaic
from axion_stage3.exporting.seams import SeamLeveller
from axion_stage3.exporting.tile_exports import (
    TileSource,
    run_facts,
    tags,
    tile_place,
    write_item,
)
from axion_stage3.exporting.world_files import quick_look, write_quick_look
from axion_stage3.rasters.geotiff_writing import GeotiffStyle, RowWriter
from axion_stage3.rasters.raster_bands import RasterBands
from axion_stage3.tiles.georeference import Georeference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.exporting.mosaic import MosaicPlan
    from axion_stage3.exporting.tile_exports import ExportStyle
    from axion_stage3.progress import Progress

MOSAIC_NAME: Final = "mosaic.tif"
_LARGEST_PICTURE_PX: Final = 4096


class MosaicExport:
    """Makes one raster of many tiles.

    Args:
        source: The tiles.
        output_dir: Where the files go; must exist.
        style: What is made.
        progress: Shows how far the work is.
    """

    def __init__(
        self, source: TileSource, output_dir: Path, style: ExportStyle, progress: Progress
    ) -> None:
        self._source = source
        self._output_dir = output_dir
        self._style = style
        self._progress = progress
        self._facts = run_facts(source.folder.manifest)

    def __call__(self, names: Sequence[str]) -> Path:
        """Write the mosaic of some tiles; returns its main file.

        Raises:
            TileError: A tile cannot be read, or the tiles make no mosaic.
            OutputError: A file cannot be written.
        """
        plan = plan_mosaic({name: tile_place(self._source, name) for name in names})
        path = self._output_dir / MOSAIC_NAME
        if self._style.to == "png":
            return self._write_picture(path, plan)
        style = self._style
        geotiff = GeotiffStyle(
            style.to != "geotiff", style.stored_type, tags(MOSAIC_NAME, self._facts)
        )
        facts = style.layers.facts
        seen: set[str] = set()
        with (
            self._progress("Joining tiles", len(plan.tiles)) as shown,
            RowWriter(path, facts, plan.size, plan.georeference, geotiff) as writer,
        ):

            def load(name: str) -> NDArray[np.float32]:
                if name not in seen:
                    seen.add(name)
                    shown.advance()
                return self._load(name)

            source = SeamLeveller(plan, load) if style.is_blended else load
            for strip in mosaic_strips(plan, source, len(facts)):
                writer.write_rows(strip)
        if style.to == "stac":
            self._write_picture(path, plan)
            empty = RasterBands(np.broadcast_to(np.float32(0), (len(facts), *plan.size)), facts)
            write_item(path, MOSAIC_NAME, empty, plan.georeference, style, self._facts)
        return path

    def _load(self, name: str) -> NDArray[np.float32]:
        tile = self._source.load(name, with_inputs=self._style.layers.has_change)
        return self._style.layers.of(tile).pixels

    def _write_picture(self, path: Path, plan: MosaicPlan) -> Path:
        """Write the quick look: every n-th pixel, so that no side is longer than 4,096 px."""
        factor = -(-max(plan.size) // _LARGEST_PICTURE_PX)
        if factor > 64:
            raise UsageError("The mosaic is too large for a quick look.", hint="Use --to cog.")
        rows = []
        n_before = 0
        load = self._load_optical
        source = SeamLeveller(plan, load) if self._style.is_blended else load
        for strip in mosaic_strips(plan, source, 4):
            rows.append(strip[:, -n_before % factor :: factor, ::factor])
            n_before += strip.shape[1]
        a, b, c, d, e, f = plan.georeference.transform
        place = Georeference(
            plan.georeference.crs, (a * factor, b * factor, c, d * factor, e * factor, f)
        )
        picture = path.with_suffix(".png")
        optical = np.concatenate(rows, axis=1)
        write_quick_look(picture, quick_look(optical, self._style.stretch), place)
        return picture

    def _load_optical(self, name: str) -> NDArray[np.float32]:
        tile = self._source.load(name)
        pixels = tile.opt_final.astype(np.float32)
        if tile.valid_mask is not None:
            pixels[:, ~tile.valid_mask] = np.nan
        return pixels
