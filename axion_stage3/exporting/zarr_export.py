"""The tiles of a run as one Zarr store, for very many of them: few files, read in parallel.

Tiles of one size are one array (tile, band, y, x). A chunk is a tile, so that one tile is read
without its neighbours; a shard is a file of some tens of megabytes, so that a hundred thousand
tiles are some hundreds of files. Names, bands and places stand in the attributes of the array. A
shard is written as a whole and noted in the journal of the export, so that an export that was
stopped goes on behind it. Attributes describe the pixels at every moment: shards that they would no
longer describe are removed before the attributes change, so that a kill leaves no tile's name over
the pixels of another.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.atomic_write import remove_outdated
from axion_stage3.errors import AxionError, OutputError, TileError
from axion_stage3.exporting.export_journal import ExportJournal
from axion_stage3.exporting.tile_exports import TileExporter, not_referenced, tile_place
from axion_stage3.optional_imports import import_extra
from axion_stage3.rasters.raster_bands import INTEGER_NODATA, as_stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.exporting.tile_exports import ExportStyle, TileSource
    from axion_stage3.progress import Advancing, Progress
    from axion_stage3.tiles.georeference import Georeference

    Places = dict[str, Georeference | None]
    """Where tiles lie, by name."""

STORE_NAME: Final = "tiles.zarr"
_SHARD_BYTES: Final = 64 << 20
_LEFTOVERS: Final = f"*.{'[0-9a-f]' * 32}.partial"
"""Names of the files that zarr writes before it renames them; a killed export leaves them."""

_METADATA: Final = "zarr.json"
_DAMAGES: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What zarr raises on metadata that are no JSON, or say something else than they should."""

_IN_THE_WAY: Final = (FileExistsError, NotADirectoryError, IsADirectoryError)


