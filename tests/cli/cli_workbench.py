"""Tools that the tests of the command line share."""

from __future__ import annotations

import hashlib
from pathlib import Path

EXAMPLE_TILES = Path(__file__).parents[2] / "examples" / "tiles"
N_TILES = 3


def state_of(*folders: Path | str) -> dict[str, tuple[str, int]]:
    """Path to hash and time of change, for every file below some folders."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
