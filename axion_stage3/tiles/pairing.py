"""Which opt_v2 tile belongs to which s1 tile.

Tiles are matched by file name, at any depth below the two folders: the same relative path first,
then a file name that is there exactly once on both sides although the sub-folders differ. Names
are checked here, once, since each of them becomes the name of an output file.
"""

from __future__ import annotations

import difflib
import heapq
import itertools
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.atomic_write import LONGEST_NAME_BYTES
from axion_stage3.errors import InputFolderError, NoTilePairsError, TileCollisionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from axion_stage3.paths import AnyPath
    from axion_stage3.tiles.georeference import Georeference

LONGEST_PATH_BYTES: Final = 1024
"""Longest relative path of a tile, in bytes of UTF-8."""

RESERVED_NAMES: Final = frozenset(("inference_summary.npz", "tile_statistics.npz"))
"""Tiles whose statistics file would replace one of the documents of the run."""

RESERVED_FOLDER: Final = "runs"
"""Folder of the output folder that holds the records of its runs."""

_SUFFIX: Final = ".npz"
_NO_FOLDERS: Final = frozenset(("", ".", ".."))
_PLAIN_NAME: Final = re.compile(r"(?:\w[\w.=+ -]*/)*\w[\w.=+ -]*", re.ASCII)
"""What nearly all names look like; nothing can be wrong with them."""

_LEAST_LIKENESS: Final = 0.5
_SHOWN_NAMES: Final = 3
_COMPARED_NAMES: Final = 1000


@dataclass(frozen=True, slots=True)
class TilePair:
    """An opt_v2 tile and the s1 tile it must agree with.

    Files are kept as text, since a million pathlib objects take a gigabyte.

    Attributes:
        name: Relative posix path of the opt_v2 tile, ending in ``.npz``; names the output too.
        opt_v2_file: File of the opt_v2 tile.
        s1_file: File of the s1 tile.
        georeference: Where the pair lies, from a table; None if no table says so.
    """

    name: str
    opt_v2_file: AnyPath
    s1_file: AnyPath
    georeference: Georeference | None = None

    @property
    def opt_v2_path(self) -> Path:
        """File of the opt_v2 tile."""
        return Path(self.opt_v2_file)

    @property
    def s1_path(self) -> Path:
        """File of the s1 tile."""
        return Path(self.s1_file)


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that looks like a tile but is not used.

    Attributes:
        path: The file or folder.
        reason: Why it is not used.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """What two folders have in common.

    Attributes:
        pairs: The pairs, sorted by name.
        unmatched_opt_v2: Names of opt_v2 tiles without an s1 tile, sorted.
        unmatched_s1: Names of s1 tiles without an opt_v2 tile, sorted.
        refused: Files that look like tiles but are not used, sorted by path.
    """

    pairs: tuple[TilePair, ...]
    unmatched_opt_v2: tuple[str, ...]
    unmatched_s1: tuple[str, ...]
    refused: tuple[RefusedFile, ...] = ()


@dataclass(slots=True)
class _Folder:
    """The tiles found below one folder: their files by name."""

    root: Path
    tiles: dict[str, str] = field(default_factory=dict)
    refused: list[RefusedFile] = field(default_factory=list)


def find_pairs(opt_v2_dir: Path, s1_dir: Path, *, output_dir: Path | None = None) -> Pairing:
    """Match the tiles of two folders.

    Hidden files and folders are ignored, and files that do not end in ``.npz`` (in any case). A
    folder is not searched where it holds the other one or the output folder.

    Args:
        opt_v2_dir: Folder of opt_v2 tiles.
        s1_dir: Folder of s1 tiles.
        output_dir: Folder of outputs, left out of the search if it lies in one of the others.

    Returns:
        The pairs, and what could not be paired.

    Raises:
        InputFolderError: A folder is missing or cannot be read.
        NoTilePairsError: The folders have no tile in common.
        TileCollisionError: Two tiles would be written to one output file.
    """
    opt_v2 = _scan(opt_v2_dir, _inside(opt_v2_dir, s1_dir, output_dir))
    s1 = _scan(s1_dir, _inside(s1_dir, opt_v2_dir, output_dir))
    partners = _partners(opt_v2.tiles, s1.tiles)
    refused = sorted({*opt_v2.refused, *s1.refused}, key=lambda file: str(file.path))
    if not partners:
        raise _no_pairs(opt_v2, s1, refused)
    _refuse_collisions(partners)
    used = set(partners.values())
    return Pairing(
        pairs=tuple(
            TilePair(name, opt_v2.tiles[name], s1.tiles[partners[name]])
            for name in sorted(partners)
        ),
        unmatched_opt_v2=tuple(sorted(opt_v2.tiles.keys() - partners.keys())),
        unmatched_s1=tuple(sorted(s1.tiles.keys() - used)),
        refused=tuple(refused),
    )


def find_tiles(folder: Path, *, exclude: Sequence[Path] = ()) -> dict[str, Path]:
    """Find the tiles below one folder, under the rules of ``find_pairs``.

    Args:
        folder: The folder.
        exclude: Folders below it that are left out.

    Returns:
        The files by tile name, sorted.

    Raises:
        InputFolderError: The folder is missing or cannot be read.
        TileCollisionError: Two files differ only in the case of their extension.
    """
    found = _scan(folder, _inside(folder, *exclude)).tiles
    return {name: Path(found[name]) for name in sorted(found)}


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


