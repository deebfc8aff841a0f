"""Lists of tiles, one a line: which pairs of two folders a run is about."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import TileListError
from axion_stage3.storage.locations import is_url
from axion_stage3.tiles.tile_names import nearest_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import Pairing, TilePair

STANDARD_INPUT: Final = Path("-")

_SUFFIX: Final = ".npz"
_SHOWN: Final = 3
_NEIGHBOURS: Final = 400


def read_tile_list(source: Location) -> list[str]:
    """Read a list of tiles: one name or path a line; empty lines are passed over.

    Args:
        source: The file, or ``-`` for standard input.

    Returns:
        The lines, as they stand there.

    Raises:
        TileListError: The list cannot be read, or is empty.
    """
    try:
        data = sys.stdin.buffer.read() if source == STANDARD_INPUT else source.read_bytes()
    except OSError as error:
        raise TileListError(
            f"The list of tiles {source} cannot be read: {error.strerror or error}.",
            hint="Give a text file with one tile a line, or - for standard input.",
            path=source,
        ) from error
    # As the file system's own names are read: whatever their bytes are, they find their file.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    entries = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if not entries:
        raise TileListError(
            f"The list of tiles from {_words(source)} is empty.",
            hint="Write one tile a line, or leave --tiles out to run them all.",
            path=source,
        )
    return entries


def select_listed(
    pairing: Pairing,
    entries: Sequence[str],
    *,
    opt_v2_dir: Location,
    s1_dir: Location,
    source: Location,
) -> tuple[TilePair, ...]:
    """Find the pairs that a list names.

    An entry is the name of a tile (with or without ``.npz``), or the path of its file in either
    folder. The order of the list and repetitions in it do not matter.

    Args:
        pairing: All pairs of the two folders.
        entries: Lines of the list.
        opt_v2_dir: Folder of the opt_v2 tiles.
        s1_dir: Folder of the s1 tiles.
        source: Where the list came from, for messages.

    Returns:
        The pairs, sorted by name.

    Raises:
        TileListError: An entry names no pair; the message has the nearest names.
    """
    directory = _Directory(pairing.pairs, opt_v2_dir, s1_dir)
    wanted: set[str] = set()
    unknown: list[str] = []
    for entry in entries:
        name = directory.name_of(entry)
        if name is None:
            unknown.append(entry)
        else:
            wanted.add(name)
    if unknown:
        raise _unknown(unknown, len(entries), pairing, source)
    return tuple(pair for pair in pairing.pairs if pair.name in wanted)


class _Directory:
    """Finds the tile that an entry means."""

    def __init__(self, pairs: Sequence[TilePair], opt_v2_dir: Location, s1_dir: Location) -> None:
        self._pairs = pairs
        self._names = {pair.name for pair in pairs}
        self._opt_v2_dir = _folder(opt_v2_dir)
        self._s1_dir = _folder(s1_dir)
        self._names_by_s1_file: dict[str, str] | None = None

    def name_of(self, entry: str) -> str | None:
        entries = entry, entry.strip(), entry.strip().removeprefix("./")
        return next(filter(None, map(self._by_name, entries)), None) or self._by_path(entry.strip())

    def _by_name(self, entry: str) -> str | None:
        if entry in self._names:
            return entry
        stem = entry[: -len(_SUFFIX)] if entry.lower().endswith(_SUFFIX) else entry
        return stem + _SUFFIX if stem + _SUFFIX in self._names else None

    def _by_path(self, entry: str) -> str | None:
        path = _absolute(entry)
        if path.startswith(self._opt_v2_dir):
            name = path.removeprefix(self._opt_v2_dir).replace(os.sep, "/")
            if known := self._by_name(name):
                return known
        if not path.startswith(self._s1_dir):
            return None
        if self._names_by_s1_file is None:
            self._names_by_s1_file = {_absolute(pair.s1_path): pair.name for pair in self._pairs}
        return self._names_by_s1_file.get(path)


def _absolute(path: str | Location) -> str:
    text = str(path)
    if is_url(text):
        return text
    return os.path.abspath(text) if "\0" not in text else ""  # noqa: PTH100 - links are kept


def _folder(path: Location) -> str:
    return os.path.join(_absolute(path), "")  # noqa: PTH118 - with the separator at the end


def _unknown(
    unknown: Sequence[str], n_entries: int, pairing: Pairing, source: Location
) -> TileListError:
    shown = ", ".join(_printable(entry) for entry in unknown[:_SHOWN])
    more = ", ..." if len(unknown) > _SHOWN else ""
    are = "is no pair" if len(unknown) == 1 else "are no pairs"
    first = unknown[0].strip()
    lone = {*pairing.unmatched_opt_v2, *pairing.unmatched_s1}
    if first in lone:
        other = "S1" if first in pairing.unmatched_opt_v2 else "opt_v2"
        hint = f"{_printable(first)} has no {other} tile."
    else:
        near = nearest_names(first, _neighbours(first, [pair.name for pair in pairing.pairs]))
        hint = (
            f"Nearest to {_printable(first)}: {', '.join(near)}."
            if near
            else "Give names as they stand below --opt-v2-dir, or paths into that folder."
        )
    return TileListError(
        f"{len(unknown)} of the {n_entries} tiles listed in {_words(source)} {are} of the two "
        f"folders: {shown}{more}.",
        hint=hint,
        path=source,
    )


def _neighbours(name: str, names: Sequence[str]) -> Iterable[str]:
    """Names that could be meant: the same file name elsewhere, and what stands near in the list."""
    file_name = name.rpartition("/")[2]
    namesakes = (known for known in names if known.rpartition("/")[2] == file_name)
    place = bisect_left(names, name)
    nearby = names[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]
    return dict.fromkeys([*islice(namesakes, _SHOWN), *nearby])


def _printable(entry: str) -> str:
    return entry if entry.isprintable() else repr(entry)[1:-1]


def _words(source: Location) -> str:
    return "standard input" if source == STANDARD_INPUT else str(source)
