"""A whole run into a GIS: every tile, or one mosaic of them, in parallel and resumable."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from axion_stage3.atomic_write import write_json
from axion_stage3.errors import AxionError, OutputError, TileError, UsageError
from axion_stage3.exporting.chosen_tiles import chosen_tiles
from axion_stage3.exporting.composites import common_stretch
from axion_stage3.exporting.export_journal import ExportJournal
from axion_stage3.exporting.export_layers import Layers
from axion_stage3.exporting.mosaic_export import MOSAIC_NAME, MosaicExport
from axion_stage3.exporting.output_folder import make_folder, require_apart, sweep_leftovers
from axion_stage3.exporting.stac_documents import parse_acquisition_time, stac_collection
from axion_stage3.exporting.tile_exports import (
    COLLECTION_NAME,
    ITEM_SUFFIX,
    ExportStyle,
    Format,
    TileExporter,
    TileSource,
    not_referenced,
    read_item,
)
from axion_stage3.exporting.zarr_export import ZarrExport, require_zarr
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.progress import no_progress
from axion_stage3.rasters.raster_bands import StoredType
from axion_stage3.rasters.rasterio_access import require_rasterio
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.statistics.spectral_indices import find_indices
from axion_stage3.storage.locations import lies_in
from axion_stage3.tiles.georeference_tables import read_georeference_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.exporting.composites import Stretch
    from axion_stage3.progress import Progress

EXPORT_SCHEMA: Final = 1
FORMATS: Final[tuple[Format, ...]] = ("geotiff", "cog", "png", "stac", "zarr")
_PROBED_TILES: Final = 50
_STRETCHED_TILES: Final = 48
_LISTED_FAILURES: Final = 1000
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailedExport:
    """A tile that could not be exported.

    Attributes:
        tile_name: The tile.
        error_code: Stable code of the error.
        reason: What went wrong.
        hint: What to do about it; may be empty.
    """

    tile_name: str
    error_code: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported.

    Attributes:
        schema_version: Version of this layout.
        command: ``export``.
        run_dir: The run's output folder.
        output_dir: Where the files are.
        format: ``geotiff``, ``cog``, ``png``, ``stac`` or ``zarr``.
        bands: Names of the bands of the rasters; empty for quick looks.
        n_tiles: Number of tiles that were to be exported.
        n_exported: Number of them that were exported now.
        n_kept: Number of them that were there already, from the same source.
        mosaic: The one raster of all tiles; null without ``--mosaic``.
        collection: The STAC collection; null if none was wanted.
        failed: Tiles that could not be exported; the first thousand.
        n_failed: Their number.
    """

    schema_version: int
    command: str
    run_dir: str
    output_dir: str
    format: str
    bands: tuple[str, ...]
    n_tiles: int
    n_exported: int
    n_kept: int
    mosaic: str | None
    collection: str | None
    failed: tuple[FailedExport, ...]
    n_failed: int


