"""Ground tiles that are in memory already, and compare them with the truth.

python examples/ground_arrays.py [TILES_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from axion_stage3 import ground
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_optical, load_pair

EXAMPLE_TILES = Path(__file__).parent / "tiles"


def main(tiles_dir: Path = EXAMPLE_TILES, n_tiles: int = 3) -> None:
    pairs = find_pairs(tiles_dir / "opt_v2", tiles_dir / "s1").pairs[:n_tiles]
    print(f"{'tile':<45}{'error of opt_v2':>16}{'of opt_final':>14}")
    for pair in pairs:
        tile = load_pair(pair)  # opt_v2 (4, H, W) reflectance, s1 (2, H, W) dB
        truth = load_optical(tiles_dir / "truth" / pair.name)
        # A batch of one; tiles of one size could be stacked. One timestep gives the mean, the
        # answer of least error; leave it out for the checkpoint's ten, which add detail.
        (opt_final,) = ground(tile.opt_v2[None], tile.s1[None], names=[pair.name], timesteps=1)
        before = np.abs(tile.opt_v2 - truth).mean()
        after = np.abs(opt_final - truth).mean()
        print(f"{pair.name:<45}{before:>16.4f}{after:>14.4f}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
