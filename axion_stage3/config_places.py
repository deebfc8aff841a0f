"""Entries of a configuration that name files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from axion_stage3.errors import UsageError
from axion_stage3.storage.locations import ObjectUrl, lies_in, parse_location, require_local

if TYPE_CHECKING:
    from collections.abc import Callable


def _refuse_empty_path(value: object) -> object:
    # An unset shell variable gives "", which Path would silently read as the current folder.
    if isinstance(value, str) and not value.strip():
        raise ValueError("the path is empty")
    return value


def _writable_as_text(path: Path) -> Path:
    text = str(path)
    if "\0" in text or not text.isprintable():
        raise ValueError("the path has characters that cannot be written into a report")
    return path


def _parsed(value: object, parse: Callable[[str], Path | ObjectUrl]) -> object:
    _refuse_empty_path(value)
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except UsageError as error:
        raise ValueError(f"{error.message} {error.hint}") from None


def _location(value: object) -> Path | ObjectUrl:
    location = _parsed(value, parse_location)
    if isinstance(location, ObjectUrl):
        return location
    if not isinstance(location, Path):
        raise ValueError("give a path or a URL")
    return _writable_as_text(location)


CleanLocation = Annotated[
    Path | ObjectUrl,
    PlainValidator(_location),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "format": "path"}),
]
"""A file or folder of this machine, or the URL of one in an object store."""

CleanPath = Annotated[
    Path,
    BeforeValidator(lambda value: _parsed(value, require_local)),
    AfterValidator(_writable_as_text),
]
"""A file or folder of this machine."""


def overlap(one: Path | ObjectUrl, other: Path | ObjectUrl) -> bool:
    """Whether one of two folders lies in the other, or is the other."""
    return lies_in(one, other) or lies_in(other, one)
