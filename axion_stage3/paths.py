"""Paths as callers give them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TypeAlias

AnyPath: TypeAlias = str | PathLike[str]
"""A file or folder: text or any path object."""


def path_or_none(path: AnyPath | None) -> Path | None:
    """Turn what a caller gave into a path; None stays None."""
    return None if path is None else Path(path)
