"""Draw the model card's picture of the best, the median and the worst held-out tiles.

    python docs/pictures/draw_best_and_worst.py DATA_DIR

Three rows for each of two families of simulated opt_v2, by the PSNR gained at --timesteps 1 with
the bundled checkpoint. Columns: Sentinel-1, opt_v2, opt_final, truth. Prints what each row shows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.exporting.validation_pictures import validation_picture
from axion_stage3.inference.predictor import Predictor
from axion_stage3.statistics.image_quality import psnr
from axion_stage3.training.dataset import load_tiles, read_split_file
from axion_stage3.training.evaluation_run import BUNDLED_GENERATORS
from axion_stage3.training.radar_generator import read_generators
from axion_stage3.training.surrogate_families import validation_cases
from axion_stage3.training.validation import ValidationTile

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "best_median_worst.png"
SPLIT_FILE = ROOT / "examples" / "training" / "reference_split.csv"
FAMILIES = ("hard", "mixed")


def main(data_dir: Path) -> None:
    """Ground the held-out tiles, choose three of each family, and draw them."""
    entries = read_split_file(SPLIT_FILE)
    train, val = (
        load_tiles(data_dir, [entry for entry in entries if entry.split == split])
        for split in ("train", "val")
    )
    predictor = Predictor(load_checkpoint())
    gained: dict[str, list[tuple[float, ValidationTile]]] = {family: [] for family in FAMILIES}
    for case in validation_cases(val, train, read_generators(BUNDLED_GENERATORS), FAMILIES):
        tile = case.tile
        batch = (torch.from_numpy(array)[None] for array in (case.opt_v2, tile.s1))
        opt_final = predictor.predict(*batch, [tile.name], timesteps=1).opt_final[0].numpy()
        gain = psnr(opt_final, tile.truth) - psnr(case.opt_v2, tile.truth)
        shown = ValidationTile(tile.name, tile.s1, case.opt_v2, opt_final, tile.truth)
        gained[case.family].append((gain, shown))
    rows = []
    for family, tiles in gained.items():
        tiles.sort(key=lambda entry: -entry[0])
        for name, place in (("best", 0), ("median", len(tiles) // 2), ("worst", -1)):
            gain, tile = tiles[place]
            sys.stdout.write(f"{family}, {name}: {tile.name}, {gain:+.2f} dB\n")
            rows.append(tile)
    PICTURE.write_bytes(validation_picture(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_dir", type=Path, help="folder with s1/ and s2_truth/")
    main(**vars(parser.parse_args()))
