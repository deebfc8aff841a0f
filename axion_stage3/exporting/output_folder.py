"""The folder that pictures and reports are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; nothing to do if it is there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror or error}.",
            hint="Choose another folder for what is written.",
            path=folder,
        ) from error