def require_zarr() -> Any:
    """Return the module zarr.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra("zarr", extra="zarr", need="Zarr stores need")


@dataclass(frozen=True, slots=True)
class _Shard:
    """Some tiles that become one file of an array.

    Attributes:
        first: Number of its first tile in the array.
        names: Its tiles.
        file: Its file.
        label: What the journal calls it.
        fingerprint: Hash of everything that its pixels depend on.
    """

    first: int
    names: tuple[str, ...]
    file: Path
    label: str
    fingerprint: str


class ZarrExport:
    """Writes tiles into a Zarr store.

    Args:
        source: The tiles.
        output_dir: Folder of the store; must exist.
        style: What the arrays hold.
        n_workers: Threads that read tiles.
        progress: Shows how far the work is.

    Attributes:
        n_exported: Tiles that were written now.
        n_kept: Tiles that were there already.
        failed: Tiles that could not be exported; their pixels hold no data.
    """

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
        self.failed: dict[str, TileError] = {}
        self._source = source
        self._output_dir = output_dir
        self._style = style
        self._n_workers = n_workers
        self._progress = progress
        self._exporter = TileExporter(source, output_dir, style)

    def __call__(self, names: Sequence[str]) -> Path:
        """Write the store; returns its folder.

        Raises:
            OutputError: It cannot be written, is damaged, or holds tiles that would be lost.
            MissingExtraError: zarr is not installed.
        """
        zarr = require_zarr()
        path = self._output_dir / STORE_NAME
        try:
            group = _open_store(zarr, path, names)
            for leftover in path.rglob(_LEFTOVERS):
                leftover.unlink(missing_ok=True)
            with (
                self._progress("Exporting tiles", len(names)) as shown,
                ExportJournal(self._output_dir) as journal,
                ThreadPoolExecutor(self._n_workers, "axion-export") as pool,
            ):
                sizes = self._by_size(names)
                shown.advance(len(self.failed))
                for size, members in sizes.items():
                    self._write_array(group, size, members, journal, pool, shown)
        except AxionError:  # some are OSErrors too, and say themselves what is wrong
            raise
        except OSError as error:
            raise OutputError(
                f"Cannot write {path}: {error.strerror or error}.",
                hint="Something else has its name: move that away, or give another --output-dir."
                if isinstance(error, _IN_THE_WAY)
                else "Is there room on the disk? The same command goes on where it was.",
                path=path,
            ) from error
        return path

    def _by_size(self, names: Sequence[str]) -> dict[tuple[int, int], Places]:
        groups: dict[tuple[int, int], Places] = defaultdict(dict)
        for name in names:
            try:
                place, size = tile_place(self._source, name)
                if place is None and not self._style.is_unreferenced_allowed:
                    raise not_referenced(name)
            except TileError as error:
                self.failed[name] = error
            else:
                groups[size][name] = place
        return groups

    def _write_array(
        self,
        group: Any,
        size: tuple[int, int],
        members: Places,
        journal: ExportJournal,
        pool: ThreadPoolExecutor,
        shown: Advancing,
    ) -> None:
        style, names, places = self._style, list(members), members.values()
        facts = style.layers.facts
        n_bands = len(facts)
        is_integer = style.stored_type == "int16"
        n_shard = max(1, _SHARD_BYTES // (n_bands * size[0] * size[1] * (2 if is_integer else 4)))
        n_shard = min(n_shard, len(names))
        key = f"{size[0]}x{size[1]}"
        shape = (-(-len(names) // n_shard) * n_shard, n_bands, *size)
        array = self._open_array(group, key, shape, n_shard)
        outdated = []
        for shard in self._shards(key, names, shape, n_shard):
            if journal.is_made(shard.label, shard.fingerprint):
                self.n_kept += len(shard.names)
                shown.advance(len(shard.names))
            else:
                # Forgotten before it goes: what takes its place may happen to be of its size.
                journal.add(shard.label, "", [])
                remove_outdated(shard.file)
                outdated.append(shard)
        # All at once: a name by itself would stand beside the place of another tile.
        array.attrs.put(
            {
                "tile_names": names,
                "band_names": [band.name for band in facts],
                "band_units": [band.unit for band in facts],
                "band_scales": [band.integer_scale if is_integer else 1.0 for band in facts],
                "crs": [None if place is None else place.crs for place in places],
                "transform": [None if place is None else list(place.transform) for place in places],
                **self._exporter.run_facts,
            }
        )
        for shard in outdated:
            pixels = self._stack(shard, (n_shard, *shape[1:]), pool)
            array[shard.first : shard.first + n_shard] = as_stored_stack(pixels, style, facts)
            # A shard with a tile that failed is not done: the next export tries it again.
            if self.failed.keys().isdisjoint(shard.names):
                journal.add(shard.label, shard.fingerprint, [shard.file])
            shown.advance(len(shard.names))

    def _shards(
        self, key: str, names: Sequence[str], shape: tuple[int, ...], n_shard: int
    ) -> Iterator[_Shard]:
        for number, first in enumerate(range(0, len(names), n_shard)):
            members = tuple(names[first : first + n_shard])
            yield _Shard(
                first,
                members,
                self._output_dir / STORE_NAME / key / "c" / str(number) / "0" / "0" / "0",
                f"{STORE_NAME}/{key}/{number}",
                self._fingerprint(members, shape),
            )

    def _open_array(self, group: Any, key: str, shape: tuple[int, ...], n_shard: int) -> Any:
        stored_type = np.dtype(self._style.stored_type)
        if key in group:
            array = group[key]
            is_fitting = array.shape == shape and array.shards == (n_shard, *shape[1:])
            if is_fitting and array.dtype == stored_type:
                return array
        return group.create_array(
            key,
            shape=shape,
            chunks=(1, *shape[1:]),
            shards=(n_shard, *shape[1:]),
            dtype=stored_type,
            fill_value=INTEGER_NODATA if stored_type == np.int16 else np.nan,
            dimension_names=("tile", "band", "y", "x"),
            overwrite=True,
        )

    def _fingerprint(self, names: Sequence[str], shape: tuple[int, ...]) -> str:
        digest = blake2b(repr(shape).encode(), digest_size=12)
        for name in names:
            facts = f"{name}\0{self._exporter.fingerprint(name)}\0"
            digest.update(facts.encode("utf-8", "replace"))
        return digest.hexdigest()

    def _stack(
        self, shard: _Shard, shape: tuple[int, ...], pool: ThreadPoolExecutor
    ) -> NDArray[np.float32]:
        stack = np.full(shape, np.nan, np.float32)

        def load(name: str) -> NDArray[np.float32] | TileError:
            try:
                tile = self._source.load(name, with_inputs=self._style.layers.has_change)
                return self._style.layers.of(tile).pixels
            except TileError as error:
                return error

        tiles = zip(stack, shard.names, pool.map(load, shard.names), strict=False)
        for slot, name, loaded in tiles:
            if isinstance(loaded, TileError):
                self.failed[name] = loaded
            else:
                slot[:] = loaded
                self.n_exported += 1
        return stack


def _open_store(zarr: Any, path: Path, names: Sequence[str]) -> Any:
    """Open the store, or begin it; nothing in it is changed.

    Raises:
        OutputError: It is damaged, or holds other tiles than those that are to be exported.
        OSError: It cannot be read or begun.
    """
    there: set[str] = set()
    file = path / _METADATA
    try:
        group = zarr.open_group(path, mode="a")
        for file in path.glob(f"*/{_METADATA}"):
            there.update(zarr.open_array(file.parent, mode="r").attrs.get("tile_names", ()))
        others = sorted(there.difference(names))
    except _DAMAGES as error:
        raise OutputError(
            f"{file} is damaged, or was not written by an export.",
            hint=f"Remove {path}, and the same command makes it anew; or give another "
            "--output-dir.",
            path=file,
        ) from error
    if others:
        raise OutputError(
            f"{path} holds {len(others)} of {len(there)} tiles that are not exported now, such as "
            f"{others[0]}: they would be lost.",
            hint="Give another --output-dir, or export all tiles (without --tile).",
            path=path,
        )
    return group


def as_stored_stack(
    stack: NDArray[np.float32], style: ExportStyle, facts: Any
) -> NDArray[np.float32] | NDArray[np.int16]:
    """Bring (tile, band, y, x) into the type in which it is stored."""
    if style.stored_type == "float32":
        return stack
    return np.stack([np.asarray(as_stored(t, facts, "int16"), dtype=np.int16) for t in stack])
