"""Ground a folder of tiles from Python, and read what became of them.

python examples/ground_folder.py [OUTPUT_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from axion_stage3 import run_inference

EXAMPLE_TILES = Path(__file__).parent / "tiles"


def main(output_dir: Path = Path("outputs/ground_folder")) -> None:
    # The arguments are the options of `axion-stage3 infer`.
    result = run_inference(
        opt_v2_dir=EXAMPLE_TILES / "opt_v2",
        s1_dir=EXAMPLE_TILES / "s1",
        output_dir=output_dir,
        samples=2,
    )
    summary = result.summary
    print(f"{summary['processed']} of {summary['total_tiles']} tiles, exit code {result.exit_code}")

    for path in sorted(output_dir.glob("*.npz")):
        with np.load(path) as tile:
            opt_final, spread = tile["opt_final"], tile["opt_final_std"]
        print(f"{path.name}: mean {opt_final.mean():.4f}, uncertainty {spread.mean():.4f}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
