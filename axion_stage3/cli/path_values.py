"""Values of options that name files and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from axion_stage3.errors import OutputError, UsageError
from axion_stage3.storage.locations import parse_location as location_of
from axion_stage3.storage.locations import require_local

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.storage.locations import ObjectUrl


def parse_path(text: str) -> Path:
    """Make a path of this machine of an option's value.

    Raises:
        typer.BadParameter: The value is empty, as an unset shell variable would make it (``Path``
            would silently take the current folder), or it is a URL.
    """
    _refuse_empty(text)
    try:
        return require_local(text)
    except UsageError as error:
        raise typer.BadParameter(f"{error.message} {error.hint}") from None


def parse_location(text: str) -> Path | ObjectUrl:
    """Make a path or the URL of a folder in an object store of an option's value.

    Raises:
        typer.BadParameter: The value is empty, or a URL that cannot be used.
    """
    _refuse_empty(text)
    try:
        return location_of(text)
    except UsageError as error:
        raise typer.BadParameter(f"{error.message} {error.hint}") from None


def required(path: Path | None, option: str) -> Path:
    """Return the value of an option that must be given here.

    Raises:
        UsageError: It was not given.
    """
    if path is None:
        raise UsageError(f"{option} is missing.", hint=f"Add {option}; see --help.")
    return path


def require_folder_of(*files: Path | None) -> None:
    """Refuse a file whose folder is not there, before the work whose results it is to hold.

    Raises:
        OutputError: There is no such folder.
    """
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise OutputError(
                f"There is no folder {file.parent} for the file {file.name}.",
                hint="Make it first, or give another path.",
                path=file,
            )


def _refuse_empty(text: str) -> None:
    if not text.strip():
        raise typer.BadParameter("the path is empty")
