"""Files that are either whole or not there.

Promised: after ``write_bytes`` returns, the file holds exactly the new content and has been handed
to the disk (fsync of file and folder). If it raises, whatever the exception, the file holds either
its old content or the new content in full, never a part, and no temporary file stays behind. A
process that is killed outright can leave one temporary file; ``sweep_orphans`` removes those.

In an object store one request puts the whole object in its place, so that there is nothing to
rename and nothing that could stay behind.

Not promised: anything about two writers of one file at the same moment, except that the content is
that of one of them; and nothing on disks that report a write as done when it is not.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import OutputError
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.storage.retries import RETRIES_USED_UP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from axion_stage3.storage.locations import Location


LONGEST_NAME_BYTES: Final = 230
"""Longest file name that still leaves room for the temporary one beside it (255 on most disks)."""

_FLAT_ENCODER: Final = json.JSONEncoder(
    separators=(",\n  ", ": "), ensure_ascii=False, allow_nan=False
)
_PLAIN_TYPES: Final = frozenset((str, int, float, bool, type(None)))
_ORPHAN: Final = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")
_NEW_FILE: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER_SYNC_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_HINTS: Final = {
    errno.ENOSPC: "Free some space, then start the same command again: it goes on where it was.",
    errno.EDQUOT: "Free some of your quota, then start the same command again.",
    errno.EACCES: "Choose another --output-dir, or change the permissions of this one.",
    errno.EPERM: "Choose another --output-dir, or change the permissions of this one.",
    errno.EROFS: "The disk is read-only: choose another --output-dir.",
    errno.ENOENT: "There is no such folder: make it first; or was a drive disconnected?",
    errno.ELOOP: "Its links lead in a circle: mend the link, or give another path.",
    errno.EMFILE: "Raise the limit (ulimit -n 4096), then start the same command again.",
    errno.ENFILE: "Close programs that hold files open, then start the same command again.",
    errno.EIO: "The disk reports a fault: check it before going on.",
    RETRIES_USED_UP: "Check that the store can be reached, then start the same command again.",
}


def write_bytes(
    path: Location,
    data: bytes | memoryview | Iterable[bytes | memoryview],
    *,
    syncs_folder: bool = True,
) -> int:
    """Write a file atomically and durably.

    Args:
        path: The file; its folder must exist. A symlink at this place is replaced, not followed.
            Or the object.
        data: The content, whole or in pieces.
        syncs_folder: False leaves it to the next file written into this folder to make the name
            durable as well.

    Returns:
        Number of bytes written.

    Raises:
        OutputError: The file could not be written; the message says what the system reported.
    """
    pieces = (data,) if isinstance(data, bytes | memoryview) else data
    if isinstance(path, ObjectUrl):
        try:
            return path.write_once(pieces)
        except OSError as error:
            raise _output_error(path, error) from error
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        n_written = _write_new_file(temporary, pieces)
        os.replace(temporary, path)  # noqa: PTH105 (the tests make each os call fail in turn)
        if syncs_folder:
            _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise _output_error(path, error) from error
        raise
    return n_written


def real_path(path: Path) -> Path:
    """The file that a path named by the user leads to, for ``write_bytes`` to replace."""
    return Path(os.path.realpath(path))  # unlike Path.resolve it never raises, not even on loops


def write_json(path: Location, document: Any, *, syncs_folder: bool = True) -> int:
    """Write a JSON document atomically: UTF-8, indented by two, newline at the end.

    Args:
        path: The file, whose folder must exist, or the object.
        document: Anything ``json`` can write, without NaN and infinities.
        syncs_folder: As for :func:`write_bytes`.

    Returns:
        Number of bytes written.

    Raises:
        OutputError: The file could not be written.
        ValueError: The document holds NaN or an infinity, which JSON does not know.
    """
    text = _indented(document) + "\n"
    # A file name that is not UTF-8 holds lone surrogates: written as the escapes JSON has for them.
    content = text.encode("utf-8", "backslashreplace")
    return write_bytes(path, content, syncs_folder=syncs_folder)


def remove_outdated(path: Location) -> None:
    """Remove a file that would say something about an older output, if it is there.

    Raises:
        OutputError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"The outdated {path} cannot be removed: {error.strerror or error}.",
            hint="Restore access to the output folder, then run the same command again.",
            path=path,
        ) from error


def target_of_orphan(name: str) -> str | None:
    """Name of the file that a temporary file was to become; None if the name is no such file's."""
    match = _ORPHAN.fullmatch(name)
    return None if match is None else match[1]


def sweep_orphans(folder: Path) -> tuple[Path, ...]:
    """Remove the temporary files that killed runs left in a folder and below it.

    To be called only while no other run writes there.

    Args:
        folder: The folder to sweep; symlinks are not followed.

    Returns:
        The files removed, sorted.
    """
    removed: list[Path] = []
    for parent, _, names in os.walk(folder):
        for name in names:
            if target_of_orphan(name) is not None:
                with contextlib.suppress(OSError):
                    (Path(parent) / name).unlink()
                    removed.append(Path(parent) / name)
    return tuple(sorted(removed))


def _indented(document: Any) -> str:
    """Encode a document as JSON, indented by two.

    ``json`` indents in Python. Its faster encoder in C can say the same of an object that holds no
    further ones, such as the statistics of each tile.
    """
    if type(document) is dict and document and set(map(type, document.values())) <= _PLAIN_TYPES:
        with contextlib.suppress(ValueError):  # NaN: the slow way says which number it is
            return f"{{\n  {_FLAT_ENCODER.encode(document)[1:-1]}\n}}"
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def _write_new_file(path: Path, pieces: Iterable[bytes | memoryview]) -> int:
    descriptor = os.open(path, _NEW_FILE, 0o666)
    try:
        n_written = 0
        for piece in pieces:
            rest = memoryview(piece).cast("B")
            while rest:
                n = os.write(descriptor, rest)
                n_written += n
                rest = rest[n:]
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    # Not suppressed here: network disks report a full disk only when the file is closed.
    os.close(descriptor)
    return n_written


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system knows how to do that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FOLDER_SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _output_error(path: Location, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    output_error = OutputError(
        f"Cannot write {path}: {reason}.", hint=_HINTS.get(error.errno or 0, ""), path=path
    )
    output_error.errno = error.errno
    return output_error
