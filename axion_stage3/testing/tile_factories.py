"""Synthetic tiles that look like real ones to every part of the program.

A landscape of water, fields, bare soil and buildings is drawn from a seed; the optical truth and
the radar are two views of it. The radar has multiplicative speckle, the optical tile has texture,
and opt_v2 is the truth as a Stage 2 would return it: blurred, slightly off in colour, with patches
of the wrong brightness. Equal arguments give equal arrays.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import UsageError
from axion_stage3.tiles.layouts import OPTICAL_LAYOUTS, RADAR_LAYOUTS, TRUTH_LAYOUTS, Layout
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.pairing import TilePair
from axion_stage3.tiles.pixel_filling import resample_bilinear

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

_REFLECTANCE: Final = np.array(
    [  # blue, green, red, nir
        (0.045, 0.040, 0.025, 0.015),  # water
        (0.030, 0.060, 0.040, 0.340),  # fields in leaf
        (0.080, 0.110, 0.140, 0.220),  # bare soil
        (0.130, 0.140, 0.150, 0.200),  # buildings
    ]
)
_BACKSCATTER_DB: Final = np.array(
    [  # vv, vh
        (-21.0, -28.0),
        (-11.0, -16.5),
        (-13.0, -20.5),
        (-4.0, -11.0),
    ]
)
_N_LOOKS: Final = 4.4
"""Equivalent number of looks of Sentinel-1 GRD at 10 m."""


@dataclass(frozen=True, slots=True)
class SyntheticTile:
    """One synthetic tile.

    Attributes:
        opt_v2: (4, H, W) float32, reflectance as from Stage 2.
        s1: (2, H, W) float32, backscatter in dB.
        truth: (4, H, W) float32, the reflectance that opt_v2 should have had.
    """

    opt_v2: NDArray[np.float32]
    s1: NDArray[np.float32]
    truth: NDArray[np.float32]


def make_tile(seed: int, height: int = 64, width: int | None = None) -> SyntheticTile:
    """Draw a tile.

    Args:
        seed: Any non-negative number.
        height: Height in pixels.
        width: Width in pixels; the height if left out.

    Returns:
        The tile and its truth.
    """
    width = height if width is None else width
    random = np.random.default_rng(seed)
    cover = _land_cover(random, height, width)
    texture = (
        1
        + 0.08 * _smooth_field(random, height, width, 2)
        + 0.03 * random.standard_normal((height, width))
    )
    truth = np.einsum("kb,kyx->byx", _REFLECTANCE, cover) * texture
    power = np.einsum("kb,kyx->byx", 10 ** (_BACKSCATTER_DB / 10), cover)
    speckle = random.gamma(_N_LOOKS, 1 / _N_LOOKS, size=power.shape)
    return SyntheticTile(
        opt_v2=_as_from_stage2(random, truth),
        s1=np.asarray(10 * np.log10(power * speckle), dtype=np.float32),
        truth=truth.astype(np.float32),
    )


def write_pair(
    folder: Path,
    name: str,
    *,
    seed: int | None = None,
    height: int = 64,
    width: int | None = None,
    optical_layout: str = "opt_v2",
    radar_layout: str = "s1",
    has_truth: bool = False,
) -> TilePair:
    """Write a synthetic pair as ``folder/opt_v2/NAME`` and ``folder/s1/NAME``.

    Args:
        folder: Folder of the two (three) folders; made if missing.
        name: Relative posix path ending in ``.npz``.
        seed: Seed of the tile; one that follows from the name if left out.
        height: Height in pixels.
        width: Width in pixels; the height if left out.
        optical_layout: ``opt_v2``, ``s2_bands`` or ``opt_v2_bands``.
        radar_layout: ``s1``, ``s1_bands`` or ``vv_vh``.
        has_truth: Whether ``folder/truth/NAME`` is written too (``s2_bands``).

    Returns:
        The pair.

    Raises:
        UsageError: There is no such layout.
        OutputError: A file cannot be written.
    """
    tile = make_tile(zlib.crc32(name.encode()) if seed is None else seed, height, width)
    pair = TilePair(name, str(folder / "opt_v2" / name), str(folder / "s1" / name))
    save_bands(folder / "opt_v2" / name, tile.opt_v2, layout_named(optical_layout, OPTICAL_LAYOUTS))
    save_bands(folder / "s1" / name, tile.s1, layout_named(radar_layout, RADAR_LAYOUTS))
    if has_truth:
        save_bands(folder / "truth" / name, tile.truth, TRUTH_LAYOUTS[0])
    return pair


def write_pairs(
    folder: Path, n_tiles: int, *, sizes: Sequence[int] = (64,), seed: int = 0
) -> list[TilePair]:
    """Write synthetic pairs ``tile_000.npz``, ..., through all sizes and key layouts in turn.

    Args:
        folder: As for ``write_pair``.
        n_tiles: Number of pairs.
        sizes: Heights and widths in pixels.
        seed: Seed of the first tile; the others follow.

    Returns:
        The pairs, in the order of their names.
    """
    n_digits = max(3, len(str(n_tiles - 1)))
    return [
        write_pair(
            folder,
            f"tile_{index:0{n_digits}d}.npz",
            seed=seed + index,
            height=sizes[index % len(sizes)],
            optical_layout=OPTICAL_LAYOUTS[index % len(OPTICAL_LAYOUTS)].name,
            radar_layout=RADAR_LAYOUTS[index // 2 % len(RADAR_LAYOUTS)].name,
        )
        for index in range(n_tiles)
    ]


def save_bands(
    path: Path,
    bands: NDArray[Any],
    layout: Layout,
    *,
    dtype: DTypeLike | None = None,
) -> None:
    """Write an array of bands in a key layout; folders are made.

    Args:
        path: The NPZ file.
        bands: (band, y, x).
        layout: The key layout; it must have as many bands.
        dtype: Type to store; that of ``bands`` if left out.

    Raises:
        OutputError: The file cannot be written.
    """
    stored = bands if dtype is None else bands.astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    if layout.is_stacked:
        write_npz(path, {layout.keys[0]: stored})
    else:
        write_npz(path, dict(zip(layout.keys, stored, strict=True)))


def layout_named(name: str, layouts: Sequence[Layout]) -> Layout:
    """Find a layout by its name.

    Raises:
        UsageError: There is no such layout.
    """
    for layout in layouts:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in layouts)
    raise UsageError(f"There is no key layout {name!r}.", hint=f"Known: {known}.")


def _smooth_field(
    random: np.random.Generator, height: int, width: int, scale_px: int
) -> NDArray[np.float64]:
    """A smooth field of about unit variance that varies over ``scale_px`` pixels."""
    coarse = random.standard_normal((1, height // scale_px + 2, width // scale_px + 2))
    return np.asarray(1.5 * resample_bilinear(coarse, height, width)[0], dtype=np.float64)


def _land_cover(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Shares (cover, y, x) of the four covers, with edges about a pixel wide."""
    scores = np.stack(
        [
            _smooth_field(random, height, width, 24) + _smooth_field(random, height, width, 8)
            for _ in _REFLECTANCE
        ]
    )
    scores -= np.array([0.6, -0.6, 0.0, 0.9])[:, np.newaxis, np.newaxis]
    odds = np.exp(8 * (scores - scores.max(axis=0)))
    return np.asarray(odds / odds.sum(axis=0))


def _as_from_stage2(random: np.random.Generator, truth: NDArray[np.float64]) -> NDArray[np.float32]:
    height, width = truth.shape[1:]
    half = resample_bilinear(truth, max(height // 2, 1), max(width // 2, 1))
    blurred = resample_bilinear(half, height, width)
    gain = np.exp(0.05 * random.standard_normal((truth.shape[0], 1, 1)))
    patches = 1 + 0.1 * _smooth_field(random, height, width, 20)
    return np.asarray(blurred * gain * patches, dtype=np.float32)
