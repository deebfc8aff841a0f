"""Tools that the tests of the command line share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema

EXAMPLE_TILES = Path(__file__).parents[2] / "examples" / "tiles"
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
N_TILES = 3


def check_document(text: str, command: str) -> dict[str, Any]:
    """Hold what a command wrote with ``--json`` to its schema in the docs, and return it."""
    document: dict[str, Any] = json.loads(text)
    jsonschema.validate(document, json.loads((SCHEMAS / f"{command}.schema.json").read_bytes()))
    return document


def state_of(*folders: Path | str) -> dict[str, tuple[str, int]]:
    """Path to hash and time of change, for every file below some folders."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
