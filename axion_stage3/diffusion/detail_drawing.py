"""What is added to the mean: detail that is drawn, and, where the mean is blurred, its own."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from axion_stage3.diffusion.highpass import local_strength

FINEST_PX: Final = 0.7
"""Detail finer than this blur tells a blurred tile from a sharp one."""

_LEAST_VISIBLE: Final = 0.77
_MISSING_EXPONENT: Final = 1.36

_SHARP_SHARE: Final = 0.2995
_BLURRED_SHARE: Final = 0.20
"""Share of the finest detail in the strength of all. True tiles have 0.34 to 0.61, means that have
taken wrong detail away mostly 0.25 and more, blurred tiles mostly 0.16 to 0.23."""

_MOST_GAIN: Final = 3.0
_MORE_OF_THE_FINEST: Final = 2.0


def detail_to_add(
    residual: Tensor, detail: Tensor, finest: Tensor, spread: Tensor, strength: Tensor
) -> Tensor:
    """Return the whitened detail that is added to the mean; all tensors are (B, 4, H, W).

    ``spread`` is the expected strength (local root mean square) of the detail that the mean lacks.
    For a perfect mean it would be what the expected strength of all detail leaves over: of
    independent parts, the squares add up. The smaller of the two is drawn: where the mean has kept
    wrong detail, more of it would come on top. Where so little is missing that nobody would see it,
    nothing is drawn: a draw doubles the squared error, and a nearly right tile is to stay right.

    Where the finest detail is far weaker than it is beside other detail in any sharp tile, the mean
    is blurred: detail is there, but faint. It is amplified, up to the strength that is expected:
    for the same power that costs less error than noise, which knows nothing of the tile. Where it
    stays too weak, since no more than ``_MOST_GAIN`` can be made of it, more is drawn.

    Args:
        residual: What was drawn, of strength 1.
        detail: Whitened detail of the mean.
        finest: The part of it that is finer than ``FINEST_PX``.
        spread: Expected strength of the detail that the mean lacks.
        strength: Expected strength of all detail.
    """
    present = local_strength(detail)
    # Not its root, though squares add up: its slope is unbounded where nothing is missing, and
    # rounding would decide how much is drawn. A little less, since wrong detail that the mean has
    # kept makes all detail look stronger than it is.
    missing_power = (1.0 - (present / strength).square()).clamp_min(0.0)
    missing = missing_power**_MISSING_EXPONENT * strength
    visible = spread.square().square()
    visible = visible / (visible + _LEAST_VISIBLE**4)
    share = local_strength(finest) / present.clamp_min(1e-6)
    blur = ((_SHARP_SHARE - share) / (_SHARP_SHARE - _BLURRED_SHARE)).clamp(0.0, 1.0)
    lacking = blur * missing_power * (visible * strength).square()
    gain = (1.0 + lacking / present.square().clamp_min(1e-6)).sqrt().clamp_max(_MOST_GAIN)
    still_missing = (1.0 - (gain * present / strength).square()).clamp_min(0.0)
    drawn = torch.minimum(spread * visible, missing)
    drawn = drawn * (1.0 + blur * still_missing)
    return drawn * residual + (gain - 1.0) * (detail + _MORE_OF_THE_FINEST * finest)
