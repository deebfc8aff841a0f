"""How strong the detail is foreseen to be that is drawn on top of the mean."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from axion_stage3.diffusion.highpass import local_strength

_ROUNDED_OFF: Final = 1e-3


def strength_to_draw(detail: Tensor, spread: Tensor, strength: Tensor) -> Tensor:
    """Return how strong whitened detail is to be drawn; all tensors are (B, 4, H, W).

    ``spread`` is the expected strength (local root mean square) of the detail that the mean lacks.
    For a perfect mean it would be what the expected strength of all detail leaves over: of
    independent parts, the squares add up. The smaller of the two is drawn: where the mean has kept
    wrong detail, more of it would come on top.

    Args:
        detail: Whitened detail of the mean.
        spread: Expected strength of the detail that the mean lacks.
        strength: Expected strength of all detail.
    """
    power = strength.square()
    missing = (power - local_strength(detail).square()).clamp_min(0.0)
    # Nearly its root, whose slope is unbounded where nothing is missing: rounding would decide how
    # much is drawn.
    return torch.minimum(spread, missing / (missing + _ROUNDED_OFF * power).sqrt())
