"""Detail that is there already, weighed: what is trusted, borrowed from other bands, or added."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from axion_stage3.diffusion.highpass import BAND_SIGMAS_PX, detail_bands

_N_OPTICAL: Final = 4
N_GAINS: Final = 3 * _N_OPTICAL * len(BAND_SIGMAS_PX)
"""Per band of detail: trust and loan of each optical band; leak of VV, VH into visible and NIR."""


def weighted_detail(normalised: Tensor, gains: Tensor) -> Tensor:
    """Sum the bands of detail of (optical, radar), each times its gain.

    Args:
        normalised: (B, 6, H, W) optical and radar bands.
        gains: (B, 48, H, W): for each band of detail trust (of each optical band in its own), loan
            (to each, of the mean of the visible ones), leak (VV to visible, VH to visible, VV to
            NIR, VH to NIR).

    Returns:
        (B, 4, H, W).
    """
    with torch.autocast(normalised.device.type, enabled=False):
        own = torch.zeros_like(normalised[:, :_N_OPTICAL])
        leaked = torch.zeros_like(normalised[:, :2])
        for detail, gain in zip(
            detail_bands(normalised), gains.chunk(len(BAND_SIGMAS_PX), dim=1), strict=True
        ):
            optical, radar = detail[:, :_N_OPTICAL], detail[:, _N_OPTICAL:]
            trust, loan, leak = gain.chunk(3, dim=1)
            own = torch.addcmul(own, trust, optical)
            own = torch.addcmul(own, loan, optical[:, :3].mean(dim=1, keepdim=True))
            leaked = leaked + (leak.reshape(-1, 2, 2, *leak.shape[2:]) * radar[:, None]).sum(dim=2)
    return own + torch.cat([leaked[:, :1].expand(-1, 3, -1, -1), leaked[:, 1:]], dim=1)
