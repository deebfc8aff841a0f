"""One run at a time on one output folder, without trusting file locks.

``flock`` and ``fcntl`` locks do nothing on some network file systems, so the lease is a file. What
it rests on is only that exclusive creation (``O_CREAT | O_EXCL``) is atomic.

*Taking it.* Leases and journals carry session numbers. A run lists them; if a lease that conflicts
is held by a living run it refuses. Else it creates the file with the next number, exclusively, and
then looks once more: whoever sees another living lease beside its own withdraws. Because each looks
after creating, two runs can never both believe that they hold the folder; because the number is
taken from the list that was judged, two runs that start together meet on one file name, and exactly
one gets it. Only the winner removes dead leases.

*Is the other one alive?* On the same machine (same host name, same boot, same process namespace)
its process is asked for by pid and start time: a dead holder is succeeded at once, and a living one
is never robbed, however late its heartbeat. On another machine only the heartbeat can tell: the
holder touches its file every ``HEARTBEAT_SECONDS``, and is dead when that is ``EXPIRY_SECONDS`` ago.
Both times are modification times given by the one file system, so the clocks of the machines do not
matter; the times written inside the file are for people.

*What remains.* A holder on another machine that sleeps for longer than the expiry and wakes up again
notices at its next heartbeat, and ``check`` raises. Until then two runs may write; outputs are
atomic and determined by their inputs and the journals are separate files, so this wastes work and
damages nothing.

Shards k/n of one run (same n, same configuration, other k) share the folder.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from axion_stage3.errors import OutputError, RunConflictError
from axion_stage3.runs.journal_index import journal_paths
from axion_stage3.runs.process_identity import ProcessIdentity, is_alive

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HEARTBEAT_SECONDS: Final = 10.0
EXPIRY_SECONDS: Final = 120.0

_LEASE_NAME: Final = re.compile(r"lease-(\d{6,12})\.json")
_MAX_LEASE_BYTES: Final = 1 << 16
_MAX_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``k`` of ``n`` of a run, k from 1 to n."""

    k: int
    n: int

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"

    @property
    def label(self) -> str:
        """For file names: ``3-of-16``."""
        return f"{self.k}-of-{self.n}"


class Lease:
    """The right to write into one output folder; made by ``acquire``.

    Attributes:
        session: Number of this session, higher than that of every earlier one.
        path: The lease file.
    """

    def __init__(self, path: Path, session: int, token: str) -> None:
        self.path = path
        self.session = session
        self._token = token
        self._loss = ""
        self._stopped = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="axion-lease", daemon=True)
        self._heart.start()

    @classmethod
    def acquire(
        cls, runs_folder: Path, *, configuration_digest: str, shard: Shard | None = None
    ) -> Self:
        """Take the lease of ``OUTPUT/runs``, which must exist.

        Raises:
            RunConflictError: A living run holds it; the message names host, process and start.
            OutputError: The folder cannot be read or written.
        """
        ...

    def check(self) -> None:
        """Make sure that the lease is still held; costs next to nothing.

        Raises:
            RunConflictError: Another run took it over, or the file is gone.
        """
        if self._loss:
            raise RunConflictError(
                f"This run no longer holds the lease {self.path}: {self._loss}.",
                hint="Nothing is damaged. Start it again when no other run uses the folder: it "
                "goes on where it stopped.",
                path=self.path,
            )

    def release(self) -> None:
        """Give the lease back; harmless when done already or lost."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
