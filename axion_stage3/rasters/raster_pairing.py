"""Which optical raster belongs to which radar raster, in folders of GeoTIFFs.

A raster is one file with all its bands (``tile_001.tif``) or one file a band
(``tile_001_B02.tif``, ``..._B03``, ``..._B04``, ``..._B08``; ``tile_001_VV.tif``, ``..._VH``). The
rules for names are those of NPZ tiles: the same relative path first, else a file name that is there
once on both sides. Large rasters are scenes: they do not become tiles but GeoTIFFs.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import (
    InputFolderError,
    NoTilePairsError,
    TileCollisionError,
    TileReadError,
)
from axion_stage3.rasters.rasterio_access import gdal_session, open_geotiff
from axion_stage3.storage.locations import as_folder
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS
from axion_stage3.tiles.pairing import Pairing, TilePair, refuse_reserved
from axion_stage3.tiles.tile_names import name_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LARGEST_TILE_PX: Final = 2048
"""A raster with a longer side is a scene."""

_SUFFIXES: Final = (".tif", ".tiff")
_OPTICAL_SUFFIX: Final = re.compile(
    r"(?i)(?P<stem>.+?)[_.-](?P<band>B0?2|B0?3|B0?4|B0?8|blue|green|red|nir)(?:_10m)?"
)
_RADAR_SUFFIX: Final = re.compile(r"(?i)(?P<stem>.+?)[_.-](?P<band>VV|VH)")
_BAND_OF: Final = {
    "b2": "blue", "b02": "blue", "b3": "green", "b03": "green",
    "b4": "red", "b04": "red", "b8": "nir", "b08": "nir",
}  # fmt: skip
_SHOWN_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class RasterPair(TilePair):
    """An optical and a radar raster.

    Attributes:
        opt_v2_more: Files of green, red and nir, where each band is a file of its own.
        s1_more: File of vh, likewise.
    """

    opt_v2_more: tuple[Path, ...] = ()
    s1_more: tuple[Path, ...] = ()

    @property
    def more_paths(self) -> tuple[Path, ...]:
        """The files beside the first of each kind."""
        return (*self.opt_v2_more, *self.s1_more)

    @property
    def is_scene(self) -> bool:
        """Whether the output is a GeoTIFF, written as it is computed."""
        return not self.name.endswith(".npz")


def has_rasters(folder: Path) -> bool:
    """Whether a folder holds a GeoTIFF, and no NPZ file, at any depth."""
    found = False
    for _, _, files in os.walk(folder):
        for name in files:
            if name.lower().endswith(".npz") and not name.startswith("."):
                return False
            found = found or name.lower().endswith(_SUFFIXES)
    return found


def find_raster_pairs(opt_v2_dir: Path, s1_dir: Path, *, output_dir: Path | None = None) -> Pairing:
    """Match the rasters of two folders.

    Args:
        opt_v2_dir: Folder of optical rasters.
        s1_dir: Folder of radar rasters.
        output_dir: Folder of outputs, left out of the search.

    Returns:
        The pairs; those of scenes have names that end in ``.tif``.

    Raises:
        InputFolderError: A folder is missing or cannot be read.
        NoTilePairsError: The folders have no raster in common.
        TileCollisionError: Two rasters would be written to one output file, or two files be one.
        MissingExtraError: rasterio is not installed.
    """
    optical = _grouped(opt_v2_dir, output_dir, _OPTICAL_SUFFIX, OPTICAL_BANDS)
    radar = _grouped(s1_dir, output_dir, _RADAR_SUFFIX, RADAR_BANDS)
    partners = _partners(optical, radar)
    if not partners:
        raise _no_pairs(opt_v2_dir, optical, s1_dir, radar)
    _refuse_collisions(partners)
    pairs = []
    with gdal_session():
        for stem, other in sorted(partners.items()):
            first, *more = optical[stem]
            s1_first, *s1_more = radar[other]
            name = f"{stem}.tif" if _is_scene(first) else f"{stem}.npz"
            pairs.append(
                RasterPair(name, first, s1_first, opt_v2_more=tuple(more), s1_more=tuple(s1_more))
            )
    used = set(partners.values())
    return Pairing(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.name)),
        unmatched_opt_v2=tuple(sorted(optical.keys() - partners.keys())),
        unmatched_s1=tuple(sorted(radar.keys() - used)),
    )


def _is_scene(path: Path) -> bool:
    try:
        with open_geotiff(path) as dataset:
            return bool(max(dataset.shape) > LARGEST_TILE_PX)
    except TileReadError:  # reading the tile says so, and fails it alone
        return False


def _grouped(
    folder: Path, output_dir: Path | None, suffix: re.Pattern[str], bands: Sequence[str]
) -> dict[str, tuple[Path, ...]]:
    """The files of each raster, in the order of the bands, by their common name."""
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    whole: dict[str, Path] = {}
    for relative, path in _walk(folder, output_dir):
        stem = relative.rpartition(".")[0]
        match = suffix.fullmatch(stem)
        files, key = (whole, stem) if match is None else (groups[match["stem"]], _band_of(match))
        if key in files:
            raise _two_files(files[key], path)
        files[key] = path
    # Where a band is missing, reading says so by the raster's name.
    ordered = {
        stem: tuple(files[band] for band in bands if band in files)
        for stem, files in groups.items()
    }
    for stem in ordered.keys() & whole.keys():
        raise _two_files(whole[stem], ordered[stem][0])
    return {**ordered, **{stem: (path,) for stem, path in whole.items()}}


def _band_of(match: re.Match[str]) -> str:
    band = match["band"].lower()
    return _BAND_OF.get(band, band)


def _two_files(first: Path, second: Path) -> TileCollisionError:
    return TileCollisionError(
        f"{first} and {second} would be the same raster.",
        hint="Remove or rename one of them.",
        path=second,
    )


def _walk(folder: Path, output_dir: Path | None) -> Iterator[tuple[str, Path]]:
    """Yield the GeoTIFFs below a folder that have names an output can have."""
    if not folder.is_dir():
        raise InputFolderError(
            f"The folder {folder} does not exist.", hint="Check the path.", path=folder
        )
    excluded = None if output_dir is None else output_dir.resolve()
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (Path(parent) / name).resolve() != excluded
        )
        for name in sorted(files):
            path = Path(parent) / name
            relative = path.relative_to(folder).as_posix()
            if name.startswith(".") or not name.lower().endswith(_SUFFIXES):
                continue
            is_inside = path.is_file() and path.resolve().is_relative_to(root)
            if is_inside and name_fault(relative) is None:
                yield relative, path


def _partners(optical: Mapping[str, object], radar: Mapping[str, object]) -> dict[str, str]:
    """The radar name of each optical name that has one."""
    partners = {name: name for name in optical if name in radar}
    lone_optical = Counter(_file_name(name) for name in optical)
    lone_radar = Counter(_file_name(name) for name in radar)
    by_file_name = {_file_name(name): name for name in radar if name not in partners}
    for name in optical:
        file_name = _file_name(name)
        if name not in partners and lone_optical[file_name] == lone_radar[file_name] == 1:
            partners[name] = by_file_name[file_name]
    return partners


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]


def _refuse_collisions(names: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", name).casefold()
        refuse_reserved(f"{key}.npz", name)
        if key in seen:
            raise TileCollisionError(
                f"The rasters {seen[key]} and {name} would be written to one place.",
                hint="Rename one of them; names that differ only in case count as the same.",
                tile_name=name,
            )
        seen[key] = name


def _no_pairs(
    opt_v2_dir: Path, optical: Mapping[str, object], s1_dir: Path, radar: Mapping[str, object]
) -> NoTilePairsError:
    found = []
    for folder, names in ((opt_v2_dir, sorted(optical)), (s1_dir, sorted(radar))):
        shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
        found.append(f"{as_folder(folder)} holds {len(names)} GeoTIFF rasters ({shown or 'none'})")
    return NoTilePairsError(
        f"No matching tile pairs found between {as_folder(opt_v2_dir)} and {as_folder(s1_dir)}: "
        f"{', '.join(found)}.",
        hint="A pair has the same name in both folders: tile_001.tif, or tile_001_B02.tif with "
        "its other bands and tile_001_VV.tif with tile_001_VH.tif.",
        path=opt_v2_dir,
    )
