"""Ten thousand tiles cost no more memory than a thousand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from axion_stage3.testing.tile_factories import write_pairs

if TYPE_CHECKING:
    from pathlib import Path

N_DIFFERENT = 50
MOST_GROWTH_BYTES = 25 << 20

PROGRAM = """
import json, resource, sys
from axion_stage3 import validate_inputs

if __name__ == "__main__":
    n_tiles = sum(1 for _ in validate_inputs(sys.argv[1], sys.argv[2], n_workers=2))
    peaks = [resource.getrusage(who).ru_maxrss << 10
             for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([n_tiles, *peaks]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_tiles(tmp_path: Path) -> None:
    write_pairs(tmp_path / "some", N_DIFFERENT, sizes=(16, 24))
    program = tmp_path / "validate_folders.py"
    program.write_text(PROGRAM)
    peaks = {}
    for n_tiles in (1_000, 10_000):
        folders = [_many(tmp_path, kind, n_tiles) for kind in ("opt_v2", "s1")]
        done = subprocess.run(
            [sys.executable, program, *folders], capture_output=True, text=True, check=True
        )
        n_checked, *peaks[n_tiles] = json.loads(done.stdout)
        assert n_checked == n_tiles

    for few, many in zip(peaks[1_000], peaks[10_000], strict=True):
        assert many - few < MOST_GROWTH_BYTES, peaks


def _many(root: Path, kind: str, n_tiles: int) -> Path:
    """A folder of many tiles, which are links to a few files."""
    folder = root / f"{kind}_{n_tiles}"
    folder.mkdir()
    tiles = sorted((root / "some" / kind).iterdir())
    for index in range(n_tiles):
        os.link(tiles[index % len(tiles)], folder / f"tile_{index:06}.npz")
    return folder
