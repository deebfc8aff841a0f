"""What the Ray engine costs beside a run in one process, on this machine.

    python examples/cluster/measure_engines.py [--tiles 500] [--size 120] [--timesteps 1]

Both have one core and one worker, and ground the same synthetic tiles. "Processing" is the figure
of the run's summary, from the first tile on; "whole command" has starting Python, loading the model
and, with Ray, starting a cluster in it, which a long run pays once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from axion_stage3.testing.tile_factories import write_pairs

ENGINES = {"local": [], "ray": ["--engine", "ray", "--workers", "1"]}


def run(folder: Path, engine: str, options: list[str]) -> tuple[float, float]:
    """Ground the tiles with an engine; returns tiles/s while processing, and seconds in all."""
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - the program itself
        [
            *(sys.executable, "-m", "axion_stage3", "infer", "--quiet", "--json"),
            *("--opt-v2-dir", folder / "opt_v2", "--s1-dir", folder / "s1", "--device", "cpu"),
            *("--output-dir", folder / f"out-{engine}", *options, *ENGINES[engine]),
        ],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    seconds = time.perf_counter() - began
    return json.loads(done.stdout)["summary"]["tiles_per_second"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the engines.")
    parser.add_argument("--tiles", type=int, default=500)
    parser.add_argument("--size", type=int, default=120)
    parser.add_argument("--timesteps", default="1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engines-") as name:
        folder = Path(name)
        write_pairs(folder, given.tiles, sizes=(given.size,))
        paces = {}
        for engine in ENGINES:
            paces[engine], seconds = run(folder, engine, ["--timesteps", given.timesteps])
            print(f"{engine:<6} processing {paces[engine]:7.2f} tiles/s, ", end="")
            print(f"whole command {seconds:6.1f} s for {given.tiles} tiles")
        print(f"ray reaches {paces['ray'] / paces['local']:.2f} of local while processing")


if __name__ == "__main__":
    main()
