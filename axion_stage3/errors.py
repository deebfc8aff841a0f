"""Every error that axion-stage3 raises on purpose.

    AxionError                               exit 1 (a bug if it is ever raised itself)
    ├── UsageError (ValueError)              exit 2  options or configuration that cannot work
    ├── InputError                           exit 4  folders and files that were given
    │   ├── InputFolderError (FileNotFoundError)     a folder is missing, empty or unreadable
    │   ├── NoTilePairsError (ValueError)            nothing in common between the folders
    │   ├── TileCollisionError (ValueError)          two tiles would fall on one output
    │   ├── GeoreferenceTableError (ValueError)      a table of georeferences that cannot be used
    │   ├── TileListError (ValueError)               a list names tiles that are not there
    │   └── TileError                                one tile; a run goes on with the others
    │       ├── TileReadError (OSError)              not an NPZ, truncated, hostile
    │       ├── TileLayoutError (KeyError)           no understood key layout
    │       ├── TileShapeError (ValueError)          rank, band count, size, unequal pair
    │       ├── TileUnitsError (ValueError)          DN for reflectance, linear for dB
    │       ├── TilePixelsError (ValueError)         NaN, Inf, empty
    │       ├── TileGeoreferenceError (ValueError)   unusable, rotated, or not the same place
    │       ├── TileCrashError                       its worker process died, more than once
    │       └── InvalidOutputError (ValueError)      the result failed its validation
    ├── CheckpointError (ValueError)         exit 5  corrupt, foreign or unfit checkpoint
    │   └── CheckpointNotFoundError (FileNotFoundError)
    ├── OutputError (OSError)                exit 6  the output folder cannot be written
    │   └── RunConflictError                         another run or configuration owns it
    ├── ResourceError (RuntimeError)         exit 7  no device, memory or file handle left
    ├── TrainingError (RuntimeError)         exit 4  the loss turned non-finite
    └── MissingExtraError (ImportError)      exit 8  an optional dependency is missing

Each message says what, where and why; ``hint`` says what to do next. ``code`` is stable.
"""

from __future__ import annotations

from typing import ClassVar


class AxionError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What went wrong, where and why, in one or two sentences.
        hint: What to do next; empty if nothing can be advised.
        path: The file or folder concerned; kept as text.
        tile_name: The tile concerned (posix path below its folder, with ``.npz``).
    """

    code: ClassVar[str] = "AX-E000"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        path: object = None,
        tile_name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = None if path is None else str(path)
        self.tile_name = tile_name

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.path, self.tile_name))


def _rebuild(
    kind: type[AxionError], message: str, hint: str, path: str | None, tile_name: str | None
) -> AxionError:
    return kind(message, hint=hint, path=path, tile_name=tile_name)


class UsageError(AxionError, ValueError):
    """Options or configuration that cannot work."""

    code = "AX-E200"
    exit_code = 2


class InputError(AxionError):
    """Something is wrong with what was given to read."""

    code = "AX-E400"
    exit_code = 4


class InputFolderError(InputError, FileNotFoundError):
    """A folder is missing, empty or unreadable."""

    code = "AX-E401"


class NoTilePairsError(InputError, ValueError):
    """No file name is found in both folders."""

    code = "AX-E402"


class TileCollisionError(InputError, ValueError):
    """Two tiles would be written to one output."""

    code = "AX-E403"


class TileListError(InputError, ValueError):
    """A list of tiles cannot be read, or names tiles that are not there."""

    code = "AX-E404"


class GeoreferenceTableError(InputError, ValueError):
    """A table of georeferences cannot be read, or contradicts itself."""

    code = "AX-E405"


class TileError(InputError):
    """One tile cannot be processed; the run goes on with the others."""

    code = "AX-E410"


class TileReadError(TileError, OSError):
    """The file is not a readable NPZ: truncated, corrupt, hostile or not there."""

    code = "AX-E411"


class TileLayoutError(TileError, KeyError):
    """The NPZ has none of the key layouts that are understood."""

    code = "AX-E412"


class TileShapeError(TileError, ValueError):
    """Wrong rank, band count or size, or a pair whose shapes differ."""

    code = "AX-E413"


class TileUnitsError(TileError, ValueError):
    """Optical that looks like digital numbers, or SAR that looks linear."""

    code = "AX-E414"


class TilePixelsError(TileError, ValueError):
    """Pixels that cannot be used: NaN, Inf, or a tile that is zero throughout."""

    code = "AX-E415"


class TileGeoreferenceError(TileError, ValueError):
    """A georeference that cannot be used, is missing, or does not fit that of another tile."""

    code = "AX-E416"


class TileCrashError(TileError):
    """The process that worked on the tile died, more than once."""

    code = "AX-E421"


class InvalidOutputError(TileError, ValueError):
    """The result failed the automatic validation and was not written."""

    code = "AX-E420"


class CheckpointError(AxionError, ValueError):
    """The checkpoint is corrupt, foreign or does not fit."""

    code = "AX-E500"
    exit_code = 5


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no checkpoint at the path given."""

    code = "AX-E501"


class OutputError(AxionError, OSError):
    """The output folder or a file in it cannot be written."""

    code = "AX-E600"
    exit_code = 6


class RunConflictError(OutputError):
    """The output folder belongs to another run, or to another configuration."""

    code = "AX-E601"


class ResourceError(AxionError, RuntimeError):
    """A device is not there, or memory or file handles ran out."""

    code = "AX-E700"
    exit_code = 7


class TrainingError(AxionError, RuntimeError):
    """Training stopped because the loss is no longer a finite number."""

    code = "AX-E430"
    exit_code = 4


class MissingExtraError(AxionError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    code = "AX-E800"
    exit_code = 8
