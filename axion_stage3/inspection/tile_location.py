"""Which files belong to a tile that was named on the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import InputFolderError, TileReadError
from axion_stage3.inspection.stored_tile import LAYOUTS
from axion_stage3.tiles.npz_reader import NpzArchive
from axion_stage3.tiles.pairing import find_tiles
from axion_stage3.tiles.tile_names import name_fault, nearest_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from axion_stage3.tiles.findings import Subject

_MAX_NAMES_SHOWN: Final = 5
_SUFFIX: Final = ".npz"
# A pair and its output are named after opt_v2; only without it does another file say the name.
_NAME_GIVERS: Final[tuple[Subject, ...]] = ("opt_v2", "opt_final", "s1")


@dataclass(frozen=True, slots=True)
class TileLocation:
    """The files of a tile.

    Attributes:
        name: Name of the tile, with its sub-folders, as a run names it.
        paths: Its files by kind of tile.
    """

    name: str
    paths: Mapping[Subject, Path]


def locate_tile(tile: str, folders: Mapping[Subject, Path]) -> TileLocation:
    """Find the files of a tile.

    Args:
        tile: Path of one of its files, or its name below the folders, with or without ``.npz``.
        folders: Folder by kind of tile; may be empty if ``tile`` is a path.

    Returns:
        Its files: those below the folders with the same relative path, else with the same file
        name if it is there once. A path outside the folders counts as whatever its keys say.

    Raises:
        InputFolderError: A folder is missing or unreadable.
        TileReadError: There is no such tile, or there are several; the message names the nearest.
    """
    for folder in folders.values():
        if not folder.is_dir():
            raise InputFolderError(
                f"The folder {folder} does not exist.", hint="Check the path.", path=folder
            )
    path = Path(tile)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise TileReadError(
            f"The tile {tile} cannot be looked for: {error.strerror}.",
            hint="Check the name and the permissions of the folders in it.",
            path=path,
        ) from error
    if is_folder:
        raise TileReadError(
            f"{path} is a folder, not a tile.",
            hint=f"Give {path}/NAME.npz; `axion-stage3 validate` checks whole folders.",
            path=path,
        )
    if not is_file:
        return _below(tile_name(tile), folders)
    for folder in folders.values():
        relative = os.path.relpath(path.resolve(), folder.resolve())
        if not relative.startswith(os.pardir):
            return _below(Path(relative).as_posix(), folders)
    own: dict[Subject, Path] = dict.fromkeys(_subjects(path), path)
    others = {subject: folder for subject, folder in folders.items() if subject not in own}
    found = _location(_matches(path.name, others)) or TileLocation(path.name, {})
    return TileLocation(found.name, {**found.paths, **own})


def tile_name(text: str) -> str:
    """The name of a tile that was given with or without ``.npz``."""
    return text if text.lower().endswith(_SUFFIX) else text + _SUFFIX


def _below(name: str, folders: Mapping[Subject, Path]) -> TileLocation:
    if not folders:
        raise _no_tile(name, Path(name).parent, _names_beside(Path(name)))
    if name_fault(name) is not None:
        raise TileReadError(
            f"The tile name {name!r} is not usable: {name_fault(name)}.",
            hint="Give the path of an NPZ file, or the name of a tile below the folders.",
        )
    matches = _matches(name, folders)
    if all(name not in names for names in matches.values()):
        for subject, names in matches.items():
            if len(names) > 1:
                raise _several_tiles(name, folders[subject], list(names))
    location = _location(matches)
    if location is None:
        folder = next(iter(folders.values()))
        raise _no_tile(name, folder, find_tiles(folder))
    return location


def _matches(name: str, folders: Mapping[Subject, Path]) -> dict[Subject, dict[str, Path]]:
    """The files below each folder that may be meant: this one, else all of its file name."""
    return {subject: _matches_in(folder, name) for subject, folder in folders.items()}


def _matches_in(folder: Path, name: str) -> dict[str, Path]:
    if (folder / name).is_file():
        return {name: folder / name}
    file_name = name.rpartition("/")[2]
    tiles = find_tiles(folder).items()
    return {each: path for each, path in tiles if each.rpartition("/")[2] == file_name}


def _location(matches: Mapping[Subject, dict[str, Path]]) -> TileLocation | None:
    """The tile that is the only match in a folder, named as ``infer`` names its output."""
    lone = {
        subject: next(iter(each.items())) for subject, each in matches.items() if len(each) == 1
    }
    if not lone:
        return None
    name = next(lone[subject][0] for subject in _NAME_GIVERS if subject in lone)
    paths = {subject: path for subject, (_, path) in lone.items()}
    if "opt_final" in lone and lone["opt_final"][0] != name:
        del paths["opt_final"]  # the output of another tile with this file name
    return TileLocation(name, paths)


def _subjects(path: Path) -> list[Subject]:
    """The kinds of tiles that the keys of a file allow; where none fits, the nearest."""
    try:
        with NpzArchive(path) as archive:
            names = set(archive.names)
    except TileReadError:
        return ["opt_v2"]
    fitting = [
        subject
        for subject, layouts in LAYOUTS.items()
        if any(names.issuperset(layout.keys) for layout in layouts)
    ]
    if fitting:
        return fitting
    shared = {
        subject: max(len(names.intersection(layout.keys)) for layout in layouts)
        for subject, layouts in LAYOUTS.items()
    }
    return [max(shared, key=lambda subject: shared[subject])]


def _names_beside(path: Path) -> list[str]:
    try:
        names = os.listdir(path.parent)  # noqa: PTH208  names are wanted, not paths
    except OSError:
        return []
    return sorted(name for name in names if name.lower().endswith(_SUFFIX))


def _no_tile(name: str, folder: Path, candidates: Collection[str]) -> TileReadError:
    near = nearest_names(Path(name).name if len(candidates) else name, candidates)
    return TileReadError(
        f"There is no tile {name} in the folder {str(folder)!r}.",
        hint=f"Nearest names there: {', '.join(near)}."
        if near
        else "Give the path of an NPZ file, or a name with --opt-v2-dir, --s1-dir or --output-dir.",
        path=folder,
    )


def _several_tiles(name: str, folder: Path, names: list[str]) -> TileReadError:
    shown = ", ".join(sorted(names)[:_MAX_NAMES_SHOWN])
    more = len(names) - _MAX_NAMES_SHOWN
    return TileReadError(
        f"{len(names)} tiles in {folder} are called {name}.",
        hint=f"Name the sub-folder too: {shown}" + (f" and {more} more." if more > 0 else "."),
        path=folder,
    )
