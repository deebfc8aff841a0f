"""Make examples/neighbours: six georeferenced pairs that lie side by side.

    python examples/training/make_neighbour_tiles.py DATA_DIR examples/neighbours

DATA_DIR holds s1/, s2_truth/ and tiles.csv, which says where the tiles lie. Stage 2 is simulated,
each tile by itself, so that neighbours differ as much as real Stage 2 outputs would.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from axion_stage3.tiles.georeference_tables import read_georeference_table
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.dataset import load_tiles, read_split_file
from axion_stage3.training.evaluation_run import BUNDLED_GENERATORS
from axion_stage3.training.radar_generator import read_generators
from axion_stage3.training.surrogate_families import validation_cases

SPLIT_FILE = Path(__file__).parent / "reference_split.csv"
SCENE = "reben_S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
PLACES = [(column, row) for column in (37, 38) for row in (88, 89, 90)]


def main(data_dir: Path, output_dir: Path) -> None:
    """Write opt_v2/ and s1/ below ``output_dir``."""
    names = [f"{SCENE}_{column}_{row}.npz" for column, row in PLACES]
    tiles = load_tiles(data_dir, [e for e in read_split_file(SPLIT_FILE) if e.split == "train"])
    table = read_georeference_table(data_dir / "tiles.csv")
    generators = read_generators(BUNDLED_GENERATORS)
    for folder in ("opt_v2", "s1"):
        (output_dir / folder).mkdir(parents=True, exist_ok=True)
    for tile in tiles:
        place = table.find(tile.name)
        if tile.name not in names or place is None:
            continue
        (case,) = validation_cases([tile], tiles, generators, ["mild"])
        name = tile.name.removeprefix(f"{SCENE}_")
        opt_v2 = np.round(case.opt_v2, 4).astype(np.float32)
        s1 = np.round(tile.s1, 2).astype(np.float32)
        write_npz(output_dir / "opt_v2" / name, {"opt_v2": opt_v2, **place.as_arrays()})
        write_npz(output_dir / "s1" / name, {"s1": s1, **place.as_arrays()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_dir", type=Path, help="folder with s1/, s2_truth/ and tiles.csv")
    parser.add_argument("output_dir", type=Path, help="folder for opt_v2/ and s1/")
    main(**vars(parser.parse_args()))
