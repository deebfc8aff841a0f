"""The tiles that a benchmark works on, in memory and in folders."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from axion_stage3.errors import UsageError
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.bands import MIN_TILE_PX
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from axion_stage3.tiles.pairing import TilePair

TileSource = Literal["examples", "given", "drawn"]

EXAMPLE_TILES: Final = Path(__file__).parents[2] / "examples" / "tiles"
MAX_DISTINCT_TILES: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Distinct tiles of one size; whatever needs more of them takes them in turn.

    Attributes:
        source: Where they come from.
        opt_v2: (N, 4, H, W) float32, reflectance.
        s1: (N, 2, H, W) float32, backscatter in dB.
    """

    source: TileSource
    opt_v2: NDArray[np.float32]
    s1: NDArray[np.float32]

    @property
    def n_distinct(self) -> int:
        """Number of distinct tiles."""
        return len(self.opt_v2)

    @property
    def tile_px(self) -> int:
        """Height and width, in pixels."""
        return int(self.opt_v2.shape[-1])

    def resized(self, tile_px: int) -> Workload:
        """The same tiles, cut or continued by reflection to another size in pixels."""
        return Workload(self.source, _resized(self.opt_v2, tile_px), _resized(self.s1, tile_px))

    def batch(self, n_tiles: int) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
        """Stack tiles for the network: opt_v2, s1 and their names."""
        picked = np.arange(n_tiles) % self.n_distinct
        return self.opt_v2[picked], self.s1[picked], [f"tile_{i:06d}.npz" for i in range(n_tiles)]

    def write(self, folder: Path, n_tiles: int) -> tuple[Path, Path]:
        """Write pairs as most users have them, with ``numpy.savez_compressed``.

        Each distinct tile is encoded once; the files of further tiles are links to it.

        Args:
            folder: Folder for the two folders of tiles, which must not exist.
            n_tiles: Number of pairs.

        Returns:
            The folders of opt_v2 and of S1 tiles.
        """
        folders = folder / "opt_v2", folder / "s1"
        for place, key, tiles in zip(
            folders, ("opt_v2", "s1"), (self.opt_v2, self.s1), strict=True
        ):
            place.mkdir(parents=True)
            for i in range(n_tiles):
                path = place / f"tile_{i:06d}.npz"
                if i < self.n_distinct:
                    np.savez_compressed(path, **{key: tiles[i]})
                else:
                    _link(place / f"tile_{i % self.n_distinct:06d}.npz", path)
        return folders


def load_workload(opt_v2_dir: Path | None, s1_dir: Path | None, tile_px: int) -> Workload:
    """Take the tiles of two folders, or the example tiles, or where these are missing, draw some.

    Args:
        opt_v2_dir: Folder of opt_v2 tiles in reflectance.
        s1_dir: Folder of Sentinel-1 tiles in dB.
        tile_px: Height and width that they are brought to, in pixels.

    Raises:
        UsageError: Only one of the folders is given, or the size is too small.
        InputError: A folder is missing, has no pairs or a tile that cannot be used.
    """
    if tile_px < MIN_TILE_PX:
        raise UsageError(
            f"Tiles of {tile_px} px cannot be computed.",
            hint=f"Give at least {MIN_TILE_PX} to --tile-size.",
        )
    if (opt_v2_dir is None) != (s1_dir is None):
        raise UsageError("Only one folder is given.", hint="Give both --opt-v2-dir and --s1-dir.")
    if opt_v2_dir is not None and s1_dir is not None:
        return _load("given", find_pairs(opt_v2_dir, s1_dir).pairs, tile_px)
    if EXAMPLE_TILES.is_dir():
        pairs = find_pairs(EXAMPLE_TILES / "opt_v2", EXAMPLE_TILES / "s1").pairs
        return _load("examples", pairs, tile_px)
    drawn = [make_tile(seed, tile_px) for seed in range(MAX_DISTINCT_TILES)]
    return Workload(
        "drawn", np.stack([tile.opt_v2 for tile in drawn]), np.stack([tile.s1 for tile in drawn])
    )


def _load(source: TileSource, pairs: tuple[TilePair, ...], tile_px: int) -> Workload:
    step = -(-len(pairs) // MAX_DISTINCT_TILES)
    tiles = [load_pair(pair) for pair in pairs[::step]]
    return Workload(
        source,
        np.stack([_resized(tile.opt_v2, tile_px) for tile in tiles]),
        np.stack([_resized(tile.s1, tile_px) for tile in tiles]),
    )


def _resized(tiles: NDArray[np.float32], tile_px: int) -> NDArray[np.float32]:
    missing = [max(0, tile_px - length) for length in tiles.shape[-2:]]
    margins = [(0, 0)] * (tiles.ndim - 2) + [(0, n) for n in missing]
    return np.ascontiguousarray(np.pad(tiles, margins, "symmetric")[..., :tile_px, :tile_px])


def _link(existing: Path, path: Path) -> None:
    try:
        os.link(existing, path)
    except OSError:  # a disk without links, or with too many of them
        shutil.copyfile(existing, path)
