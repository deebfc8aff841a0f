"""A run whose tiles lie side by side, for the tests of exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from axion_stage3.testing.run_factories import make_run
from axion_stage3.tiles.npz_reader import read_npz
from axion_stage3.tiles.npz_writer import write_npz

if TYPE_CHECKING:
    from pathlib import Path

UTM = "EPSG:32633"
NAMES = [f"{r}/tile_{c}.npz" for r in "ab" for c in (0, 1)]
SIZE = 48


def make_neighbours(root: Path) -> Path:
    """Four neighbouring tiles, a table that says where they lie, and one tile that has gaps."""
    output_dir = make_run(root, NAMES, size_px=SIZE, has_spread=True)
    lines = ["tile,crs,origin_x,origin_y,pixel_size"]
    for name in NAMES:
        row, column = "ab".index(name[0]), int(name[-5])
        lines.append(f"{name},{UTM},{344400 + column * SIZE * 10},{5294400 - row * SIZE * 10},10")
    (root / "t.csv").write_text("\n".join(lines))
    gappy = dict(read_npz(output_dir / NAMES[0]))
    gappy["valid_mask"] = np.ones((SIZE, SIZE), bool)
    gappy["valid_mask"][5:9, 2:4] = False
    del gappy["opt_v3"]
    write_npz(output_dir / NAMES[0], gappy, {"opt_v3": "opt_final"})
    return output_dir
