"""Which process on which machine, and whether it still lives."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE: Final = Path("/proc/self/ns/pid")
_MAX_PID: Final = 2**31 - 1
_START_TIME_FIELD: Final = 18  # of /proc/PID/stat, counted from the field after the state


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, so described that a reused pid is not taken for it.

    Attributes:
        host: Name of the machine.
        machine: Boot and process namespace, within which a pid means one process; empty where the
            system does not tell (then pids are compared within the host name).
        pid: Process id.
        started: When it started, in the kernel's own count; empty where the system does not tell.
    """

    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def of_this_process(cls) -> Self:
        """The process that asks."""
        pid = os.getpid()
        return cls(platform.node(), _machine(), pid, _start_time(pid) or "")

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Self:
        """Read back what ``dataclasses.asdict`` gave.

        Raises:
            ValueError: A field is missing or cannot be meant.
        """
        match document:
            case {"host": str(host), "machine": str(machine), "pid": int(pid), "started": str(at)}:
                if 0 < pid <= _MAX_PID:
                    return cls(host, machine, pid, at)
        raise ValueError(f"{document!r:.200} describes no process")

    def is_alive(self) -> bool | None:
        """Whether it lives; None if that cannot be known from here.

        It can be known on the same machine only. Where the system gives no start times, a process
        with this pid may be another one, so that only "dead" is certain.
        """
        if self.host != platform.node() or self.machine != _machine() or os.name == "nt":
            return None
        if not _pid_exists(self.pid):
            return False
        started = _start_time(self.pid)
        if started is None or self.started == "":
            return None
        return started == self.started


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str | None:
    """Clock ticks from boot to the start of ``pid``; None if unknown. A zombie counts as ended."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *fields = facts.rpartition(")")[2].split()
    return "ended" if state in "ZX" else fields[_START_TIME_FIELD]


def _machine() -> str:
    parts = []
    with suppress(OSError):
        parts.append(_BOOT_ID.read_text(encoding="ascii").strip())
        parts.append(str(_PID_NAMESPACE.readlink()))
    return " ".join(parts)
