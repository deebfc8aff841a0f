"""Names of tiles: which are usable, and which are like another."""

from __future__ import annotations

import difflib
import heapq
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from axion_stage3.atomic_write import LONGEST_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_PATH_BYTES: Final = 1024
"""Longest relative path of a tile, in bytes of UTF-8."""

_SUFFIX: Final = ".npz"
_NO_FOLDERS: Final = frozenset(("", ".", ".."))
_PLAIN_NAME: Final = re.compile(r"(?:\w[\w.=+ -]*/)*\w[\w.=+ -]*", re.ASCII)
"""What nearly all names look like; nothing can be wrong with them."""

_LEAST_LIKENESS: Final = 0.5
_SHOWN_NAMES: Final = 3
_COMPARED_NAMES: Final = 1000


def name_fault(name: str) -> str | None:
    """Say what makes a tile name unusable as the name of an output file.

    Args:
        name: Relative posix path.

    Returns:
        The reason, or None if the name is fine.
    """
    if len(name) <= LONGEST_NAME_BYTES and _PLAIN_NAME.fullmatch(name):
        return None
    parts = name.split("/")
    if not _NO_FOLDERS.isdisjoint(parts):
        return "its name leads out of the folder"
    if "Cs" in map(unicodedata.category, name):  # how Python reads a byte that is no UTF-8
        return "its name is not UTF-8"
    if "\\" in name or _has_control_characters(name):
        return "its name holds control characters or backslashes"
    if len(name.encode()) > LONGEST_PATH_BYTES or any(
        len(part.encode()) > LONGEST_NAME_BYTES for part in parts
    ):
        return f"its name is longer than {LONGEST_NAME_BYTES} bytes"
    return None


def _has_control_characters(name: str) -> bool:
    """Whether a terminal or a disk might read a name otherwise than it looks."""
    if name.isascii():
        return not name.isprintable()
    return any(unicodedata.category(sign).startswith("C") for sign in name)


def nearest_names(name: str, candidates: Iterable[str]) -> list[str]:
    """Find the names that are most like a given one.

    Args:
        name: The name looked for.
        candidates: Names that exist; only the first thousand are compared.

    Returns:
        At most three names, the nearest first.
    """
    # Without the extension, which all have in common and which would make all look alike.
    stem = name.removesuffix(_SUFFIX)
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(stem)
    scored = []
    for candidate in itertools.islice(candidates, _COMPARED_NAMES):
        other = candidate.removesuffix(_SUFFIX)
        matcher.set_seq1(other)
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < _LEAST_LIKENESS:
            continue
        likeness = matcher.ratio()
        if likeness >= _LEAST_LIKENESS:
            # Of tile_001_S1 and tile_003_S1 the first is the nearer to tile_001, as people read.
            pairs = zip(stem, other, strict=False)
            n_equal = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
            scored.append((-likeness, -n_equal, candidate))
    return [candidate for *_, candidate in heapq.nsmallest(_SHOWN_NAMES, scored)]
