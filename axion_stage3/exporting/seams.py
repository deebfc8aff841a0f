"""Seams between tiles that touch without overlapping.

Each tile is grounded by itself, so that two tiles may meet in a step of brightness. The step along
a seam is measured on the lines next to it, smoothed along the seam so that edges of fields stay,
and taken up by both tiles, half and half, fading out over `SEAM_PX` pixels. Farther inside nothing
changes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from axion_stage3.exporting.mosaic import MosaicPlan, PlacedTile

SEAM_PX: Final = 16
"""How far from a seam values are changed, in pixels."""

_EDGE_PX: Final = 2
_SMOOTHING_PX: Final = 25
_KEPT_EDGES: Final = 4096

Sides = tuple[
    "NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]"
]


class SeamLeveller:
    """Loads tiles of a mosaic with their seams levelled.

    Args:
        plan: The mosaic.
        load: Gives the pixels of a tile, (band, y, x) float32, NaN where there is no data.
    """

    def __init__(self, plan: MosaicPlan, load: Callable[[str], NDArray[np.float32]]) -> None:
        self._load = load
        self._by_name = {tile.name: tile for tile in plan.tiles}
        self._by_corner = {(tile.row, tile.column): tile for tile in plan.tiles}
        self._edges = lru_cache(maxsize=_KEPT_EDGES)(self._measure)

    def __call__(self, name: str) -> NDArray[np.float32]:
        """Load a tile and level its seams."""
        pixels = self._load(name).copy()
        tile = self._by_name[name]
        own = self._edges(name)
        height, width = tile.size
        for side, neighbour in enumerate(self._neighbours(tile)):
            if neighbour is None:
                continue
            step = self._edges(neighbour.name)[_OPPOSITE[side]] - own[side]
            share = np.nan_to_num(_smooth(step)) / 2
            if side in (_ABOVE, _BELOW):
                fade = _fade(height, is_first=side == _ABOVE)
                pixels += share[:, np.newaxis] * fade[:, np.newaxis]
            else:
                fade = _fade(width, is_first=side == _LEFT)
                pixels += share[:, :, np.newaxis] * fade
        return pixels

    def _measure(self, name: str) -> Sides:
        """Mean of the lines along each side: above, below (band, x), left, right (band, y)."""
        pixels = self._load(name)
        n = _EDGE_PX
        return (
            pixels[:, :n].mean(axis=1),
            pixels[:, -n:].mean(axis=1),
            pixels[:, :, :n].mean(axis=2),
            pixels[:, :, -n:].mean(axis=2),
        )

    def _neighbours(self, tile: PlacedTile) -> list[PlacedTile | None]:
        """The tiles that share a whole side, in the order of the sides."""
        height, width = tile.size
        return [
            self._sharing(tile.row - height, tile.column, tile.size),
            self._sharing(tile.row + height, tile.column, tile.size),
            self._sharing(tile.row, tile.column - width, tile.size),
            self._sharing(tile.row, tile.column + width, tile.size),
        ]

    def _sharing(self, row: int, column: int, size: tuple[int, int]) -> PlacedTile | None:
        tile = self._by_corner.get((row, column))
        return tile if tile is not None and tile.size == size else None


_ABOVE, _BELOW, _LEFT, _RIGHT = range(4)
_OPPOSITE: Final = {_ABOVE: _BELOW, _BELOW: _ABOVE, _LEFT: _RIGHT, _RIGHT: _LEFT}


def _smooth(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Running mean along the last axis, over what has data."""
    known = np.isfinite(lines)
    window = np.ones(min(_SMOOTHING_PX, lines.shape[1]))
    smoothed = np.full(lines.shape, np.nan, np.float32)
    for line, is_known, result in zip(lines, known, smoothed, strict=True):
        counts = np.convolve(is_known, window, "same")
        sums = np.convolve(np.where(is_known, line, 0), window, "same")
        np.divide(sums, counts, out=result, where=counts > 0, casting="same_kind")
    return smoothed


def _fade(length: int, *, is_first: bool) -> NDArray[np.float32]:
    """From 1 at one end to 0 at `SEAM_PX` and beyond, smoothly."""
    reach = min(SEAM_PX, length // 2)
    distance = (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(reach)
    near = np.clip(1 - distance, 0, 1)
    fade = near * near * (3 - 2 * near)
    return np.asarray(fade if is_first else fade[::-1], dtype=np.float32)