def export_run(
    run_dir: AnyPath,
    output_dir: AnyPath,
    *,
    to: Format = "geotiff",
    is_mosaic: bool = False,
    is_blended: bool = True,
    tiles: Sequence[str] = (),
    has_std: bool = False,
    has_change: bool = False,
    indices: str | None = None,
    stored_type: StoredType = "float32",
    georeference: AnyPath | None = None,
    acquired: str | None = None,
    is_unreferenced_allowed: bool = False,
    opt_v2_dir: AnyPath | None = None,
    n_workers: int = 1,
    progress: Progress = no_progress,
) -> Export:
    """Export the tiles of a run.

    What has been exported before from the same source in the same way is kept.

    Args:
        run_dir: The output folder of the run.
        output_dir: Where the files go, under the names of the tiles; not ``run_dir``.
        to: ``geotiff``, ``cog`` (Cloud-Optimised GeoTIFF), ``png`` (quick looks with world files)
            ``stac`` (COG, quick look and STAC item of each tile, and a collection), or ``zarr``
            (one sharded store of all tiles).
        is_mosaic: Whether all tiles become one raster, ``mosaic.tif``.
        is_blended: Whether steps between tiles that touch are levelled in it, up to 16 px inside.
        tiles: Names of the tiles; empty for all.
        has_std: Whether rasters hold the standard deviation over the draws too.
        has_change: Whether rasters hold the change by Stage 3 too.
        indices: Spectral indices that rasters hold too, such as ``NDVI,NDWI``.
        stored_type: ``float32``, or ``int16`` with a scale of 0.0001.
        georeference: Table that says where tiles lie; None for what the tiles say.
        acquired: When the scenes were seen, such as ``2017-06-13``; needed for ``stac``.
        is_unreferenced_allowed: Whether tiles without a georeference are exported too.
        opt_v2_dir: Folder of the opt_v2 tiles; None for the one that the run recorded.
        n_workers: Threads that export tiles.
        progress: Shows how far the work is.

    Raises:
        UsageError: The options cannot work.
        InputError: A folder is not there or holds no tile, a table cannot be used, no tile has a
            georeference, or the tiles make no mosaic.
        MissingExtraError: rasterio is not installed.
        OutputError: A file cannot be written.
    """
    has_extras = has_std or has_change or bool(indices)
    _check_choices(to, stored_type, n_workers, is_mosaic=is_mosaic, has_extras=has_extras)
    run_dir, output_dir = Path(run_dir), Path(output_dir)
    if lies_in(output_dir, run_dir) and lies_in(run_dir, output_dir):
        raise UsageError(
            f"{output_dir} is the folder of the run itself.",
            hint="Give another --output-dir, such as a folder beside it.",
        )
    style = ExportStyle(
        to=to,
        layers=Layers(has_std, has_change, find_indices(indices)),
        stored_type=stored_type,
        is_unreferenced_allowed=is_unreferenced_allowed,
        is_blended=is_blended,
        when=parse_acquisition_time(acquired) if to == "stac" else None,
    )
    if to == "zarr":
        require_zarr()
    else:
        require_rasterio()
    folder = RunFolder(run_dir, opt_v2_dir=path_or_none(opt_v2_dir))
    require_apart(folder, output_dir)
    everything, chosen = chosen_tiles(folder, tiles)
    names = chosen or everything
    table = None if georeference is None else read_georeference_table(Path(georeference))
    if table is not None:
        table.require_any(names)
    source = TileSource(folder, table)
    _require_places(source, names, style)
    if to in ("png", "stac"):
        style = replace(style, stretch=_run_stretch(source, names))
    make_folder(output_dir)
    sweep_leftovers(output_dir, (*names, MOSAIC_NAME), COLLECTION_NAME)
    work = _Work(source, output_dir, style, n_workers, progress)
    mosaic = work.mosaic(names) if is_mosaic else None
    if to == "zarr":
        work.zarr_store(names)
    elif mosaic is None:
        work.tiles(names)
    collection = work.collection(everything) if to == "stac" else None
    return Export(
        schema_version=EXPORT_SCHEMA,
        command="export",
        run_dir=str(run_dir),
        output_dir=str(output_dir),
        format=to,
        bands=() if to == "png" else tuple(band.name for band in style.layers.facts),
        n_tiles=len(names),
        n_exported=work.n_exported,
        n_kept=work.n_kept,
        mosaic=None if mosaic is None else str(mosaic),
        collection=None if collection is None else str(collection),
        failed=tuple(work.failed[name] for name in sorted(work.failed)[:_LISTED_FAILURES]),
        n_failed=len(work.failed),
    )


def _check_choices(
    to: Format, stored_type: StoredType, n_workers: int, *, is_mosaic: bool, has_extras: bool
) -> None:
    if to not in FORMATS:
        raise UsageError(f"There is no format {to!r}.", hint=f"Formats: {', '.join(FORMATS)}.")
    if stored_type not in get_args(StoredType):
        known = ", ".join(get_args(StoredType))
        raise UsageError(f"There is no stored type {stored_type!r}.", hint=f"Types: {known}.")
    if n_workers < 1:
        raise UsageError(f"{n_workers} threads export nothing.", hint="Give 1 or more.")
    if to == "zarr" and is_mosaic:
        raise UsageError("A Zarr store holds tiles, no mosaic.", hint="Use --to cog --mosaic.")
    if to == "png" and (has_extras or stored_type != "float32"):
        raise UsageError(
            "A quick look shows natural colours alone; --std, --change, --indices and --dtype are "
            "for rasters.",
            hint="Leave them out, or use --to stac, which makes both.",
        )


