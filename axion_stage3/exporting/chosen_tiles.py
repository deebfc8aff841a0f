"""The tiles of a run that a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.errors import InputError
from axion_stage3.inspection.tile_location import tile_name
from axion_stage3.tiles.tile_names import nearest_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.runs.run_folder import RunFolder


def chosen_tiles(folder: RunFolder, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Find the tiles of a run, and those of them that are wanted.

    Args:
        folder: The run.
        wanted: Names of tiles, with or without ``.npz``.

    Returns:
        The names of all tiles, and the names that are wanted, in full; both sorted.

    Raises:
        InputError: The folder holds no output tile, or none of a name that is wanted.
    """
    names = list(folder.require_tiles())
    chosen, known = sorted({tile_name(tile) for tile in wanted}), set(names)
    for name in chosen:
        if name not in known:
            near = nearest_names(name, names)
            raise InputError(
                f"There is no tile {name!r} in {folder.output_dir}.",
                hint=f"Nearest names there: {', '.join(near)}."
                if near
                else "Its sub-folders count to the name.",
                path=folder.output_dir,
                tile_name=name,
            )
    return names, chosen
