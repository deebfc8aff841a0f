"""Results of a validation as JSON: one document, or JSON Lines that can be saved and read again.

Both are written piece by piece, so that a million tiles need no memory.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from axion_stage3.errors import InputError
from axion_stage3.inspection.finding_record import FindingRecord, TileFindings
from axion_stage3.inspection.validation_summary import (
    ValidationSummary,  # noqa: TC001  the JSON schema needs it
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from axion_stage3.inspection.validation import Validation

VALIDATION_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ValidationHeader:
    """What was validated: the first line of a saved validation.

    Attributes:
        schema_version: Version of this layout.
        command: ``validate``.
        kind: inputs or run.
        folders: The folders, by role: opt_v2_dir, s1_dir, output_dir.
        n_tiles: Number of tiles to check.
    """

    schema_version: int
    command: str
    kind: Literal["inputs", "run"]
    folders: dict[str, str]
    n_tiles: int

    @classmethod
    def of(cls, validation: Validation) -> ValidationHeader:
        """The header of a validation."""
        return cls(
            VALIDATION_SCHEMA_VERSION,
            "validate",
            validation.kind,
            validation.folders,
            validation.n_tiles,
        )


@dataclass(frozen=True, slots=True)
class ValidationDocument:
    """The document of ``validate --format json``.

    Attributes:
        schema_version: Version of this layout.
        command: ``validate``.
        kind: inputs or run.
        folders: The folders, by role: opt_v2_dir, s1_dir, output_dir.
        n_tiles: Number of tiles to check.
        tiles: The tiles with findings; tiles without are only counted.
        summary: The result in numbers.
    """

    schema_version: int
    command: str
    kind: Literal["inputs", "run"]
    folders: dict[str, str]
    n_tiles: int
    tiles: tuple[TileFindings, ...]
    summary: ValidationSummary


@dataclass(frozen=True)
class SavedValidation:
    """A saved validation; iterating over it reads the file.

    Attributes:
        path: The file.
        header: What was validated.
    """

    path: Path
    header: ValidationHeader

    def __iter__(self) -> Iterator[TileFindings]:
        """The results, tiles without findings included, in the order in which they were saved.

        Raises:
            InputError: The file is damaged or not whole.
        """
        number = 1
        for number, document in _documents(self.path):
            if "summary" in document:
                return
            if number > 1:
                yield _result(document, self.path, number)
        raise _damaged(self.path, number, "the summary should follow, but the file ends")


def load_validation(path: Path) -> SavedValidation:
    """Open a file written by ``validate --save`` or ``validate --format jsonl``.

    Raises:
        InputError: It cannot be read, is not such a file, or a newer version wrote it.
    """
    number, document = next(_documents(path), (1, {}))
    if document.get("command") != "validate":
        raise _damaged(path, number, "it does not begin like a saved validation")
    version = document.get("schema_version")
    if version != VALIDATION_SCHEMA_VERSION:
        raise _damaged(
            path, number, f"its schema version is {version}, not {VALIDATION_SCHEMA_VERSION}"
        )
    try:
        return SavedValidation(path, ValidationHeader(**document))
    except TypeError as error:
        raise _damaged(path, number, str(error)) from error


def json_line(document: ValidationHeader | TileFindings) -> str:
    """One line of JSON Lines, without the newline."""
    return _compact(asdict(document))


def summary_line(summary: ValidationSummary) -> str:
    """The last line of JSON Lines, without the newline."""
    return _compact({"summary": asdict(summary)})


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def _documents(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of each line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    document = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise _damaged(path, number, "it is not JSON") from error
                if not isinstance(document, dict):
                    raise _damaged(path, number, "it is not a JSON object")
                yield number, document
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            f"The saved validation {path} cannot be read: {reason}.",
            hint="Give a file that `axion-stage3 validate --save FILE` wrote.",
            path=path,
        ) from error


def _result(document: dict[str, Any], path: Path, number: int) -> TileFindings:
    try:
        return TileFindings(
            tile=str(document["tile"]),
            findings=tuple(map(FindingRecord.from_document, document["findings"])),
            is_checked=bool(document["is_checked"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, number, f"a finding is not whole ({error})") from error


def _damaged(path: Path, line: int, reason: str) -> InputError:
    return InputError(
        f"The saved validation {path} cannot be used: line {line}: {reason}.",
        hint="Give a file that `axion-stage3 validate --save FILE` wrote.",
        path=path,
    )
