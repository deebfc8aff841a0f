"""One tile of a run as files that a GIS opens: GeoTIFF, COG, PNG quick look, STAC item."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import axion_stage3
from axion_stage3.atomic_write import write_json
from axion_stage3.errors import OutputError, TileGeoreferenceError
from axion_stage3.exporting.composites import Stretch
from axion_stage3.exporting.export_layers import Layers
from axion_stage3.exporting.output_folder import make_folder
from axion_stage3.exporting.stac_documents import StacSubject, item_id_of, require_extent, stac_item
from axion_stage3.exporting.world_files import quick_look, write_quick_look
from axion_stage3.rasters.geotiff_writing import GeotiffStyle, write_geotiff
from axion_stage3.tiles.georeference import agree, read_georeference
from axion_stage3.tiles.layouts import OUTPUT_LAYOUTS, recognise
from axion_stage3.tiles.npz_reader import NpzArchive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from axion_stage3.exporting.stac_documents import AcquisitionTime
    from axion_stage3.rasters.raster_bands import RasterBands, StoredType
    from axion_stage3.runs.run_folder import RunFolder, RunTile
    from axion_stage3.tiles.georeference import Georeference
    from axion_stage3.tiles.georeference_tables import GeoreferenceTable

Format: TypeAlias = Literal["geotiff", "cog", "png", "stac", "zarr"]

COLLECTION_NAME: Final = "collection.json"
ITEM_SUFFIX: Final = ".item.json"
_EXPORT_VERSION: Final = 1
_TAG_PREFIX: Final = "AXION_"
_RUN_FACTS: Final = (
    "timesteps",
    "sampler",
    "seed",
    "samples",
    "precision",
    "opt_scale",
    "s1_units",
)


@dataclass(frozen=True, slots=True)
class ExportStyle:
    """What is made of each tile.

    Attributes:
        to: ``geotiff``, ``cog``, ``png``, ``stac`` (COG, quick look and item), or ``zarr``.
        layers: What the rasters hold beside opt_final.
        stored_type: How their pixels are stored.
        is_unreferenced_allowed: Whether tiles without a georeference are exported too.
        when: When the scenes were seen; needed for ``stac`` alone.
        stretch: Brightness of quick looks, the same for all.
        is_blended: Whether steps between tiles that touch are levelled in mosaics.
    """

    to: Format = "geotiff"
    layers: Layers = field(default_factory=Layers)
    stored_type: StoredType = "float32"
    is_unreferenced_allowed: bool = False
    when: AcquisitionTime | None = None
    stretch: Stretch = Stretch((0.0, 0.0, 0.0), 0.3)  # noqa: RUF009 - it is frozen
    is_blended: bool = True


class TileSource:
    """The tiles of a run, each with its place.

    Args:
        folder: The run.
        table: Georeferences by tile name; None for those that the tiles hold.
    """

    def __init__(self, folder: RunFolder, table: GeoreferenceTable | None) -> None:
        self.folder = folder
        self._table = table

    def load(self, name: str, *, with_inputs: bool = False) -> RunTile:
        """Load a tile.

        Raises:
            TileError: It cannot be read.
        """
        return self.folder.load(name, with_inputs=with_inputs)

    def place(self, tile: RunTile) -> Georeference | None:
        """Where a tile lies, by itself or by the table.

        Raises:
            TileGeoreferenceError: The two contradict each other.
        """
        listed = None if self._table is None else self._table.find(tile.name)
        return agreed_place(tile.name, tile.georeference, listed, _size(tile))

    def listed_place(self, name: str) -> Georeference | None:
        """Where the table says that a tile lies."""
        return None if self._table is None else self._table.find(name)


class TileExporter:
    """Exports tiles; safe to use from several threads.

    Args:
        source: The tiles.
        output_dir: Where the files go.
        style: What is made of each tile.
    """

    def __init__(self, source: TileSource, output_dir: Path, style: ExportStyle) -> None:
        self._source = source
        self._output_dir = output_dir
        self._style = style
        self.run_facts = run_facts(source.folder.manifest)

    def fingerprint(self, name: str) -> str:
        """Hash of everything that the files of a tile depend on."""
        style = self._style
        place = self._source.listed_place(name)
        opt_v2 = self._source.folder.input_path(name, "opt_v2") if style.layers.has_change else None
        facts = (
            _EXPORT_VERSION,
            axion_stage3.__version__,
            style.to,
            [band.name for band in style.layers.facts],
            style.stored_type,
            style.stretch if style.to in ("png", "stac") else None,
            None if style.when is None else style.when.properties,
            None if place is None else (place.crs, place.transform),
            sorted(self.run_facts.items()),
            _identity(self._source.folder.path(name)),
            None if opt_v2 is None else _identity(opt_v2),
        )
        return blake2b(repr(facts).encode("utf-8", "replace"), digest_size=12).hexdigest()

    def __call__(self, name: str) -> list[Path]:
        """Export a tile and return its files.

        Raises:
            TileError: It cannot be read, lacks a layer, or has no georeference.
            OutputError: A file cannot be written.
        """
        style = self._style
        tile = self._source.load(name, with_inputs=style.layers.has_change)
        place = self._source.place(tile)
        if place is None and (not style.is_unreferenced_allowed or style.to == "stac"):
            raise not_referenced(name, is_stac=style.to == "stac")
        bands = style.layers.of(tile)
        path = (self._output_dir / name).with_suffix(".tif")
        make_folder(path.parent)
        return write_raster_files(path, name, bands, place, self._style, self.run_facts)


def write_raster_files(
    path: Path,
    name: str,
    bands: RasterBands,
    place: Georeference | None,
    style: ExportStyle,
    facts: Mapping[str, str],
) -> list[Path]:
    """Write everything that a style makes of one raster.

    Args:
        path: The raster file; the others get its name with other endings.
        name: Name of the tile.
        bands: Pixels and what they are.
        place: Where it lies.
        style: What is made.
        facts: Facts about the run.

    Returns:
        The files.

    Raises:
        OutputError: A file cannot be written.
        TileGeoreferenceError: The CRS is not known.
    """
    files = []
    if style.to != "png":
        geotiff = GeotiffStyle(style.to != "geotiff", style.stored_type, tags(name, facts))
        write_geotiff(path, bands, place, geotiff)
        files.append(path)
    if style.to in ("png", "stac"):
        picture = path.with_suffix(".png")
        write_quick_look(picture, quick_look(bands.pixels[:4], style.stretch), place)
        files.append(picture)
    if style.to == "stac":
        files.append(write_item(path, name, bands, place, style, facts))
    return files


def write_item(
    path: Path,
    name: str,
    bands: RasterBands,
    place: Georeference | None,
    style: ExportStyle,
    facts: Mapping[str, str],
) -> Path:
    """Write the STAC item beside a raster; arguments, returns and errors as above."""
    assert place is not None, "a place is asked for before"
    assert style.when is not None, "a time is asked for before"
    subject = StacSubject(
        item_id=item_id_of(name),
        georeference=place,
        size=bands.size,
        facts=bands.facts,
        stored_type=style.stored_type,
        assets={"data": path.name, "thumbnail": path.with_suffix(".png").name},
    )
    up = "../" * (len(PurePosixPath(name).parts) - 1) or "./"
    target = path.with_suffix(ITEM_SUFFIX)
    write_json(target, stac_item(subject, style.when, facts, f"{up}{COLLECTION_NAME}"))
    return target


def read_item(path: Path) -> Mapping[str, Any]:
    """Read the STAC item beside a raster.

    Raises:
        OutputError: It is damaged.
    """
    try:
        item: Mapping[str, Any] = json.loads(path.read_bytes())
        require_extent(item)
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise OutputError(
            f"{path} cannot be read as a STAC item, so that the collection would lack it.",
            hint="Remove it: an export of its tile makes it anew.",
            path=path,
        ) from error
    return item


def run_facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a run recorded about how its tiles were made, as short texts."""
    configuration = manifest.get("configuration")
    known = configuration if isinstance(configuration, dict) else {}
    facts = {key: str(known[key]) for key in _RUN_FACTS if known.get(key) is not None}
    if manifest.get("checkpoint_sha256"):
        facts["checkpoint_sha256"] = str(manifest["checkpoint_sha256"])
    return {key: json.dumps(value)[1:-1] for key, value in facts.items()}


