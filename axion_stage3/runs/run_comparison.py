"""Two runs side by side: which tiles differ, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from axion_stage3.errors import NoTilePairsError, TileError
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.runs.statistics_table import UnusableTile
from axion_stage3.tiles.tile_loading import load_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.paths import AnyPath


@dataclass(frozen=True, slots=True)
class TileDifference:
    """A tile that is not the same in both runs.

    Attributes:
        tile_name: The tile.
        difference_mean: Mean of |first - second| over bands and pixels, reflectance.
        difference_max: Largest |first - second|, reflectance.
    """

    tile_name: str
    difference_mean: float
    difference_max: float


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What two runs have in common.

    Attributes:
        first: Output folder of the first run.
        second: Output folder of the second run.
        n_equal: Number of tiles that are equal in every pixel.
        differences: Tiles that differ, the largest ``difference_max`` first.
        only_first: Names of tiles that only the first run has.
        only_second: Names of tiles that only the second run has.
        not_comparable: Tiles that cannot be read, or have another size in the other run.
    """

    first: Path
    second: Path
    n_equal: int
    differences: tuple[TileDifference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    not_comparable: tuple[UnusableTile, ...]


def compare_runs(
    first: AnyPath, second: AnyPath, *, on_tile: Callable[[], object] | None = None
) -> RunComparison:
    """Compare the output tiles of two runs pixel by pixel.

    Args:
        first: Output folder of the first run.
        second: Output folder of the second run.
        on_tile: Called after each tile that both runs have.

    Raises:
        InputFolderError: A folder is not there.
        NoTilePairsError: The runs have no tile in common.
    """
    first, second = Path(first), Path(second)
    tiles, others = RunFolder(first).tiles(), RunFolder(second).tiles()
    common = sorted(tiles.keys() & others.keys())
    if not common:
        raise NoTilePairsError(
            f"The runs {first} ({len(tiles)} tiles) and {second} ({len(others)} tiles) have no "
            "tile in common.",
            hint="Runs are compared by tile name: were they made from the same tiles?",
            path=second,
        )
    n_equal = 0
    differences: list[TileDifference] = []
    not_comparable: list[UnusableTile] = []
    for name in common:
        result = _compare(name, tiles[name], others[name])
        if isinstance(result, UnusableTile):
            not_comparable.append(result)
        elif result.difference_max == 0:
            n_equal += 1
        else:
            differences.append(result)
        if on_tile is not None:
            on_tile()
    return RunComparison(
        first=first,
        second=second,
        n_equal=n_equal,
        differences=tuple(
            sorted(differences, key=lambda tile: (-tile.difference_max, tile.tile_name))
        ),
        only_first=tuple(sorted(tiles.keys() - others.keys())),
        only_second=tuple(sorted(others.keys() - tiles.keys())),
        not_comparable=tuple(not_comparable),
    )


def _compare(name: str, first: Path, second: Path) -> TileDifference | UnusableTile:
    try:
        here, there = load_output(first), load_output(second)
    except TileError as error:
        return UnusableTile(name, error.message)
    if here.shape != there.shape:
        return UnusableTile(name, f"its shape is {here.shape} here and {there.shape} there")
    difference = np.abs(np.subtract(here, there, dtype=np.float64))
    if not np.isfinite(difference).all():
        return UnusableTile(name, "it has pixels that are not finite")
    return TileDifference(name, float(difference.mean()), float(difference.max()))
