"""The noise of a scene that is never in memory as a whole.

It is drawn in squares of a fixed lattice, each from the seed, the scene's name and its place. A
window cuts from the squares that it touches, so that overlapping windows see the same noise and the
result does not depend on how windows lie, nor on where a run was resumed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import torch

from axion_stage3.diffusion.tile_noise import initial_noise, step_noise
from axion_stage3.tiles.bands import OPTICAL_BANDS

if TYPE_CHECKING:
    from torch import Tensor

    from axion_stage3.tiles.window import Window

SQUARE_PX: Final = 512
_KEPT_SQUARES: Final = 24


class SceneNoise:
    """Noise for any window of a scene.

    Args:
        seed: Seed of the run.
        name: Name of the scene.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._seed = seed
        self._name = name
        self._square = lru_cache(maxsize=_KEPT_SQUARES)(self._draw_square)

    def cut(self, window: Window, draw: int, step: int | None = None) -> Tensor:
        """Return the noise of a window.

        Args:
            window: The window, in pixels of the scene.
            draw: Index of the draw.
            step: Step of a stochastic sampler; None for the noise that sampling begins with.

        Returns:
            (1, 4, y, x) float32 on the CPU.
        """
        rows = range(window.top // SQUARE_PX, -(-window.bottom // SQUARE_PX))
        columns = range(window.left // SQUARE_PX, -(-window.right // SQUARE_PX))
        whole = torch.cat(
            [
                torch.cat([self._square(row, column, draw, step) for column in columns], dim=2)
                for row in rows
            ],
            dim=1,
        )
        top, left = window.top - rows[0] * SQUARE_PX, window.left - columns[0] * SQUARE_PX
        height, width = window.size
        return whole[None, :, top : top + height, left : left + width]

    def _draw_square(self, row: int, column: int, draw: int, step: int | None) -> Tensor:
        name = f"{self._name} square {row} {column}"
        shape = (len(OPTICAL_BANDS), SQUARE_PX, SQUARE_PX)
        if step is None:
            return initial_noise(self._seed, name, draw, shape)
        return step_noise(self._seed, name, draw, step, shape)
