"""Values of options that name files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from axion_stage3.errors import InputFolderError, OutputError, UsageError
from axion_stage3.storage.locations import parse_location as location_of
from axion_stage3.storage.locations import require_local

if TYPE_CHECKING:
    from axion_stage3.storage.locations import Location, ObjectUrl


_TAKEN: Final = {
    ".npz": "a tile",
    ".json": "a JSON document",
    ".jsonl": "a log",
    ".safetensors": "a checkpoint",
    ".pt": "a checkpoint",
}
"""What a file with such an ending is, which no table takes the place of."""


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


def require_folder(place: Location) -> None:
    """Refuse a folder that is none; one in an object store is there when something is in it.

    Raises:
        InputFolderError: It is a file, or is not there.
    """
    if isinstance(place, Path) and not place.is_dir():
        what = "is not a folder" if place.exists() else "does not exist"
        raise InputFolderError(f"The folder {place} {what}.", hint="Check the path.", path=place)


def require_lasting(output_dir: Location) -> None:
    """Refuse an output folder that is gone when the process ends.

    Raises:
        UsageError: It lies in the memory of this process.
    """
    if str(output_dir).startswith("memory://"):
        raise UsageError(
            f"The output folder {output_dir} lies in memory: it would be gone when the run ends.",
            hint="Give a path or the URL of a store; memory:// is for use from Python.",
        )


def require_file_places(*files: Path | None) -> None:
    """Refuse a file that cannot be written, before the work whose results it is to hold.

    Raises:
        UsageError: Two of them are one.
        OutputError: Its folder is not there, or its place is taken by a tile, a record of a run or
            what is no file.
    """
    given = [file for file in files if file is not None]
    if len({file.absolute() for file in given}) < len(given):
        raise UsageError(
            f"Two tables are to be written to {given[0]}.", hint="Give each a file of its own."
        )
    for file in given:
        if not file.parent.is_dir():
            raise OutputError(
                f"There is no folder {file.parent} for the file {file.name}.",
                hint="Make it first, or give another path.",
                path=file,
            )
        what = _TAKEN.get(file.suffix.lower(), "" if file.is_file() else "not a regular file")
        if what and file.exists():
            raise OutputError(
                f"{file} is {what}: it is not replaced.", hint="Give another path.", path=file
            )


def _refuse_empty(text: str) -> None:
    if not text.strip():
        raise typer.BadParameter("the path is empty")
