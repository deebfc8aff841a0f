"""The output folder of a run as a whole: its tiles, and what each was made from.

A folder that holds nothing but output tiles will do; what the run recorded about itself (where its
inputs are, in which units) is used where it is there.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from axion_stage3.errors import InputError, InputFolderError, TileReadError, TileShapeError
from axion_stage3.rasters.raster_pairing import RasterPair, find_raster_pairs, has_rasters
from axion_stage3.rasters.raster_tiles import load_raster_pair
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.manifest import read_manifest
from axion_stage3.runs.summary import SUMMARY_NAME
from axion_stage3.storage.locations import require_regular
from axion_stage3.tiles.georeference import Georeference, read_georeference
from axion_stage3.tiles.npz_reader import NpzArchive
from axion_stage3.tiles.pairing import TilePair, find_tiles
from axion_stage3.tiles.tile_loading import (
    LoadOptions,
    load_optical,
    load_output,
    load_pair,
    load_radar,
)
from axion_stage3.tiles.tile_names import name_fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAVED_KEYS: Final = ("opt_v2", "s1", "opt_final_std")
_MASK_KEY: Final = "valid_mask"


@dataclass(frozen=True, slots=True)
class RunTile:
    """One tile of a run, with as much of its inputs as could be found.

    Attributes:
        name: The tile's name.
        opt_final: (4, H, W) float32, reflectance.
        opt_v2: (4, H, W) float32, reflectance; None if its file is not known.
        s1: (2, H, W) float32, dB; None if its file is not known.
        opt_final_std: (4, H, W) float32, spread of the draws; None with a single draw.
        valid_mask: (H, W) bool, False where input pixels had been filled; None if none were.
        georeference: Where the tile lies; None if that is not known.
    """

    name: str
    opt_final: NDArray[np.float32]
    opt_v2: NDArray[np.float32] | None = None
    s1: NDArray[np.float32] | None = None
    opt_final_std: NDArray[np.float32] | None = None
    valid_mask: NDArray[np.bool_] | None = None
    georeference: Georeference | None = None


class RunFolder:
    """An output folder, opened for reading.

    Args:
        output_dir: The folder that ``infer`` wrote.
        opt_v2_dir: Folder of the opt_v2 tiles; None for the one that the run recorded.
        s1_dir: Folder of the s1 tiles; None for the one that the run recorded.

    Attributes:
        output_dir: The folder.
        manifest: What the run recorded about itself; empty if nothing is there.
        load_options: How the run read its tiles; the defaults where it did not say.
        opt_v2_dir: Folder of the opt_v2 tiles; None if it is not known or not there.
        s1_dir: Folder of the s1 tiles; None if it is not known or not there.

    Raises:
        InputFolderError: The folder is not there, or a folder that was given is not.
    """

    def __init__(
        self, output_dir: Path, *, opt_v2_dir: Path | None = None, s1_dir: Path | None = None
    ) -> None:
        for folder in (output_dir, opt_v2_dir, s1_dir):
            if folder is not None and not folder.is_dir():
                what = "is not a folder" if folder.exists() else "does not exist"
                raise InputFolderError(
                    f"The folder {folder} {what}.", hint="Check the path.", path=folder
                )
        self.output_dir = output_dir
        self.manifest = _latest_manifest(output_dir / RUNS_FOLDER)
        self._configuration = _mapping(self.manifest.get("configuration"))
        self.load_options = _load_options(self._configuration)
        self.opt_v2_dir = opt_v2_dir or self._recorded_folder("opt_v2_dir")
        self.s1_dir = s1_dir or self._recorded_folder("s1_dir")
        self._by_file_name: dict[Path, dict[str, Path | None]] = {}

    def tiles(self) -> dict[str, Path]:
        """Find the output tiles, by name, sorted.

        Raises:
            InputFolderError: The folder cannot be read.
        """
        return find_tiles(self.output_dir)

    def require_tiles(self) -> dict[str, Path]:
        """Find the output tiles where there must be some; as `tiles`.

        Raises:
            InputFolderError: The folder cannot be read.
            InputError: The folder holds no output tile.
        """
        tiles = self.tiles()
        if not tiles:
            raise InputError(
                f"{self.output_dir} holds no output tile.",
                hint="Is this the output folder of a run?",
                path=self.output_dir,
            )
        return tiles

    def path(self, name: str) -> Path:
        """Return where the output tile ``name`` stands.

        Raises:
            TileReadError: The name leads out of the folder, as only a foreign document could say.
        """
        fault = name_fault(name)
        if fault is not None:
            raise TileReadError(
                f"The tile name {name!r} is not usable: {fault}.",
                hint="Leave it out; infer writes no such name.",
                tile_name=name,
            )
        return self.output_dir / name

    def summary(self) -> dict[str, Any] | None:
        """Return the document of ``inference_summary.json``; None if missing or damaged."""
        path = self.output_dir / SUMMARY_NAME
        try:
            require_regular(path)
            document = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def input_path(self, name: str, kind: Literal["opt_v2", "s1"]) -> Path | None:
        """Find the input file of a tile: the same relative path, else the same file name.

        Args:
            name: The tile's name.
            kind: Which input.

        Returns:
            The file; None if the folder is not known, or no file or several have the name.

        Raises:
            InputFolderError: The folder cannot be read.
        """
        folder = self.opt_v2_dir if kind == "opt_v2" else self.s1_dir
        return None if folder is None else self.counterpart(name, folder)

    def counterpart(self, name: str, folder: Path) -> Path | None:
        """Find the tile that belongs to ``name`` in any folder, such as one of truth tiles.

        Arguments, returns and errors as for `input_path`.
        """
        if name_fault(name) is not None:
            return None
        path = folder / name
        if path.is_file():
            return path
        if folder not in self._by_file_name:
            self._by_file_name[folder] = _lone_file_names(folder)
        return self._by_file_name[folder].get(name.rpartition("/")[2])

    def load(self, name: str, *, with_inputs: bool = True) -> RunTile:
        """Load a tile, and its inputs from the output file or else from the input folders.

        Args:
            name: The tile's name.
            with_inputs: Whether inputs are looked for beyond the output file.

        Returns:
            The tile.

        Raises:
            TileError: The output or an input that is there cannot be read.
            InputFolderError: An input folder cannot be read.
            MissingExtraError: The inputs are GeoTIFFs, and rasterio is not installed.
        """
        path = self.path(name)
        opt_final = load_output(path)
        with NpzArchive(path) as archive:
            saved = archive.read([key for key in _SAVED_KEYS if key in archive.names])
            mask = archive.read([_MASK_KEY])[_MASK_KEY] if _MASK_KEY in archive.names else None
            georeference = read_georeference(archive, path)
        for key, array in saved.items():
            n_bands = 2 if key == "s1" else 4
            if array.shape != (n_bands, *opt_final.shape[1:]) or array.dtype.kind != "f":
                raise TileShapeError(
                    f"{path}: {key} is {array.dtype} of shape {array.shape}; it does not fit "
                    f"opt_final, {opt_final.shape}.",
                    hint="Run the tile again: --existing overwrite.",
                    path=path,
                    tile_name=name,
                )
        opt_v2, s1 = saved.get("opt_v2"), saved.get("s1")
        if with_inputs:
            opt_v2, s1 = self._inputs(name, opt_v2, s1)
        return RunTile(
            name,
            opt_final,
            opt_v2=_same_size(opt_v2, opt_final),
            s1=_same_size(s1, opt_final),
            opt_final_std=saved.get("opt_final_std"),
            valid_mask=_as_mask(mask, opt_final),
            georeference=georeference,
        )

    def _inputs(
        self, name: str, opt_v2: NDArray[Any] | None, s1: NDArray[Any] | None
    ) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """What the output file saved, completed from the input folders, read as the run did."""
        if opt_v2 is not None and s1 is not None:
            return opt_v2, s1
        if (pair := self._raster_pairs.get(name)) is not None:
            tile = load_raster_pair(pair, self.load_options)
            return (tile.opt_v2 if opt_v2 is None else opt_v2), (tile.s1 if s1 is None else s1)
        opt_v2_path, s1_path = self.input_path(name, "opt_v2"), self.input_path(name, "s1")
        if opt_v2_path is not None and s1_path is not None:
            tile = load_pair(TilePair(name, opt_v2_path, s1_path), self.load_options)
            return (tile.opt_v2 if opt_v2 is None else opt_v2), (tile.s1 if s1 is None else s1)
        if opt_v2 is None and opt_v2_path is not None:
            opt_v2 = load_optical(opt_v2_path, self.load_options)
        if s1 is None and s1_path is not None:
            s1 = load_radar(s1_path, self.load_options)
        return opt_v2, s1

    @cached_property
    def _raster_pairs(self) -> dict[str, RasterPair]:
        """The pairs of input folders that hold GeoTIFFs, by the names of their outputs."""
        if self.opt_v2_dir is None or self.s1_dir is None or not has_rasters(self.opt_v2_dir):
            return {}
        try:
            pairing = find_raster_pairs(self.opt_v2_dir, self.s1_dir, output_dir=self.output_dir)
        except InputError:  # these are not the rasters that the run had
            return {}
        return {pair.name: pair for pair in pairing.pairs if isinstance(pair, RasterPair)}

    def _recorded_folder(self, entry: str) -> Path | None:
        text = self._configuration.get(entry)
        if not isinstance(text, str) or not text or "\0" in text:
            return None
        folder = self._start_folder() / text
        return folder if folder.is_dir() else None

    def _start_folder(self) -> Path:
        """The folder the run was started in, as far as its relative output path gives it away."""
        recorded = Path(str(self._configuration.get("output_dir", ""))).parts
        actual = self.output_dir.resolve().parts
        is_below = 0 < len(recorded) < len(actual) and actual[-len(recorded) :] == recorded
        return Path(*actual[: -len(recorded)]) if is_below else Path()


def _latest_manifest(runs_folder: Path) -> dict[str, Any]:
    """The manifest of the last session; those of shards count too."""
    manifests = [read_manifest(path) for path in sorted(runs_folder.glob("run-manifest*.json"))]
    known = [manifest for manifest in manifests if manifest]
    return max(known, key=lambda manifest: str(manifest.get("started_at")), default={})


def _load_options(configuration: dict[str, Any]) -> LoadOptions:
    """How the run read its tiles; the defaults where it did not say, or not sensibly."""
    opt_scale = configuration.get("opt_scale")
    opt_offset = configuration.get("opt_offset")
    return LoadOptions(
        opt_scale=opt_scale
        if isinstance(opt_scale, int | float) and 0 < opt_scale < math.inf
        else 1.0,
        opt_offset=opt_offset
        if isinstance(opt_offset, int | float) and math.isfinite(opt_offset)
        else 0.0,
        s1_units="linear" if configuration.get("s1_units") == "linear" else "db",
        fill_invalid=configuration.get("fill_invalid") is True,
        resample_s1=configuration.get("resample_s1") is True,
    )


def _lone_file_names(folder: Path) -> dict[str, Path | None]:
    """Files below a folder by file name; None where several have the same."""
    found: dict[str, Path | None] = {}
    for name, path in find_tiles(folder).items():
        file_name = name.rpartition("/")[2]
        found[file_name] = None if file_name in found else path
    return found


def _same_size(
    array: NDArray[Any] | None, opt_final: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """The array if it covers the output pixel by pixel; an input of another size is left out."""
    if array is None or array.shape[1:] != opt_final.shape[1:]:
        return None
    return np.asarray(array, dtype=np.float32)


def _as_mask(
    stored: NDArray[Any] | None, opt_final: NDArray[np.float32]
) -> NDArray[np.bool_] | None:
    """The mask if it covers the output and leaves out a pixel."""
    if stored is None or stored.shape != opt_final.shape[1:] or stored.all():
        return None
    return np.asarray(stored, dtype=np.bool_)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
