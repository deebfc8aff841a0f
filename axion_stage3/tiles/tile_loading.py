"""From the files of a pair to checked arrays in the units of the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from axion_stage3.errors import TileError, TilePixelsError, TileShapeError, UsageError
from axion_stage3.tiles.bands import MIN_TILE_PX, OPTICAL_BANDS, RADAR_BANDS
from axion_stage3.tiles.georeference import Georeference, agree, read_georeference
from axion_stage3.tiles.layouts import (
    OPTICAL_LAYOUTS,
    OUTPUT_LAYOUTS,
    RADAR_LAYOUTS,
    Layout,
    recognise,
)
from axion_stage3.tiles.npz_reader import NpzArchive
from axion_stage3.tiles.pixel_filling import fill_from_neighbours, resample_bilinear
from axion_stage3.tiles.units import (
    check_backscatter_db,
    check_backscatter_linear,
    check_reflectance,
    db_to_linear,
    linear_to_db,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import TilePair

USABLE_RANGE: Final = (-999.0, 1e6)
"""Stored values at or beyond these mark pixels without data: -9999, -32768, 1e20 are in use."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How stored values become reflectance and dB.

    Attributes:
        opt_scale: Stored optical values are divided by it; 10000 for digital numbers.
        opt_offset: Added to stored optical values before that; -1000 for digital numbers of
            Sentinel-2 products since processing baseline 04.00.
        s1_units: Units of stored radar values: ``db`` or ``linear`` (power).
        fill_invalid: Fill unusable pixels and mark them, instead of failing the tile.
        resample_s1: Resample a radar tile of another size to that of the optical one.

    Raises:
        UsageError: ``opt_scale`` is not a positive number, or ``opt_offset`` is not finite.
    """

    opt_scale: float = 1.0
    opt_offset: float = 0.0
    s1_units: Literal["db", "linear"] = "db"
    fill_invalid: bool = False
    resample_s1: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.opt_scale) and self.opt_scale > 0):
            raise UsageError(
                f"opt_scale must be a positive number, not {self.opt_scale}.",
                hint="--opt-scale 10000 divides digital numbers by 10000.",
            )
        if not math.isfinite(self.opt_offset):
            raise UsageError(
                f"opt_offset must be a finite number, not {self.opt_offset}.",
                hint="--opt-offset -1000 is for digital numbers since baseline 04.00.",
            )


@dataclass(frozen=True, slots=True, eq=False)
class LoadedTile:
    """A pair, ready for the network.

    Attributes:
        name: Name of the pair.
        opt_v2: (4, H, W) float32, reflectance; blue, green, red, nir.
        s1: (2, H, W) float32, backscatter in dB; vv, vh.
        valid_mask: (H, W) bool, False where a pixel of any band was filled; None if none was.
        georeference: Where the tile lies; None if that is not known.
    """

    name: str
    opt_v2: NDArray[np.float32]
    s1: NDArray[np.float32]
    valid_mask: NDArray[np.bool_] | None = None
    georeference: Georeference | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _InputTile:
    """One tile of a pair: its bands in the units of the network, the mask, the georeference."""

    bands: NDArray[np.float32]
    is_valid: NDArray[np.bool_] | None
    georeference: Georeference | None

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.bands.shape[1:]
        return height, width


_DEFAULTS: Final = LoadOptions()


def load_pair(pair: TilePair, options: LoadOptions = _DEFAULTS) -> LoadedTile:
    """Load and check both tiles of a pair.

    Args:
        pair: The pair.
        options: How stored values become reflectance and dB.

    Returns:
        The checked arrays.

    Raises:
        TileReadError: A file is not a readable NPZ.
        TileLayoutError: A file has none of the key layouts.
        TileShapeError: Rank, band count or size is wrong, or the two sizes differ.
        TileUnitsError: The values are not reflectance or not dB.
        TilePixelsError: Unusable pixels without ``fill_invalid``, or a tile of zeros.
        TileGeoreferenceError: A georeference is unusable, or they do not lie at the same place.
    """
    try:
        opt_v2 = _load_optical(pair.opt_v2_path, options)
        s1 = _load_radar(pair.s1_path, options)
        georeference = agree(
            [
                ("opt_v2", opt_v2.georeference, opt_v2.size),
                ("s1", s1.georeference, s1.size),
                ("--georeference", pair.georeference, opt_v2.size),
            ],
            tile_name=pair.name,
        )
        if s1.size != opt_v2.size:
            s1 = _resampled(s1, opt_v2, options, pair.s1_path)
    except TileError as error:
        error.tile_name = pair.name
        raise
    if opt_v2.is_valid is None or s1.is_valid is None:
        valid_mask = opt_v2.is_valid if s1.is_valid is None else s1.is_valid
    else:
        valid_mask = opt_v2.is_valid & s1.is_valid
    return LoadedTile(pair.name, opt_v2.bands, s1.bands, valid_mask, georeference)


def load_optical(path: Location, options: LoadOptions = _DEFAULTS) -> NDArray[np.float32]:
    """Load and check one optical tile: an opt_v2 or a truth.

    Args:
        path: The NPZ file.
        options: How stored values become reflectance.

    Returns:
        (4, H, W) float32, reflectance; blue, green, red, nir.

    Raises:
        TileError: As for ``load_pair``.
    """
    return _load_optical(path, options).bands


def load_radar(path: Location, options: LoadOptions = _DEFAULTS) -> NDArray[np.float32]:
    """Load and check one s1 tile.

    Args:
        path: The NPZ file.
        options: How stored values become dB.

    Returns:
        (2, H, W) float32, backscatter in dB; vv, vh.

    Raises:
        TileError: As for ``load_pair``.
    """
    return _load_radar(path, options).bands


def load_output(path: Location) -> NDArray[np.float32]:
    """Load one output tile; its units are not questioned.

    Args:
        path: The NPZ file, with the key ``opt_final`` or ``opt_v3``.

    Returns:
        (4, H, W) float32, reflectance; blue, green, red, nir.

    Raises:
        TileError: It cannot be read or has not the shape of an output.
    """
    return _read_bands(path, OUTPUT_LAYOUTS, OPTICAL_BANDS)[0]


def _load_optical(path: Location, options: LoadOptions) -> _InputTile:
    stored, georeference = _read_bands(path, OPTICAL_LAYOUTS, OPTICAL_BANDS)
    opt, is_valid = _usable(stored, OPTICAL_BANDS, options, path)
    if options.opt_offset != 0:
        opt += np.float32(options.opt_offset)
    if options.opt_scale != 1:
        opt /= np.float32(options.opt_scale)
    check_reflectance(opt, opt_scale=options.opt_scale, path=path)
    return _InputTile(opt, is_valid, georeference)


def _load_radar(path: Location, options: LoadOptions) -> _InputTile:
    stored, georeference = _read_bands(path, RADAR_LAYOUTS, RADAR_BANDS)
    s1, is_valid = _usable(stored, RADAR_BANDS, options, path)
    if options.s1_units == "linear":
        check_backscatter_linear(s1, path=path)
        s1 = linear_to_db(s1)
    check_backscatter_db(s1, was_linear=options.s1_units == "linear", path=path)
    return _InputTile(s1, is_valid, georeference)


def _read_bands(
    path: Location, layouts: Sequence[Layout], bands: Sequence[str]
) -> tuple[NDArray[np.float32], Georeference | None]:
    """Read the bands as they are stored, as a new array (band, y, x) of float32, and the place."""
    with NpzArchive(path) as archive:
        layout = recognise(archive.names, layouts, path=path)
        arrays = archive.read(layout.keys)
        georeference = read_georeference(archive, path)
    for key, array in arrays.items():
        if array.dtype.kind == "b":
            raise TilePixelsError(
                f"{path}: {key} holds booleans, not pixels.",
                hint="Store reflectance or dB as numbers.",
                path=path,
            )
    if layout.is_stacked:
        stored = arrays[layout.keys[0]]
        _check_stack(stored, layout.keys[0], bands, path)
    else:
        _check_bands(arrays, path)
    height, width = next(iter(arrays.values())).shape[-2:]
    if min(height, width) < MIN_TILE_PX:
        raise TileShapeError(
            f"{path} is {height} x {width} px; at least {MIN_TILE_PX} x {MIN_TILE_PX} px "
            "are needed.",
            hint="Leave this tile out, or cut larger ones.",
            path=path,
        )
    result = np.empty((len(bands), height, width), dtype=np.float32)
    # What float32 cannot hold becomes infinite here and is reported as such afterwards.
    with np.errstate(over="ignore", invalid="ignore"):
        if layout.is_stacked:
            result[:] = stored
        else:
            for index, key in enumerate(layout.keys):
                result[index] = arrays[key]
    return result, georeference


def _check_stack(stored: NDArray[Any], key: str, bands: Sequence[str], path: Location) -> None:
    if stored.ndim == 3 and stored.shape[0] == len(bands):
        return
    hint = "Store one array (band, y, x) per tile."
    if stored.ndim == 3 and stored.shape[2] == len(bands):
        hint = f"The bands come first: np.moveaxis({key}, -1, 0)."
    elif stored.ndim == 4:
        hint = "Store one file per tile, without the axis of the batch."
    raise TileShapeError(
        f"{path}: {key} has the shape {stored.shape}; ({len(bands)}, H, W) is needed, "
        f"with the bands {', '.join(bands)}.",
        hint=hint,
        path=path,
    )


def _check_bands(arrays: dict[str, NDArray[Any]], path: Location) -> None:
    shapes = {key: array.shape for key, array in arrays.items()}
    listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
    if any(len(shape) != 2 for shape in shapes.values()):
        raise TileShapeError(
            f"{path}: each band must have the shape (H, W), not {listed}.",
            hint="Store each band as a two-dimensional array.",
            path=path,
        )
    if len(set(shapes.values())) > 1:
        raise TileShapeError(
            f"{path}: the bands differ in size: {listed}.",
            hint="Resample them to one grid of 10 m.",
            path=path,
        )


def _usable(
    stored: NDArray[np.float32], bands: Sequence[str], options: LoadOptions, path: Location
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Fill unusable pixels or refuse them; the mask (y, x) is None if all are usable."""
    lowest, highest = stored.min(), stored.max()
    if lowest == highest == 0:
        raise TilePixelsError(
            f"{path} is zero throughout: it holds no data.",
            hint="Leave this tile out, or make it again.",
            path=path,
        )
    if lowest > USABLE_RANGE[0] and highest < USABLE_RANGE[1]:  # False for NaN too
        return stored, None
    is_valid = (stored > USABLE_RANGE[0]) & (stored < USABLE_RANGE[1])
    n_invalid = {
        band: int(np.count_nonzero(~valid)) for band, valid in zip(bands, is_valid, strict=True)
    }
    listed = ", ".join(f"{band} {n}" for band, n in n_invalid.items() if n)
    lost = [band for band, n in n_invalid.items() if n == stored[0].size]
    if lost or not options.fill_invalid:
        raise TilePixelsError(
            f"{path} has pixels that are NaN, infinite or without data: {listed} "
            f"of {stored[0].size} px each.",
            hint=f"No pixel of {', '.join(lost)} is usable: leave this tile out."
            if lost
            else "--fill-invalid fills them and marks them in valid_mask.",
            path=path,
        )
    filled = np.stack(
        [fill_from_neighbours(band, valid) for band, valid in zip(stored, is_valid, strict=True)]
    )
    return filled, np.logical_and.reduce(is_valid)


def _resampled(
    s1: _InputTile, opt_v2: _InputTile, options: LoadOptions, path: Location
) -> _InputTile:
    height, width = opt_v2.size
    if not options.resample_s1:
        raise TileShapeError(
            f"{path}: s1 has the shape {s1.bands.shape}, opt_v2 {opt_v2.bands.shape}; "
            "the sizes differ.",
            hint="--resample-s1 resamples s1 to the size of opt_v2 (both must cover "
            "the same ground).",
            path=path,
        )
    # Radar is averaged in power: a mean of dB would darken bright scatterers.
    resampled = linear_to_db(resample_bilinear(db_to_linear(s1.bands), height, width))
    if s1.is_valid is None:
        return _InputTile(resampled, None, s1.georeference)
    share = resample_bilinear(s1.is_valid[np.newaxis].astype(np.float32), height, width)
    return _InputTile(resampled, share[0] > 0.999, s1.georeference)