def tags(name: str, facts: Mapping[str, str]) -> dict[str, str]:
    """The tags of a raster: what it is, and how it was made."""
    return {
        "TIFFTAG_SOFTWARE": f"axion-stage3 {axion_stage3.__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": "Synthetic optical tile grounded in Sentinel-1; reflectance",
        f"{_TAG_PREFIX}TILE": json.dumps(name)[1:-1],
        **{f"{_TAG_PREFIX}{key.upper()}": value for key, value in facts.items()},
    }


def agreed_place(
    name: str, own: Georeference | None, listed: Georeference | None, size: tuple[int, int]
) -> Georeference | None:
    """The place of a tile by its own word and a table's.

    Raises:
        TileGeoreferenceError: The two contradict each other.
    """
    sources = [("the tile", own, size), ("--georeference", listed, size)]
    return agree(sources, tile_name=name)


def tile_place(source: TileSource, name: str) -> tuple[Georeference | None, tuple[int, int]]:
    """Georeference, height and width of a tile, from its headers alone.

    Raises:
        TileError: It cannot be read, or its georeferences contradict each other.
    """
    path = source.folder.path(name)
    with NpzArchive(path) as archive:
        layout = recognise(archive.names, OUTPUT_LAYOUTS, path=path, tile_name=name)
        height, width = archive.headers()[layout.keys[0]].shape[-2:]
        own = read_georeference(archive, path)
    size = (height, width)
    return agreed_place(name, own, source.listed_place(name), size), size


def not_referenced(name: str, *, is_stac: bool = False) -> TileGeoreferenceError:
    """The error of a tile whose place is not known."""
    return TileGeoreferenceError(
        f"{name} has no georeference: a GIS would not know where to put it.",
        hint="Give --georeference tiles.csv"
        + ("." if is_stac else ", or --allow-unreferenced to export it without a place."),
        tile_name=name,
    )


def _size(tile: RunTile) -> tuple[int, int]:
    height, width = tile.opt_final.shape[1:]
    return height, width


def _identity(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return "missing"
    return f"{facts.st_size}:{facts.st_mtime_ns}"
