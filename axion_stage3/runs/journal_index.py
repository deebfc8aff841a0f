"""What all journals of an output folder say together, small enough for a million tiles."""

from __future__ import annotations

import logging
import os
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, cast

from axion_stage3.errors import OutputError, RunConflictError
from axion_stage3.runs.journal import JOURNAL_SCHEMA, EndState, GrantedPolicy
from axion_stage3.runs.journal_lines import (
    WrittenTile,
    decode_head,
    decode_line,
    decode_outcome,
    decode_written,
    tile_mark,
)
from axion_stage3.runs.journal_segments import FetchedJournals, fetch_journals
from axion_stage3.runs.outcome import OUTCOME_NAMES, OutcomeName, TileOutcome
from axion_stage3.storage.locations import ObjectUrl, require_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from axion_stage3.storage.locations import Location

_log: Final = logging.getLogger(__name__)

_JOURNAL_NAME: Final = re.compile(r"journal-(\d{6,12})-([A-Za-z0-9-]+)\.jsonl")
_MAX_LINE_BYTES: Final = 1 << 20

# outcome, session, configuration digest, input digest, output bytes, file, offset, line length
_ROW: Final = struct.Struct("<BI8s8sqIQI")
_WRITTEN: Final = OUTCOME_NAMES.index("written")
_MAX_OPEN_FILES: Final = 32
_TILE_LINE: Final = b'{"tile":'
_FINGERPRINT_LENGTH: Final = 33


class TileRecord(NamedTuple):
    """The latest outcome of one tile, without what only the summary needs."""

    outcome: OutcomeName
    configuration_digest: str
    input_digest: str
    output_bytes: int

    @property
    def fingerprint(self) -> str:
        """The fingerprint as it stands in the journal."""
        return f"{self.configuration_digest}-{self.input_digest}"


@dataclass(slots=True)
class JournalSession:
    """One journal file: one worker in one session.

    Attributes:
        session: Number of the session; a later start has a higher one.
        worker: Name of the worker.
        configuration_digest: Of the session's configuration; empty if the first line is damaged.
        granted: What the session was allowed to do with outputs of another configuration.
        scope: Which tiles it was about.
        leader: The worker whose journal says how the session ended; empty if that is this one.
        closed: How it ended; None if it was killed or is still running.
        elapsed_seconds: Time from its start to its last line, in seconds.
    """

    session: int
    worker: str
    configuration_digest: str = ""
    granted: GrantedPolicy = "resume"
    scope: str = ""
    leader: str = ""
    closed: EndState | None = None
    elapsed_seconds: float = 0.0


