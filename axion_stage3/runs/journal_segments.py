"""A journal in an object store, where nothing can be appended: lines in numbered objects.

``journal-<session>-<worker>.<token>.<number>.jsonl``. Lines wait in memory until
``FLUSH_SECONDS`` have gone by since the last object, or until somebody asks for them to be kept;
then they are written as the next object, once. A killed process loses the lines that waited, and
their tiles are made again, to the same bytes. The token keeps two runs apart that began at the
same moment with the same session number: without locks, nothing else does.

To be read, the segments of a journal are put together in a temporary folder, each with one request,
so that single lines can be looked up later as in any journal.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axion_stage3.storage.locations import ObjectUrl

FLUSH_SECONDS: Final = 5.0
LARGEST_SEGMENT_BYTES: Final = 8 << 20

_SEGMENT_NAME: Final = re.compile(
    r"(journal-(\d{6,12})-[A-Za-z0-9-]+)\.([0-9a-f]{16})\.(\d{6,9})\.jsonl"
)
_N_READERS: Final = 8
_READ_AHEAD: Final = 64


class SegmentWriter:
    """Writes the lines of one journal; to be used by one thread at a time.

    Args:
        journal: The name the journal would have as a file.
    """

    def __init__(self, journal: ObjectUrl) -> None:
        self._folder = journal.parent
        self._stem = f"{journal.name.removesuffix('.jsonl')}.{secrets.token_hex(8)}"
        self._number = 0
        self._waiting: list[bytes] = []
        self._n_bytes = 0
        self._flushed = time.monotonic()

    def write(self, line: bytes, *, must_sync: bool) -> None:
        """Add a line; it waits for others unless it must not.

        Raises:
            OSError: The waiting lines cannot be written; they go on waiting.
        """
        self._waiting.append(line)
        self._n_bytes += len(line)
        is_due = time.monotonic() - self._flushed >= FLUSH_SECONDS
        if must_sync or is_due or self._n_bytes >= LARGEST_SEGMENT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait.

        Raises:
            OSError: They cannot be written; they go on waiting.
        """
        if self._waiting:
            name = f"{self._stem}.{self._number + 1:06d}.jsonl"
            (self._folder / name).write_once(self._waiting)
            # Counted when it is there: one that could not be written is written again, longer.
            self._number += 1
            self._waiting = []
            self._n_bytes = 0
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Nothing to close: what was written is there."""


class FetchedJournals:
    """Journals that were put together from their segments.

    Attributes:
        folder: The temporary folder they are in; it is removed with this, or with the process.
        paths: Session number and file of each, unsorted.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="axion-stage3-journals-"))
        self.paths: list[tuple[int, Path]] = []
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def fetch_journals(runs_folder: ObjectUrl, prefix: str = "journal-") -> FetchedJournals:
    """Read journals from an object store into a temporary folder.

    Args:
        runs_folder: ``OUTPUT/runs``.
        prefix: Only journals whose names begin with this.

    Raises:
        OSError: They cannot be listed or read.
    """
    names = [entry.name for entry in runs_folder.children(prefix)]
    matches = [match for name in names if (match := _SEGMENT_NAME.fullmatch(name)) is not None]
    matches.sort(key=lambda match: (match[1], match[3], int(match[4])))
    fetched = FetchedJournals()
    with ThreadPoolExecutor(_N_READERS) as readers:
        for (journal, session, token), segments in groupby(
            matches, lambda match: (match[1], match[2], match[3])
        ):
            path = fetched.folder / token / f"{journal}.jsonl"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                urls = (runs_folder / segment[0] for segment in segments)
                while ahead := list(islice(urls, _READ_AHEAD)):
                    file.writelines(readers.map(_read, ahead))
            fetched.paths.append((int(session), path))
    return fetched


def session_numbers(runs_folder: ObjectUrl) -> Iterator[int]:
    """The session numbers of the journals that are there.

    Raises:
        OSError: They cannot be listed.
    """
    for entry in runs_folder.children("journal-"):
        if (match := _SEGMENT_NAME.fullmatch(entry.name)) is not None:
            yield int(match[2])


def _read(url: ObjectUrl) -> bytes:
    return url.read_bytes()
