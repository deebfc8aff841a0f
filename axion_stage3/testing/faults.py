"""Fault injection: make the n-th change of a file below a folder fail, and see what is left."""

from __future__ import annotations

import errno
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_CALLS: Final = ("open", "write", "fsync", "replace", "unlink", "mkdir")
_CALLS_THAT_NEED_SPACE: Final = frozenset({"open", "write", "mkdir"})
_CHANGING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FileFaults:
    """Counts the calls of ``os`` that change files below a folder, and makes one of them fail.

    Use as a context manager. While it is active it stands in for the functions of ``os`` in the
    whole process, for all threads; calls on other files pass through it untouched.

    Args:
        folder: Calls on files below it count.
        fails_at: Index of the call that fails; None only counts.
        fault: What that call raises, such as ``disk_fault(errno.EIO)`` or KeyboardInterrupt.
        is_lasting: Whether calls that need space go on failing, as on a full disk.

    Attributes:
        calls: Names of the calls so far.
    """

    def __init__(
        self,
        folder: Path,
        fails_at: int | None = None,
        fault: Callable[[], BaseException] = KeyboardInterrupt,
        *,
        is_lasting: bool = False,
    ) -> None:
        self.calls: list[str] = []
        self._folder = os.path.realpath(folder)
        self._fails_at = fails_at
        self._fault = fault
        self._is_lasting = is_lasting
        self._descriptors: set[int] = set()
        self._lock = threading.Lock()
        self._real: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        self._real = {name: getattr(os, name) for name in (*_CALLS, "close")}
        for name in _CALLS:
            setattr(os, name, partial(self._call, name))
        setattr(os, "close", self._close)  # noqa: B010 - mypy refuses an assignment to a module
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)

    def _call(self, name: str, target: Any, *arguments: Any, **options: Any) -> Any:
        real = self._real[name]
        if not self._counts(name, target, arguments):
            return real(target, *arguments, **options)
        with self._lock:
            index = len(self.calls)
            self.calls.append(name)
        if self._fails(index, name):
            raise self._fault()
        result = real(target, *arguments, **options)
        if name == "open":
            self._descriptors.add(result)
        return result

    def _close(self, descriptor: int) -> None:
        self._descriptors.discard(descriptor)
        self._real["close"](descriptor)

    def _counts(self, name: str, target: Any, arguments: tuple[Any, ...]) -> bool:
        if isinstance(target, int):
            return target in self._descriptors
        if name == "open" and not arguments[0] & _CHANGING_FLAGS:
            return False
        return os.path.realpath(os.fsdecode(target)).startswith(self._folder + os.sep)

    def _fails(self, index: int, name: str) -> bool:
        if self._fails_at is None:
            return False
        is_later = self._is_lasting and index > self._fails_at and name in _CALLS_THAT_NEED_SPACE
        return index == self._fails_at or is_later


def disk_fault(number: int = errno.ENOSPC) -> Callable[[], OSError]:
    """Return what makes the error of the system with this number, for ``FileFaults``."""
    return lambda: OSError(number, os.strerror(number))
