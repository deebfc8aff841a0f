"""How strong the detail is that is drawn on top of the mean."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from axion_stage3.diffusion.highpass import local_strength

_LEAST_VISIBLE: Final = 0.75


def strength_to_draw(detail: Tensor, spread: Tensor, strength: Tensor) -> Tensor:
    """Return how strong whitened detail is to be drawn; all tensors are (B, 4, H, W).

    ``spread`` is the expected strength (local root mean square) of the detail that the mean lacks.
    For a perfect mean it would be what the expected strength of all detail leaves over: of
    independent parts, the squares add up. The smaller of the two is drawn: where the mean has kept
    wrong detail, more of it would come on top. Where so little is missing that nobody would see it,
    nothing is drawn: a draw doubles the squared error, and a nearly right tile is to stay right.

    Args:
        detail: Whitened detail of the mean.
        spread: Expected strength of the detail that the mean lacks.
        strength: Expected strength of all detail.
    """
    # Not the root of it, though squares add up: its slope is unbounded where nothing is missing,
    # and rounding would decide how much is drawn.
    missing_power = (1.0 - (local_strength(detail) / strength).square()).clamp_min(0.0)
    visible = spread.square().square()
    visible = visible / (visible + _LEAST_VISIBLE**4)
    return torch.minimum(spread * visible, missing_power * strength)