class _Work:
    """What is done, and what came of it."""

    def __init__(
        self,
        source: TileSource,
        output_dir: Path,
        style: ExportStyle,
        n_workers: int,
        progress: Progress,
    ) -> None:
        self.n_exported = 0
        self.n_kept = 0
        self.failed: dict[str, FailedExport] = {}
        self._source = source
        self._output_dir = output_dir
        self._style = style
        self._n_workers = n_workers
        self._progress = progress

    def tiles(self, names: Sequence[str]) -> None:
        exporter = TileExporter(self._source, self._output_dir, self._style)
        with (
            ExportJournal(self._output_dir) as journal,
            self._progress("Exporting tiles", len(names)) as shown,
            ThreadPoolExecutor(self._n_workers, "axion-export") as pool,
        ):

            def export(name: str) -> bool:
                """Whether the tile was exported now."""
                fingerprint = exporter.fingerprint(name)
                if journal.is_made(name, fingerprint):
                    return False
                journal.add(name, fingerprint, exporter(name))
                return True

            futures = {pool.submit(export, name): name for name in names}
            try:
                for future in as_completed(futures):
                    self._count(futures[future], future.exception(), future)
                    shown.advance()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _count(self, name: str, error: BaseException | None, future: object) -> None:
        if error is None:
            is_new = future.result()  # type: ignore[attr-defined]
            _log.debug("%s: %s", name, "exported" if is_new else "kept, as it is there already")
            self.n_exported += is_new
            self.n_kept += not is_new
        elif isinstance(error, TileError):
            self.failed[name] = FailedExport(name, error.code, error.message, error.hint)
            _log.debug("%s: failed: %s", name, error.message)
        else:
            raise error

    def zarr_store(self, names: Sequence[str]) -> None:
        export = ZarrExport(
            self._source, self._output_dir, self._style, self._n_workers, self._progress
        )
        export(names)
        self.n_exported, self.n_kept = export.n_exported, export.n_kept
        for name, error in export.failed.items():
            self.failed[name] = FailedExport(name, error.code, error.message, error.hint)

    def mosaic(self, names: Sequence[str]) -> Path:
        export = MosaicExport(self._source, self._output_dir, self._style, self._progress)
        path = export(names)
        self.n_exported = len(names)
        return path

    def collection(self, names: Sequence[str]) -> Path:
        """Write the collection of all items that are there, of these tiles and of the mosaic.

        Those of tiles that were not chosen now are from an earlier export, and stay in it.
        """
        items = []
        for name in (MOSAIC_NAME, *names):
            path = (self._output_dir / name).with_suffix(ITEM_SUFFIX)
            if path.is_file():
                href = f"./{path.relative_to(self._output_dir).as_posix()}"
                items.append((href, read_item(path)))
        if not items:
            raise OutputError(
                f"No tile could be exported to {self._output_dir}, so that there is no collection.",
                hint=next(iter(self.failed.values())).hint if self.failed else "",
                path=self._output_dir,
            )
        target = self._output_dir / COLLECTION_NAME
        write_json(target, stac_collection(items))
        return target


def _require_places(source: TileSource, names: Sequence[str], style: ExportStyle) -> None:
    """Refuse at once a run whose tiles have no place, instead of failing each of them."""
    if style.is_unreferenced_allowed and style.to != "stac":
        return
    for name in names[:_PROBED_TILES]:
        if source.listed_place(name) is not None:
            return
        try:
            if source.load(name).georeference is not None:
                return
        except TileError:
            continue
    if len(names) <= _PROBED_TILES:
        raise not_referenced(names[0], is_stac=style.to == "stac")


def _run_stretch(source: TileSource, names: Sequence[str]) -> Stretch:
    """One brightness for all quick looks, so that neighbours fit together."""
    sample = names[:: max(1, len(names) // _STRETCHED_TILES)]
    views = []
    for name in sample:
        try:
            views.append(source.load(name).opt_final[:, ::2, ::2])
        except AxionError:
            continue
    if not views:
        return ExportStyle().stretch
    return common_stretch(views)