def _inside(folder: Path, *others: Path | None) -> frozenset[Path]:
    root = _resolved(folder)
    resolved = (_resolved(other) for other in others if other is not None)
    return frozenset(other for other in resolved if other != root and other.is_relative_to(root))


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it never raises, not even on loops


def _scan(root: Path, excluded: frozenset[Path]) -> _Folder:
    found = _Folder(root)
    real_root = _resolved(root)
    for relative, entry in _walk(root, real_root, excluded):
        fault = name_fault(relative) or _file_fault(entry, real_root)
        if fault is not None:
            found.refused.append(RefusedFile(Path(entry.path), fault))
            continue
        name = relative if relative.endswith(_SUFFIX) else relative[: -len(_SUFFIX)] + _SUFFIX
        if name in found.tiles:
            raise _collision(found.tiles[name], entry.path, name)
        found.tiles[name] = entry.path
    return found


def _walk(
    root: Path, real_root: Path, excluded: frozenset[Path]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what looks like a tile, and symlinked folders, with paths relative to the root."""
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        if excluded and (real_root / prefix) in excluded:
            continue
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InputFolderError(
                f"The folder {folder} cannot be read: {error.strerror}.",
                hint=_folder_hint(folder) if folder is root else "",
                path=folder,
            ) from error
        for entry in listed:
            if entry.name.startswith("."):
                continue
            relative = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append((Path(entry.path), relative + "/"))
            elif entry.name.lower().endswith(_SUFFIX) or _is_link_to_folder(entry):
                yield relative, entry


def _is_link_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and os.path.isdir(entry.path)  # noqa: PTH112 (never raises)


def _file_fault(entry: os.DirEntry[str], real_root: Path) -> str | None:
    if not entry.is_symlink() and entry.is_file():
        return None
    if _is_link_to_folder(entry):
        return "symlinked folders are not searched"
    if not os.path.isfile(entry.path):  # noqa: PTH113 (never raises)
        return "it is not a regular file"
    if not _resolved(Path(entry.path)).is_relative_to(real_root):
        return "it is a symlink that leads out of the folder"
    return None


def _partners(opt_v2: Collection[str], s1: Collection[str]) -> dict[str, str]:
    """The s1 name of each opt_v2 name that has one."""
    partners = {name: name for name in opt_v2 if name in s1}
    if len(partners) in (len(opt_v2), len(s1)):
        return partners
    n_opt_v2 = Counter(map(_file_name, opt_v2))
    n_s1 = Counter(map(_file_name, s1))
    lone_s1 = {_file_name(name): name for name in s1 if name not in partners}
    for name in set(opt_v2).difference(partners):
        file_name = _file_name(name)
        if n_opt_v2[file_name] == 1 and n_s1[file_name] == 1:
            partners[name] = lone_s1[file_name]
    return partners


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]


def _refuse_collisions(names: Iterable[str]) -> None:
    """Disks that ignore case or normalise letters would give some outputs one file."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        key = unicodedata.normalize("NFC", name).casefold()
        key = name if key == name else key  # one text less to keep
        if key in RESERVED_NAMES or key.startswith(RESERVED_FOLDER + "/"):
            raise TileCollisionError(
                f"The tile {name} would be written where the run keeps its own documents: "
                f"{', '.join(sorted(RESERVED_NAMES))} and the folder {RESERVED_FOLDER} are taken.",
                hint="Rename this tile, or its folder, on both sides.",
                tile_name=name,
            )
        if key in seen:
            raise _collision(seen[key], name, name)
        seen[key] = name


def _collision(first: str, second: str, name: str) -> TileCollisionError:
    return TileCollisionError(
        f"The tiles {first} and {second} would be written to one output file.",
        hint="Rename one of them; names that differ only in case count as the same.",
        tile_name=name,
    )


def _no_pairs(opt_v2: _Folder, s1: _Folder, refused: Sequence[RefusedFile]) -> NoTilePairsError:
    message = (
        f"No matching tile pairs found between {opt_v2.root} and {s1.root}. "
        f"{_inventory(opt_v2)} {_inventory(s1)}"
    )
    if refused:
        first = refused[0]
        message += f" Not used: {len(refused)}, such as {str(first.path)!r} ({first.reason})."
    hint = "A pair has the same file name in both folders, such as tile_001.npz."
    for name in sorted(opt_v2.tiles)[:_SHOWN_NAMES]:
        near = nearest_names(_file_name(name), map(_file_name, sorted(s1.tiles)))
        if near:
            hint += f" Nearest to {_file_name(name)}: {', '.join(near)}."
            break
    return NoTilePairsError(message, hint=hint, path=opt_v2.root)


def _inventory(folder: _Folder) -> str:
    names = sorted(folder.tiles)
    if not names:
        return f"{folder.root} holds no NPZ file."
    more = ", ..." if len(names) > _SHOWN_NAMES else ""
    files = "file" if len(names) == 1 else "files"
    return (
        f"{folder.root} holds {len(names)} NPZ {files} ({', '.join(names[:_SHOWN_NAMES])}{more})."
    )


def _folder_hint(root: Path) -> str:
    parent = root.parent
    try:
        near = nearest_names(root.name, sorted(os.listdir(parent)))  # noqa: PTH208
    except OSError:
        return "Check the path: the folder above it cannot be read either."
    return f"Nearest names there: {', '.join(near)}." if near else "Check the path."
