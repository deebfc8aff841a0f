"""Make examples/tiles: real held-out pairs with a simulated Stage 2 output.

    python examples/training/make_example_tiles.py DATA_DIR examples/tiles

DATA_DIR holds s1/ and s2_truth/. The bundled generators, which never saw the validation scenes,
simulate Stage 2.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.dataset import TrainingTile, load_tiles, read_split_file
from axion_stage3.training.evaluation_run import BUNDLED_GENERATORS
from axion_stage3.training.radar_generator import read_generators
from axion_stage3.training.surrogate_families import validation_cases

SPLIT_FILE = Path(__file__).parent / "reference_split.csv"
OPTICAL_KEYS = ("opt_v2", "s2_b{}", "opt_v2_b{}")
RADAR_KEYS = (("s1",), ("s1_vv", "s1_vh"), ("vv", "vh"))
# Tile, surrogate family, rows and columns kept (None: all).
CHOICE = (
    ("ben_S2A_MSIL2A_20170617T113321_36_85.npz", "hard", None),
    ("ben_S2A_MSIL2A_20170617T113321_48_5.npz", "generator", None),
    ("ben_S2A_MSIL2A_20180225T114351_39_25.npz", "hard", None),
    ("ben_S2A_MSIL2A_20180413T95032_25_43.npz", "hard", (96, 112)),
    ("ben_S2B_MSIL2A_20170930T095019_32_43.npz", "mixed", None),
    ("ben_S2B_MSIL2A_20180224T112109_20_51.npz", "retrieved", None),
    ("ben_S2B_MSIL2A_20180525T94030_35_58.npz", "hard", (100, 100)),
    ("ben_S2B_MSIL2A_20180525T94030_55_30.npz", "hard", None),
    ("s12cr_sample3968.npz", "hard", None),
    ("s12cr_sample4287.npz", "mild", (160, 200)),
    ("s12cr_sample7264.npz", "hard", (128, 128)),
    ("s12cr_sample4433.npz", "speckled", (180, 132)),
)


def main(data_dir: Path, output_dir: Path) -> None:
    """Write opt_v2/, s1/ and truth/ below ``output_dir``."""
    entries = read_split_file(SPLIT_FILE)
    train = load_tiles(data_dir, [entry for entry in entries if entry.split == "train"])
    val = {t.name: t for t in load_tiles(data_dir, [e for e in entries if e.split == "val"])}
    generators = read_generators(BUNDLED_GENERATORS)
    for folder in ("opt_v2", "s1", "truth"):
        (output_dir / folder).mkdir(parents=True, exist_ok=True)
    for number, (name, family, size) in enumerate(CHOICE):
        tile = val[name] if size is None else cut(val[name], *size)
        (case,) = validation_cases([tile], train, generators, [family])
        # Four decimals, as in Sentinel-2 products, keep the files small.
        opt_v2 = np.round(case.opt_v2, 4).astype(np.float32)
        write_npz(output_dir / "opt_v2" / name, by_layout(opt_v2, OPTICAL_KEYS[number % 3]))
        write_npz(output_dir / "truth" / name, by_layout(tile.truth, "s2_b{}"))
        keys = RADAR_KEYS[(number // 2) % 3]
        bands = [tile.s1] if len(keys) == 1 else list(tile.s1)
        write_npz(output_dir / "s1" / name, dict(zip(keys, bands, strict=True)))


def cut(tile: TrainingTile, height: int, width: int) -> TrainingTile:
    """Keep the upper left part of a tile."""
    return replace(tile, truth=tile.truth[:, :height, :width], s1=tile.s1[:, :height, :width])


def by_layout(optical: np.ndarray, key: str) -> dict[str, np.ndarray]:
    """Store an optical tile under one key, or one key per band."""
    if "{}" not in key:
        return {key: optical}
    return {key.format(number): band for number, band in zip((2, 3, 4, 8), optical, strict=True)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_dir", type=Path, help="folder with s1/ and s2_truth/")
    parser.add_argument("output_dir", type=Path, help="folder for opt_v2/, s1/ and truth/")
    main(**vars(parser.parse_args()))
