"""Fault injection: make the n-th operation on a file below a folder fail, and see what is left."""

from __future__ import annotations

import errno
import io
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_CHANGING_CALLS: Final = ("open", "write", "fsync", "close", "replace", "unlink", "mkdir", "utime")
_READING_CALLS: Final = ("stat", "scandir", "listdir")
_CALLS_THAT_NEED_SPACE: Final = frozenset({"open", "write", "mkdir"})
_CHANGING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FileFaults:
    """Counts the operations on files below a folder, and makes one of them fail.

    Use as a context manager. While it is active it stands in for the functions of ``os`` (and for
    ``io.open``, through which ``pathlib`` reads) in the whole process, for all threads; operations
    on other files pass through it untouched. Files that are read through buffers fail when they are
    opened, all others at each single call. A ``close`` that fails has closed the file, as on Linux.

    Args:
        folder: Operations on files below it count.
        fails_at: Index of the operation that fails; None only counts.
        fault: What that operation raises, such as ``disk_fault(errno.EIO)`` or KeyboardInterrupt.
        is_lasting: Whether operations that need space go on failing, as on a full disk.
        has_reads: Whether operations that only read count too.

    Attributes:
        calls: Names of the operations so far.
    """

    def __init__(
        self,
        folder: Path,
        fails_at: int | None = None,
        fault: Callable[[], BaseException] = KeyboardInterrupt,
        *,
        is_lasting: bool = False,
        has_reads: bool = False,
    ) -> None:
        self.calls: list[str] = []
        self._folder = os.path.realpath(folder)
        self._fails_at = fails_at
        self._fault = fault
        self._is_lasting = is_lasting
        self._has_reads = has_reads
        self._descriptors: set[int] = set()
        self._lock = threading.Lock()
        self._real: dict[str, Callable[..., Any]] = {}
        self._real_io_open: Any = io.open

    def __enter__(self) -> Self:
        names = (*_CHANGING_CALLS, *(_READING_CALLS if self._has_reads else ()))
        self._real = {name: getattr(os, name) for name in names}
        for name in names:
            setattr(os, name, partial(self._call, name))
        if self._has_reads:
            setattr(io, "open", self._open_file)  # noqa: B010 - mypy refuses a plain assignment
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)
        setattr(io, "open", self._real_io_open)  # noqa: B010

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        real = self._real[name]
        if not self._counts(name, *arguments):
            return real(*arguments, **options)
        is_failing = self._take_turn(name)
        if name == "close":
            self._descriptors.discard(arguments[0])
            real(*arguments)
        if is_failing:
            raise self._fault()
        if name == "close":
            return None
        result = real(*arguments, **options)
        if name == "open":
            self._descriptors.add(result)
        return result

    def _open_file(self, target: Any, *arguments: Any, **options: Any) -> Any:
        # A descriptor that is handed over is closed by its new owner, unseen.
        if isinstance(target, int):
            self._descriptors.discard(target)
        elif self._is_inside(target) and self._take_turn("open"):
            raise self._fault()
        return self._real_io_open(target, *arguments, **options)

    def _counts(self, name: str, target: Any = ".", *arguments: Any) -> bool:
        if isinstance(target, int):
            return target in self._descriptors
        if name == "open" and not self._has_reads and not arguments[0] & _CHANGING_FLAGS:
            # Folders are opened for reading to be synced.
            return os.path.isdir(target) and self._is_inside(target)  # noqa: PTH112
        return self._is_inside(target)

    def _is_inside(self, target: Any) -> bool:
        path = os.path.realpath(os.fsdecode(target))
        return path.startswith(self._folder + os.sep)

    def _take_turn(self, name: str) -> bool:
        with self._lock:
            index = len(self.calls)
            self.calls.append(name)
        return self._fails(index, name)

    def _fails(self, index: int, name: str) -> bool:
        if self._fails_at is None:
            return False
        is_later = self._is_lasting and index > self._fails_at and name in _CALLS_THAT_NEED_SPACE
        return index == self._fails_at or is_later


def disk_fault(number: int = errno.ENOSPC) -> Callable[[], OSError]:
    """Return what makes the error of the system with this number, for ``FileFaults``."""
    return lambda: OSError(number, os.strerror(number))
