"""The tiles of a run as rows of small pictures, for reports and contact sheets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import InputError
from axion_stage3.exporting.composites import (
    common_stretch,
    heat,
    radar_composite,
    thumbnail,
    true_colour,
)
from axion_stage3.statistics.image_quality import rmse
from axion_stage3.tiles.tile_loading import load_optical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.exporting.composites import Rgb
    from axion_stage3.runs.run_folder import RunFolder, RunTile

_CHANGE_STEPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""What the brightest colour of a change can stand for, in reflectance."""

_BRIGHT_CHANGE: Final = 4.0
"""Where a tile changed much it changed some times its mean."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One small picture.

    Attributes:
        caption: What it shows.
        image: (h, w, 3) uint8.
    """

    caption: str
    image: Rgb


@dataclass(frozen=True, slots=True)
class TruthScore:
    """How far a tile is from the truth, before and after.

    Attributes:
        tile_name: The tile.
        opt_final: Root mean square error of opt_final, reflectance.
        opt_v2: That of opt_v2; None if opt_v2 was not found.
    """

    tile_name: str
    opt_final: float
    opt_v2: float | None


def load_truth(
    folder: RunFolder, tile: RunTile, truth_dir: Path | None
) -> NDArray[np.float32] | None:
    """Load the truth of a tile.

    Args:
        folder: The run.
        tile: The tile.
        truth_dir: Folder of truth tiles; None if there are none.

    Returns:
        (4, H, W) float32, reflectance; None if there is none of this name and size.

    Raises:
        TileError: It is there but cannot be read.
    """
    path = None if truth_dir is None else folder.counterpart(tile.name, truth_dir)
    if path is None:
        return None
    truth = load_optical(path)
    return truth if truth.shape == tile.opt_final.shape else None


def require_truth(folder: RunFolder, names: Sequence[str], truth_dir: Path) -> None:
    """Refuse a folder of truth tiles that has nothing to do with some tiles.

    Args:
        folder: The run.
        names: The tiles.
        truth_dir: Folder of truth tiles.

    Raises:
        InputError: None of the tiles has a truth there.
    """
    if not any(folder.counterpart(name, truth_dir) for name in names):
        raise InputError(
            f"None of the {len(names)} tiles has a truth of the same name in {truth_dir}."
            if len(names) > 1
            else f"{names[0]} has no truth of the same name in {truth_dir}.",
            hint="Truth is matched by file name below the folder.",
            path=truth_dir,
        )


def truth_score(tile: RunTile, truth: NDArray[np.float32]) -> TruthScore:
    """Measure a tile against the truth, (4, H, W) reflectance."""
    before = None if tile.opt_v2 is None else rmse(tile.opt_v2, truth)
    return TruthScore(tile.name, rmse(tile.opt_final, truth), before)


def brightest_change(changes: Iterable[float]) -> float:
    """Choose the change that has the brightest colour, the same for all tiles of a run.

    Args:
        changes: Mean change of each tile, reflectance; those that are not finite are left out.

    Returns:
        Reflectance: a round number that nine of ten tiles make good use of.
    """
    known = [change for change in changes if math.isfinite(change)]
    usual = float(np.percentile(known, 90)) if known else 0.0
    wanted = _BRIGHT_CHANGE * usual
    return next((step for step in _CHANGE_STEPS if step >= wanted), 1.0)


def small_pictures(
    tile: RunTile,
    truth: NDArray[np.float32] | None,
    longest_px: int,
    *,
    brightest: float,
) -> tuple[Picture, ...]:
    """Show S1, opt_v2, opt_final, change and truth, as far as they are known.

    Args:
        tile: The tile.
        truth: (4, H, W) reflectance, or None.
        longest_px: Longest side of each picture, in pixels.
        brightest: Change that has the brightest colour, reflectance.
    """
    optical = {"opt_v2": tile.opt_v2, "opt_final": tile.opt_final, "truth": truth}
    views = {caption: view for caption, view in optical.items() if view is not None}
    stretch = common_stretch(list(views.values()))
    images = {caption: true_colour(view, stretch) for caption, view in views.items()}
    if tile.s1 is not None:
        images = {"S1": radar_composite(tile.s1), **images}
    if tile.opt_v2 is not None:
        change = np.abs(tile.opt_final - tile.opt_v2).mean(axis=0)
        images["change"] = heat(change, brightest)
    order = ("S1", "opt_v2", "opt_final", "truth", "change")
    return tuple(
        Picture(caption, thumbnail(images[caption], longest_px))
        for caption in order
        if caption in images
    )