@dataclass(slots=True)
class JournalIndex:
    """The latest outcome of every tile: about 250 bytes a tile, whatever its statistics.

    Attributes:
        sessions: All journal files, oldest session first.
        n_unreadable_lines: Lines that were torn or damaged, and were passed over.
        fetched: The temporary folder of journals that lie in an object store; None for others.
    """

    sessions: list[JournalSession] = field(default_factory=list)
    n_unreadable_lines: int = 0
    fetched: FetchedJournals | None = None
    _paths: list[Path] = field(default_factory=list)
    _rows: dict[str, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def get(self, tile: str) -> TileRecord | None:
        """The latest outcome of ``tile``, None if there is none."""
        row = self._rows.get(tile)
        if row is None:
            return None
        outcome, _, configuration, inputs, output_bytes, *_ = _ROW.unpack(row)
        return TileRecord(OUTCOME_NAMES[outcome], configuration.hex(), inputs.hex(), output_bytes)

    def outcomes(self, tiles: list[str]) -> Iterator[TileOutcome]:
        """Read the full outcomes of ``tiles`` from the journals again, in the order given.

        Tiles without an outcome, and lines that can no longer be read, are passed over.
        """
        with _LineReader(self._paths) as reader:
            for tile in tiles:
                row = self._rows.get(tile)
                if row is None:
                    continue
                *_, file, offset, length = _ROW.unpack(row)
                document = decode_line(reader.read(file, offset, length))
                outcome = None if document is None else decode_outcome(document)
                if outcome is not None:
                    yield outcome

    def written_by_journal(self) -> list[tuple[int, int]]:
        """For each of ``sessions``: how many tiles have their output from it, and its bytes."""
        written = [(0, 0)] * len(self._paths)
        for row in self._rows.values():
            outcome, *_, output_bytes, file, _, _ = _ROW.unpack(row)
            if OUTCOME_NAMES[outcome] == "written":
                n_tiles, n_bytes = written[file]
                written[file] = n_tiles + 1, n_bytes + output_bytes
        return written

    def add_journal(self, path: Path, *, only: str | None = None) -> None:
        """Add one journal file; files must come oldest session first.

        Later lines win. Between two workers of one session that both had a tile, ``written`` wins
        (an output that is there stays there), and ``replacing`` loses (it says of no end).

        Args:
            path: The file.
            only: Name of a tile: lines about others are passed over, which is several times as
                fast; None for all.

        Raises:
            RunConflictError: A newer version of axion-stage3 wrote the file.
            OutputError: The file cannot be read.
        """
        match = _JOURNAL_NAME.fullmatch(path.name)
        assert match is not None, path
        session = JournalSession(int(match[1]), match[2])
        self.sessions.append(session)
        self._paths.append(path)
        mark = None if only is None else tile_mark(only)
        n_lines, n_unreadable_before = 0, self.n_unreadable_lines
        for offset, line in _lines(path):
            n_lines += 1
            if mark is not None and line.startswith(_TILE_LINE) and not line.startswith(mark):
                continue
            if (written := decode_written(line)) is not None:
                self._add_written(written, session, offset, len(line))
                continue
            document = decode_head(line)
            if document is None:
                self.n_unreadable_lines += line != b"\n"
            elif "tile" in document:
                self._add_tile(document, session, offset, len(line))
            else:
                _add_facts(session, document, path)
        _log.debug(
            "Read %s: %d lines, %d of them unreadable; %s",
            path.name,
            n_lines,
            self.n_unreadable_lines - n_unreadable_before,
            session.closed or "still open, or cut short",
        )

    def _add_written(
        self, written: WrittenTile, session: JournalSession, offset: int, length: int
    ) -> None:
        session.elapsed_seconds = max(session.elapsed_seconds, written.elapsed_seconds)
        self._rows[written.tile] = _ROW.pack(
            _WRITTEN,
            session.session,
            written.configuration_digest,
            written.input_digest,
            written.output_bytes,
            len(self._paths) - 1,
            offset,
            length,
        )

    def _add_tile(
        self, document: dict[str, Any], session: JournalSession, offset: int, length: int
    ) -> None:
        outcome = decode_outcome(document)
        digests = None if outcome is None else _split_fingerprint(outcome.fingerprint)
        if outcome is None or digests is None:
            self.n_unreadable_lines += 1
            return
        session.elapsed_seconds = max(session.elapsed_seconds, _elapsed(document))
        file = len(self._paths) - 1
        if self._is_settled_beside(outcome, session, file):
            return
        self._rows[outcome.tile] = _ROW.pack(
            OUTCOME_NAMES.index(outcome.outcome),
            session.session,
            *digests,
            outcome.output_bytes,
            file,
            offset,
            length,
        )

    def _is_settled_beside(self, outcome: TileOutcome, session: JournalSession, file: int) -> bool:
        """Whether what another worker of the same session says of the tile outweighs this."""
        row = self._rows.get(outcome.tile)
        if row is None or outcome.outcome == "written":
            return False
        known_outcome, known_session, _, _, _, known_file, *_ = _ROW.unpack(row)
        is_beside: bool = known_session == session.session and known_file != file
        return is_beside and (known_outcome == _WRITTEN or outcome.outcome == "replacing")


def read_journals(
    runs_folder: Location, *, named: str | None = None, only: str | None = None
) -> JournalIndex:
    """Read the journals of ``OUTPUT/runs``; an empty index if there are none.

    Args:
        runs_folder: The folder.
        named: File name of the one journal that is read; None for all.
        only: Name of the one tile that is asked for; None for all.

    Raises:
        RunConflictError: A newer version of axion-stage3 wrote one of them.
        OutputError: The folder or a file in it cannot be read.
    """
    fetched = None
    if isinstance(runs_folder, ObjectUrl):
        prefix = "journal-" if named is None else named.removesuffix(".jsonl") + "."
        try:
            fetched = fetch_journals(runs_folder, prefix)
        except OSError as error:
            raise _reading_error(runs_folder, error) from error
        paths = fetched.paths
    else:
        paths = journal_paths(runs_folder)
    index = JournalIndex(fetched=fetched)
    for _, path in sorted(paths):
        if named is None or path.name == named:
            index.add_journal(path, only=only)
    return index


def journal_paths(runs_folder: Path) -> list[tuple[int, Path]]:
    """Session number and path of each journal in ``OUTPUT/runs``.

    Raises:
        OutputError: The folder is there but cannot be listed.
    """
    try:
        paths = list(runs_folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _reading_error(runs_folder, error) from error
    matches = [(_JOURNAL_NAME.fullmatch(path.name), path) for path in paths]
    return [(int(match[1]), path) for match, path in matches if match is not None]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line; a line that never ends is handed out in pieces."""
    offset = 0
    try:
        require_regular(path)
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                yield offset, line
                offset += len(line)
    except OSError as error:
        raise _reading_error(path, error) from error


def _add_facts(session: JournalSession, document: dict[str, Any], path: Path) -> None:
    session.elapsed_seconds = max(session.elapsed_seconds, _elapsed(document))
    schema = document.get("journal")
    if isinstance(schema, int) and schema > JOURNAL_SCHEMA:
        raise RunConflictError(
            f"{path} was written by a newer version of axion-stage3 (journal schema {schema}; "
            f"this version knows {JOURNAL_SCHEMA}).",
            hint="Use that version, or choose another --output-dir.",
            path=path,
        )
    if isinstance(document.get("configuration"), str):
        session.configuration_digest = document["configuration"]
    if document.get("granted") in ("resume", "skip", "overwrite"):
        session.granted = cast("GrantedPolicy", document["granted"])
    if isinstance(document.get("scope"), str):
        session.scope = document["scope"]
    if isinstance(document.get("leader"), str):
        session.leader = document["leader"]
    if document.get("closed") in ("finished", "interrupted", "failed"):
        session.closed = cast("EndState", document["closed"])


def _elapsed(document: dict[str, Any]) -> float:
    value = document.get("elapsed_seconds")
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e12 else 0.0


def _split_fingerprint(fingerprint: str) -> tuple[bytes, bytes] | None:
    configuration, _, inputs = fingerprint.partition("-")
    try:
        digests = bytes.fromhex(configuration), bytes.fromhex(inputs)
    except ValueError:
        return None
    is_whole = len(fingerprint) == _FINGERPRINT_LENGTH and len(digests[0]) == len(digests[1]) == 8
    return digests if is_whole else None


def _reading_error(path: Location, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Restore access to the output folder, or choose another --output-dir.",
        path=path,
    )


class _LineReader:
    """Reads single lines at known places, with few files open at a time."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._descriptors: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_all()

    def read(self, file: int, offset: int, length: int) -> bytes:
        path = self._paths[file]
        try:
            if file not in self._descriptors:
                if len(self._descriptors) >= _MAX_OPEN_FILES:
                    self._close_all()
                self._descriptors[file] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            descriptor = self._descriptors[file]
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, length)
        except OSError as error:
            raise _reading_error(path, error) from error

    def _close_all(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
