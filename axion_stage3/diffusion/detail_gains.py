"""Detail that is there already, weighed: what of opt_v2's is trusted, what of s1's is added."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from axion_stage3.diffusion.highpass import BAND_SIGMAS_PX, detail_bands

N_GAINS: Final = 6 * len(BAND_SIGMAS_PX)
"""Per band of detail: trust in visible and NIR; leak of VV and VH into visible and NIR."""


def weighted_detail(normalised: Tensor, gains: Tensor) -> Tensor:
    """Sum the bands of detail of (optical, radar), each times its gain.

    Args:
        normalised: (B, 6, H, W) optical and radar bands.
        gains: (B, 24, H, W): for each band of detail trust (visible, NIR) and leak (VV to visible,
            VH to visible, VV to NIR, VH to NIR).

    Returns:
        (B, 4, H, W).
    """
    with torch.autocast(normalised.device.type, enabled=False):
        visible = torch.zeros_like(normalised[:, :3])
        nir = torch.zeros_like(normalised[:, :1])
        for detail, gain in zip(
            detail_bands(normalised), gains.chunk(len(BAND_SIGMAS_PX), dim=1), strict=True
        ):
            leaks = gain[:, 2:] * detail[:, 4:].repeat(1, 2, 1, 1)
            visible = visible + gain[:, :1] * detail[:, :3] + leaks[:, :2].sum(1, keepdim=True)
            nir = nir + gain[:, 1:2] * detail[:, 3:4] + leaks[:, 2:].sum(1, keepdim=True)
    return torch.cat([visible, nir], dim=1)
