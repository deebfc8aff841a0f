"""Which opt_v2 tile belongs to which s1 tile.

Tiles are matched by file name, at any depth below the two folders: the same relative path first,
then a file name that is there exactly once on both sides although the sub-folders differ. Names
are checked here, once, since each of them becomes the name of an output file.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import NoTilePairsError, TileCollisionError
from axion_stage3.storage.locations import as_folder, as_location
from axion_stage3.tiles.folder_listing import collision, folders_inside, list_folder
from axion_stage3.tiles.tile_names import nearest_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from axion_stage3.paths import AnyPath
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.folder_listing import RefusedFile, TileFolder
    from axion_stage3.tiles.georeference import Georeference

RESERVED_NAMES: Final = frozenset(("inference_summary.npz", "tile_statistics.npz"))
"""Tiles whose statistics file would replace one of the documents of the run."""

RESERVED_FOLDERS: Final = (
    "runs/",
    "inference_summary.json/",
    "tile_statistics.json/",
    "tile_statistics.jsonl/",
)
"""Folder of the output folder that holds the records of its runs, and names of documents there."""

_SHOWN_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class TilePair:
    """An opt_v2 tile and the s1 tile it must agree with.

    Files are kept as text, since a million pathlib objects take a gigabyte.

    Attributes:
        name: Relative posix path of the opt_v2 tile, ending in ``.npz``; names the output too.
        opt_v2_file: File or URL of the opt_v2 tile.
        s1_file: File or URL of the s1 tile.
        georeference: Where the pair lies, from a table; None if no table says so.
        opt_v2_version: Size and version of the opt_v2 tile as an object store listed them; empty
            for a file, which is asked when it matters.
        s1_version: Likewise, of the s1 tile.
    """

    name: str
    opt_v2_file: AnyPath
    s1_file: AnyPath
    georeference: Georeference | None = None
    opt_v2_version: str = ""
    s1_version: str = ""

    @property
    def opt_v2_path(self) -> Location:
        """File of the opt_v2 tile."""
        return as_location(self.opt_v2_file)

    @property
    def s1_path(self) -> Location:
        """File of the s1 tile."""
        return as_location(self.s1_file)


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


def find_pairs(
    opt_v2_dir: Location, s1_dir: Location, *, output_dir: Location | None = None
) -> Pairing:
    """Match the tiles of two folders, each on a disk or in an object store.

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
    opt_v2 = list_folder(opt_v2_dir, folders_inside(opt_v2_dir, s1_dir, output_dir))
    s1 = list_folder(s1_dir, folders_inside(s1_dir, opt_v2_dir, output_dir))
    partners = _partners(opt_v2.tiles, s1.tiles)
    refused = sorted({*opt_v2.refused, *s1.refused}, key=lambda file: str(file.path))
    if not partners:
        raise _no_pairs(opt_v2, s1, refused)
    _refuse_collisions(partners)
    used = set(partners.values())
    return Pairing(
        pairs=tuple(
            TilePair(
                name,
                opt_v2.tiles[name],
                s1.tiles[partner],
                None,
                opt_v2.versions.get(name, ""),
                s1.versions.get(partner, ""),
            )
            for name, partner in sorted(partners.items())
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
    found = list_folder(folder, folders_inside(folder, *exclude)).tiles
    return {name: Path(found[name]) for name in sorted(found)}


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
        refuse_reserved(key, name)
        if key in seen:
            raise collision(seen[key], name, name)
        seen[key] = name


def refuse_reserved(key: str, name: str) -> None:
    """Refuse a tile that would be written where the run keeps its own documents.

    Args:
        key: Its name as disks that ignore case compare it, ending in ``.npz``.
        name: Its name, for the message.

    Raises:
        TileCollisionError: The name is taken.
    """
    if key in RESERVED_NAMES or key.startswith(RESERVED_FOLDERS):
        raise TileCollisionError(
            f"The tile {name} would be written where the run keeps its own documents: "
            f"{', '.join(sorted(RESERVED_NAMES))} and the folders {', '.join(RESERVED_FOLDERS)} "
            "are taken.",
            hint="Rename this tile, or its folder, on both sides.",
            tile_name=name,
        )


def _no_pairs(
    opt_v2: TileFolder, s1: TileFolder, refused: Sequence[RefusedFile]
) -> NoTilePairsError:
    message = (
        f"No matching tile pairs found between {as_folder(opt_v2.root)} and {as_folder(s1.root)}: "
        f"{_inventory(opt_v2)}, {_inventory(s1)}."
    )
    if refused:
        first = refused[0]
        message += f" Not used: {len(refused)}, such as {str(first.path)!r} ({first.reason})."
    shared = sorted(set(map(_file_name, opt_v2.tiles)).intersection(map(_file_name, s1.tiles)))
    if shared:
        message += f" {shared[0]} is there more than once ({_namesakes(shared[0], opt_v2, s1)})."
        hint = "A file name that is there more than once needs the same sub-folder on both sides."
        return NoTilePairsError(message, hint=hint, path=opt_v2.root)
    hint = "A pair has the same file name in both folders, such as tile_001.npz."
    for name in sorted(opt_v2.tiles)[:_SHOWN_NAMES]:
        near = nearest_names(_file_name(name), map(_file_name, sorted(s1.tiles)))
        if near:
            hint += f" Nearest to {_file_name(name)}: {', '.join(near)}."
            break
    return NoTilePairsError(message, hint=hint, path=opt_v2.root)


def _namesakes(file_name: str, *folders: TileFolder) -> str:
    """All files of one name, as far as they are shown."""
    paths = [
        f"{as_folder(folder.root)}{name}"
        for folder in folders
        for name in sorted(folder.tiles)
        if _file_name(name) == file_name
    ]
    return ", ".join(paths[:_SHOWN_NAMES]) + (", ..." if len(paths) > _SHOWN_NAMES else "")


def _inventory(folder: TileFolder) -> str:
    names = sorted(folder.tiles)
    if not names:
        return f"{as_folder(folder.root)} holds no NPZ file"
    more = ", ..." if len(names) > _SHOWN_NAMES else ""
    files = "file" if len(names) == 1 else "files"
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f"{as_folder(folder.root)} holds {len(names)} NPZ {files} ({shown}{more})"
