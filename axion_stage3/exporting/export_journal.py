"""What an export has already made, so that it can go on where it was."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

from axion_stage3.errors import OutputError
from axion_stage3.runs.journal_lines import decode_line, encode_line
from axion_stage3.storage.locations import require_regular

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

JOURNAL_NAME: Final = "export-journal.jsonl"


class ExportJournal:
    """The journal of an export folder, open for adding; a context manager.

    A line says which files a tile became, how large they are, and what they were made from. Lines
    carry a checksum: one that a kill has torn is passed over, and its tile is made again.

    Args:
        folder: The folder of the export; must exist.

    Raises:
        OutputError: The journal cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._made: dict[str, tuple[str, dict[str, int]]] = {}
        path = folder / JOURNAL_NAME
        try:
            if path.exists():
                require_regular(path)
                for line in path.read_bytes().splitlines(keepends=True):
                    self._remember(line)
            self._file = path.open("ab", buffering=0)
            self._file.write(b"\n")  # ends a line that a kill has torn
        except OSError as error:
            raise OutputError(
                f"Cannot write {path}: {error.strerror or error}.",
                hint="Choose another --output-dir.",
                path=path,
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def is_made(self, name: str, fingerprint: str) -> bool:
        """Whether a tile has been exported from the same source in the same way, and is there."""
        made_from, sizes = self._made.get(name, ("", {}))
        return made_from == fingerprint and all(
            _size(self._folder / file) == size for file, size in sizes.items()
        )

    def add(self, name: str, fingerprint: str, files: Sequence[Path]) -> None:
        """Note that a tile has been exported; after its files have been written.

        Raises:
            OutputError: The journal cannot be written.
        """
        sizes = {file.relative_to(self._folder).as_posix(): _size(file) for file in files}
        line = encode_line({"tile": name, "fingerprint": fingerprint, "files": sizes})
        try:
            with self._lock:
                self._file.write(line)
        except OSError as error:
            raise OutputError(
                f"Cannot write {self._folder / JOURNAL_NAME}: {error.strerror or error}.",
                hint="Is there room on the disk? The same command goes on where it was.",
                path=self._folder,
            ) from error

    def _remember(self, line: bytes) -> None:
        document = decode_line(line) or {}
        name, files = document.get("tile"), document.get("files")
        if isinstance(name, str) and isinstance(files, dict):
            self._made[name] = (str(document.get("fingerprint")), files)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return -1
