"""The append-only journal of one session: one JSON line per tile outcome.

A session never appends to an older session's file: each start of the program makes a file of its
own, ``journal-<session>-<worker>.jsonl``. So a line torn by a crash is always the last one of its
file, and the order of sessions does not rest on clocks.

The policy of durability, and why it is enough. The output file is flushed, fsynced and renamed
*before* its line is written, so a line never promises more than the disk holds. The line itself
goes to the kernel with one ``write`` at once: a killed process loses nothing. fsync, which guards
against power loss alone, is done at most every ``FSYNC_INTERVAL_SECONDS``: an unsynced line that
is lost only means that its tile is made again, to the same bytes. One fsync per line would cost
5-30 ms each, hours for a million tiles, and would buy nothing but those seconds.

In an object store nothing can be appended: see journal_segments.py.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Self

from axion_stage3.errors import OutputError
from axion_stage3.runs.journal_lines import encode_line, encode_outcome
from axion_stage3.runs.journal_segments import SegmentWriter
from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.storage.locations import Location

RUNS_FOLDER: Final = "runs"
"""Name of the folder below the output folder that holds all that is in this room."""

JOURNAL_SCHEMA: Final = 1
FSYNC_INTERVAL_SECONDS: Final = 5.0

GrantedPolicy = Literal["resume", "skip", "overwrite"]
EndState = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What the first line of a journal says.

    Attributes:
        session: Number of the session (from the lease).
        worker: Name of the worker; part of the file's name (letters, digits and ``-``).
        configuration_digest: Of this session's configuration.
        granted: What the session may do with outputs of another configuration.
        scope: Which tiles the session is about; a session is made up for only by a finished one of
            the same worker and scope.
        leader: The worker of this session whose journal says how the session ended; empty if that
            is this one.
    """

    session: int
    worker: str
    configuration_digest: str
    granted: GrantedPolicy = "resume"
    scope: str = ""
    leader: str = ""

    @property
    def file_name(self) -> str:
        """Name of the journal's file."""
        return f"journal-{self.session:06d}-{self.worker}.jsonl"

    def led(self, worker: str) -> JournalHeader:
        """The header of another worker of the same session, led by this one."""
        return replace(self, worker=worker, leader=self.worker)

    def document(self) -> dict[str, object]:
        """The line, as JSON values."""
        document: dict[str, object] = {
            "journal": JOURNAL_SCHEMA,
            "session": self.session,
            "worker": self.worker,
            "configuration": self.configuration_digest,
            "granted": self.granted,
            "scope": self.scope,
        }
        return {**document, "leader": self.leader} if self.leader else document


class Journal:
    """Writer of one session's journal; safe to use from several threads.

    Args:
        runs_folder: ``OUTPUT/runs``; must exist if it is on a disk.
        header: The first line.

    Attributes:
        path: The file, or what the names of its objects begin with.

    Raises:
        OutputError: The file cannot be made, or exists already.
    """

    def __init__(self, runs_folder: Location, header: JournalHeader) -> None:
        self.path = runs_folder / header.file_name
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._is_closed = False
        self._lines: _AppendedFile | SegmentWriter
        try:
            if isinstance(self.path, ObjectUrl):
                self._lines = SegmentWriter(self.path)
            else:
                self._lines = _AppendedFile(self.path)
        except OSError as error:
            raise _journal_error(self.path, error) from error
        try:
            self._write(encode_line(header.document()), must_sync=True)
        except BaseException:
            with suppress(OutputError):
                self._close_lines()
            raise

    @property
    def is_buffered(self) -> bool:
        """Whether lines are lost when the process is killed before ``flush``."""
        return isinstance(self._lines, SegmentWriter)

    def append(self, outcome: TileOutcome) -> None:
        """Add one outcome. Call it after the output's ``os.replace`` and fsync, never before.

        Raises:
            OutputError: The line could not be written (disk full, folder gone, journal closed).
        """
        self._write(encode_outcome(outcome, time.monotonic() - self._started), must_sync=False)

    def flush(self) -> None:
        """Have everything that was added survive the end of this process.

        Raises:
            OutputError: It cannot be written.
        """
        with self._lock:
            try:
                self._lines.flush()
            except OSError as error:
                raise _journal_error(self.path, error) from error

    def close(self, state: EndState) -> None:
        """Write how the session ended, fsync and close; harmless when closed already.

        Raises:
            OutputError: The last line could not be written; the file is closed all the same.
        """
        if self._is_closed:
            return
        elapsed = round(time.monotonic() - self._started, 3)
        try:
            self._write(encode_line({"closed": state, "elapsed_seconds": elapsed}), must_sync=True)
        finally:
            self._close_lines()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close("finished" if kind is None else "failed")

    def _write(self, line: bytes, *, must_sync: bool) -> None:
        with self._lock:
            try:
                if self._is_closed:
                    raise OSError("it is closed")
                self._lines.write(line, must_sync=must_sync)
            except OSError as error:
                raise _journal_error(self.path, error) from error

    def _close_lines(self) -> None:
        # Locked: a thread that is late must find the journal closed, never a reused descriptor.
        with self._lock:
            self._is_closed = True
            try:
                self._lines.close()
            except OSError as error:
                raise _journal_error(self.path, error) from error


class _AppendedFile:
    """Appends lines to a file on a disk; to be used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._is_torn = False
        self._synced = time.monotonic()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)

    def write(self, line: bytes, *, must_sync: bool) -> None:
        self._write_whole(line)
        now = time.monotonic()
        if must_sync or now - self._synced >= FSYNC_INTERVAL_SECONDS:
            os.fsync(self._descriptor)
            self._synced = now

    def flush(self) -> None:
        """Each line went to the kernel at once, and outlives the process."""

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _write_whole(self, line: bytes) -> None:
        # A line cut short by a full disk is closed by a newline, so that it spoils no later line.
        data = b"\n" + line if self._is_torn else line
        self._is_torn = True
        written = os.write(self._descriptor, data)
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        self._is_torn = False


def _journal_error(path: Location, error: OSError) -> OutputError:
    return OutputError(
        f"The run journal {path} cannot be written: {error.strerror or error}.",
        hint="Free space or restore access to the output folder, then run the same command again: "
        "it goes on where it stopped.",
        path=path,
    )
