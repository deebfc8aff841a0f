"""One run at a time on one output folder, without trusting file locks.

``flock`` and ``fcntl`` locks do nothing on some network file systems, so the lease is a file. What
it rests on is only that exclusive creation (``O_CREAT | O_EXCL``) is atomic.

*Taking it.* Leases and journals carry session numbers. A run lists them; if a conflicting lease is
held by a living run it refuses. Else it creates the file with the next number, exclusively, and
then looks once more: whoever sees another living lease beside its own withdraws. Because each
looks after creating (which also makes network file systems read the folder afresh), two runs can
never both believe that they hold it; because the number is taken from the list that was judged, two
runs that start together meet on one file name, and exactly one gets it. Only the winner removes
dead leases.

*Is the other one alive?* On the same machine (same host name, boot and process namespace) its
process is asked for, by pid and start time: a dead holder is succeeded at once, and a living one
is never robbed, however late its heartbeat. On another machine only the heartbeat can tell: the
holder touches its file every ``HEARTBEAT_SECONDS``, and is dead when that was ``EXPIRY_SECONDS``
ago. Both times are modification times given by the one file system, so the clocks of the machines
do not matter; the time written inside the file is for people.

*What remains.* A holder on another machine that sleeps for longer than the expiry and wakes up
again notices at its next heartbeat, and ``check`` raises. Until then two runs may write; outputs
are atomic and determined by their inputs and the journals are separate files, so this wastes work
and damages nothing.

Parts of one run (see parts.py) with the same configuration share the folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from axion_stage3.errors import OutputError, RunConflictError
from axion_stage3.runs.journal_index import journal_paths
from axion_stage3.runs.parts import Part, Shard, parse_part
from axion_stage3.runs.process_identity import ProcessIdentity
from axion_stage3.storage.locations import require_regular

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HEARTBEAT_SECONDS: Final = 10.0
EXPIRY_SECONDS: Final = 120.0

_LEASE_NAME: Final = re.compile(r"lease-(\d{6,12})\.json")
_LEASE_SCHEMA: Final = 1
_MAX_LEASE_BYTES: Final = 1 << 16
_MAX_ATTEMPTS: Final = 100
_SETTLING_SECONDS: Final = 1.0

_tokens_of_this_process: Final[set[str]] = set()
"""Tokens of the leases that this very process holds."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a lease file says."""

    process: ProcessIdentity
    token: str
    part: Part | None
    configuration_digest: str
    acquired_at: str

    def conflicts_with(self, other: _Claim) -> bool:
        """Whether the two may not write at the same time."""
        if self.part is None or other.part is None:
            return True
        is_same_run = self.configuration_digest == other.configuration_digest
        return not (is_same_run and self.part.may_run_beside(other.part))

    def to_json(self) -> str:
        document = {
            "schema": _LEASE_SCHEMA,
            **asdict(self),
            "part": None if self.part is None else str(self.part),
            "expiry_seconds": EXPIRY_SECONDS,
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> Self | None:
        """Read it back; None if this is not a whole lease."""
        try:
            document = json.loads(text)
            part = document["part"]
            return cls(
                process=ProcessIdentity.from_json(document["process"]),
                token=str(document["token"]),
                part=None if part is None else parse_part(part),
                configuration_digest=str(document["configuration_digest"]),
                acquired_at=str(document["acquired_at"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class _FoundLease:
    """A lease file in the folder; ``claim`` is None if it says nothing that can be understood."""

    path: Path
    session: int
    claim: _Claim | None
    touched: float


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
        cls, runs_folder: Path, *, configuration_digest: str, part: Part | None = None
    ) -> Self:
        """Take the lease of ``OUTPUT/runs``, which must exist.

        Raises:
            RunConflictError: A living run holds it; the message names host, process and start.
            OutputError: The folder cannot be read or written.
        """
        claim = _Claim(
            process=ProcessIdentity.of_this_process(),
            token=secrets.token_hex(8),
            part=part,
            configuration_digest=configuration_digest,
            acquired_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        _tokens_of_this_process.add(claim.token)
        try:
            for _ in range(_MAX_ATTEMPTS):
                path, session = _next_free(runs_folder, claim)
                if _create(path, claim):
                    _look_again(runs_folder, path, claim)
                    return cls(path, session, claim.token)
        except BaseException as error:
            _tokens_of_this_process.discard(claim.token)
            if isinstance(error, OSError) and not isinstance(error, OutputError):
                raise _lease_error(runs_folder, error) from error
            raise
        _tokens_of_this_process.discard(claim.token)
        raise RunConflictError(
            f"Too many runs start at the same time in {runs_folder}.",
            hint="Start one run, or the shards of one run, on one output folder.",
            path=runs_folder,
        )

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
        if self._stopped.is_set():
            return
        self._stopped.set()
        try:
            if not self._loss:
                with suppress(OSError):
                    self.path.unlink()
        finally:  # a file that a Ctrl-C leaves here belongs to nobody any more
            _tokens_of_this_process.discard(self._token)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                found = _read(self.path, self.session)
                if found.claim is None or found.claim.token != self._token:
                    self._loss = "another run took it over"
                    return
                os.utime(self.path)  # needs no space, and the file system gives the time
                last = time.monotonic()
            except FileNotFoundError:
                self._loss = "the file is gone, another run took it over or the folder was removed"
                return
            except OSError as error:
                if time.monotonic() - last > EXPIRY_SECONDS / 2:
                    self._loss = f"it cannot be renewed ({error.strerror or error})"
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def is_in_use(runs_folder: Path) -> bool:
    """Whether a living run, or part of one, holds ``OUTPUT/runs``.

    Raises:
        OutputError: The folder cannot be read or written.
    """
    try:
        return any(_is_living(runs_folder, lease) for lease in _leases(runs_folder))
    except OSError as error:
        raise _lease_error(runs_folder, error) from error


def _next_free(runs_folder: Path, claim: _Claim) -> tuple[Path, int]:
    """Path and number of the next session, if no living lease stands against it."""
    found = _leases(runs_folder)
    _refuse_if_held(runs_folder, found, claim)
    numbers = [lease.session for lease in found]
    numbers += [session for session, _ in journal_paths(runs_folder)]
    session = 1 + max(numbers, default=0)
    return runs_folder / f"lease-{session:06d}.json", session


def _create(path: Path, claim: _Claim) -> bool:
    """Create the lease file exclusively; False if another run was faster."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        try:
            content = claim.to_json().encode()
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _look_again(runs_folder: Path, own: Path, claim: _Claim) -> None:
    """Withdraw if a living lease stands beside the new one; else remove the dead ones."""
    try:
        others = [lease for lease in _leases(runs_folder) if lease.path != own]
        living = _refuse_if_held(runs_folder, others, claim)
    except BaseException:
        own.unlink(missing_ok=True)
        raise
    for lease in others:
        if lease not in living:
            with suppress(OSError):
                lease.path.unlink()


def _refuse_if_held(
    runs_folder: Path, found: list[_FoundLease], claim: _Claim
) -> list[_FoundLease]:
    """The living leases among ``found``, none of which conflicts with ``claim``."""
    living = [lease for lease in found if _is_living(runs_folder, lease)]
    for lease in living:
        if lease.claim is None or lease.claim.conflicts_with(claim):
            raise _held(runs_folder, lease, claim)
    return living


def _is_living(runs_folder: Path, lease: _FoundLease) -> bool:
    if lease.claim is not None and lease.claim.process == ProcessIdentity.of_this_process():
        # Given back, but not removed: the disk was gone, or full.
        return lease.claim.token in _tokens_of_this_process
    is_alive = None if lease.claim is None else lease.claim.process.is_alive()
    if is_alive is not None:
        return is_alive
    return _file_clock(runs_folder) - lease.touched < EXPIRY_SECONDS


def _file_clock(folder: Path) -> float:
    """Now, as the file system sees it that gave the leases their times."""
    probe = folder / f".lease-clock.{secrets.token_hex(8)}.tmp"
    try:
        with probe.open("xb") as file:
            file.write(b".")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _leases(runs_folder: Path) -> list[_FoundLease]:
    leases = []
    for path in runs_folder.iterdir():
        match = _LEASE_NAME.fullmatch(path.name)
        if match is not None:
            with suppress(FileNotFoundError):
                leases.append(_read_settled(path, int(match[1])))
    return leases


def _read_settled(path: Path, session: int) -> _FoundLease:
    """Read a lease; one that is not whole yet is given a moment to be written."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while True:
        lease = _read(path, session)
        if lease.claim is not None or time.monotonic() >= deadline:
            return lease
        time.sleep(0.01)


def _read(path: Path, session: int) -> _FoundLease:
    require_regular(path)
    # Opened before it is measured: network file systems bring their caches up to date on open.
    with path.open("rb") as file:
        claim = _Claim.from_json(file.read(_MAX_LEASE_BYTES))
        return _FoundLease(path, session, claim, os.fstat(file.fileno()).st_mtime)


def _held(runs_folder: Path, lease: _FoundLease, claim: _Claim) -> RunConflictError:
    other = lease.claim
    if other is None:
        who = "another run, whose lease cannot be read"
        process = "it"
    else:
        part = "" if other.part is None else f", {_words(other.part)}"
        process = f"process {other.process.pid} on {other.process.host}"
        who = f"another run ({process}{part}, since {other.acquired_at})"
    if other is not None and other.part is not None and claim.part is not None:
        advice = (
            "Shards share a folder if they have the same n, the same options and another k; so do "
            "lists of different tiles with the same options."
        )
    else:
        advice = "Wait for it to end, or choose another --output-dir."
    return RunConflictError(
        f"The output folder {runs_folder.parent} is in use by {who}.",
        hint=f"{advice} If {process} is certainly dead, delete {lease.path}.",
        path=runs_folder.parent,
    )


def _words(part: Part) -> str:
    return f"shard {part}" if isinstance(part, Shard) else str(part)


def _lease_error(runs_folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The leases in {runs_folder} cannot be read or written: {error.strerror or error}.",
        hint="Restore access to the output folder or free space, or choose another --output-dir.",
        path=runs_folder,
    )
