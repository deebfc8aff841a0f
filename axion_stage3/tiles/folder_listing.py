"""The tiles below one folder, on a disk or in an object store."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import InputFolderError, TileCollisionError
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.tiles.tile_names import name_fault, nearest_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axion_stage3.storage.locations import Location
    from axion_stage3.storage.object_store import StoredObject

LARGEST_OBJECT_BYTES: Final = 2 << 30
"""Largest object that is taken for a tile, in bytes."""

_SUFFIX: Final = ".npz"


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that looks like a tile but is not used.

    Attributes:
        path: The file or folder.
        reason: Why it is not used.
    """

    path: Location
    reason: str


@dataclass(slots=True)
class TileFolder:
    """The tiles found below one folder: their files by name, and their versions if listed."""

    root: Location
    tiles: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    refused: list[RefusedFile] = field(default_factory=list)


def folders_inside(folder: Location, *others: Location | None) -> frozenset[Location]:
    """Those of some folders that lie below a folder."""
    if isinstance(folder, ObjectUrl):
        urls = (other for other in others if isinstance(other, ObjectUrl))
        return frozenset(url for url in urls if url != folder and url.is_relative_to(folder))
    root = _resolved(folder)
    resolved = (_resolved(other) for other in others if isinstance(other, Path))
    return frozenset(other for other in resolved if other != root and other.is_relative_to(root))


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it never raises, not even on loops


def list_folder(root: Location, excluded: frozenset[Location]) -> TileFolder:
    """Find the tiles below a folder, under the rules of ``find_pairs``.

    Args:
        root: The folder.
        excluded: Folders below it that are left out.

    Raises:
        InputFolderError: It cannot be read.
        TileCollisionError: Two tiles differ only in the case of their extension.
    """
    if isinstance(root, ObjectUrl):
        return _scan_objects(root, excluded)
    found = TileFolder(root)
    real_root = _resolved(root)
    for relative, entry in _walk(root, real_root, excluded):
        fault = name_fault(relative) or _file_fault(entry, real_root)
        if fault is not None:
            found.refused.append(RefusedFile(Path(entry.path), fault))
            continue
        _add(found, relative, entry.path)
    return found


def _add(found: TileFolder, relative: str, file: str) -> str:
    """Take in a tile under its name, which is returned."""
    name = relative if relative.endswith(_SUFFIX) else relative[: -len(_SUFFIX)] + _SUFFIX
    if name in found.tiles:
        raise collision(found.tiles[name], file, name)
    found.tiles[name] = file
    return name


def _scan_objects(root: ObjectUrl, excluded: frozenset[Location]) -> TileFolder:
    """List a folder in an object store: names as text, with size and version of each tile."""
    found = TileFolder(root)
    left_out = tuple(f"{str(other).removeprefix(f'{root}/')}/" for other in excluded)
    is_empty = True
    try:
        for entry in root.objects():
            is_empty = False
            if not _looks_like_a_tile(entry.name) or entry.name.startswith(left_out):
                continue
            fault = name_fault(entry.name) or _object_fault(entry)
            if fault is not None:
                found.refused.append(RefusedFile(root / entry.name, fault))
                continue
            name = _add(found, entry.name, f"{root}/{entry.name}")
            found.versions[name] = f"{entry.n_bytes}:{entry.version}"
    except OSError as error:
        raise InputFolderError(
            f"The folder {root} cannot be read: {error.strerror or error}.",
            hint="Check the name of the bucket, permissions, and that the store can be reached.",
            path=root,
        ) from error
    if is_empty:
        raise InputFolderError(
            f"The folder {root} holds no object.", hint="Check the URL.", path=root
        )
    return found


def _looks_like_a_tile(name: str) -> bool:
    is_hidden = name.startswith(".") or "/." in name
    return name.lower().endswith(_SUFFIX) and not is_hidden


def _object_fault(entry: StoredObject) -> str | None:
    if entry.n_bytes > LARGEST_OBJECT_BYTES:  # it is read whole
        return f"it is larger than {LARGEST_OBJECT_BYTES >> 30} GiB"
    return None


def _walk(
    root: Path, real_root: Path, excluded: frozenset[Location]
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
                hint=_folder_hint(folder)
                if folder is root
                else "Restore access to it, or move it out of the input folder.",
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


def collision(first: str, second: str, name: str) -> TileCollisionError:
    """The error of two tiles that would be written to one file."""
    return TileCollisionError(
        f"The tiles {first} and {second} would be written to one output file.",
        hint="Rename one of them; names that differ only in case count as the same.",
        tile_name=name,
    )


def _folder_hint(root: Path) -> str:
    if os.path.isfile(root):  # noqa: PTH113 (never raises)
        return "Give the folder that holds the tiles, not a file."
    if os.path.isdir(root):  # noqa: PTH112 (never raises)
        return "Restore access to it: see its permissions with ls -ld."
    parent = root.parent
    try:
        others = sorted(set(os.listdir(parent)) - {root.name})  # noqa: PTH208
    except OSError:
        return "Check the path: the folder above it cannot be read either."
    near = nearest_names(root.name, others)
    return f"Nearest names there: {', '.join(near)}." if near else "Check the path."
