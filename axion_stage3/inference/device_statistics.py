"""The statistics of a batch of grounded tiles, on the device that has them.

They are what ``statistics.tile_statistics`` gives for each tile, as one small tensor that is
fetched together with the tiles; the host then has nothing more to compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from axion_stage3.inference.device_grounding import measure_blocks_of_batch
from axion_stage3.statistics.grounding_measures import MEASURES, TEXTURES, BlockMeasures
from axion_stage3.statistics.tile_statistics import TileFigures
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RED: Final = OPTICAL_BANDS.index("red")
_NIR: Final = OPTICAL_BANDS.index("nir")
_N_BANDS: Final = len(OPTICAL_BANDS)
_N_PLAIN: Final = 5 * _N_BANDS + 2 + len(RADAR_BANDS)


def measure_batch(opt_final: Tensor, opt_v2: Tensor, s1: Tensor, *, is_scored: bool) -> Tensor:
    """Compute what the statistics of a batch of tiles are made from.

    Args:
        opt_final: (B, 4, H, W) float32, reflectance.
        opt_v2: Likewise, on the same device.
        s1: (B, 2, H, W) float32, backscatter in dB.
        is_scored: Whether the measures of the grounding score are wanted; then H, W >= 48.

    Returns:
        (B, K) float64, for :func:`figures_of`. A value that is not finite makes NaN or infinities.
    """
    pixels = opt_final.flatten(2).double()
    change = (pixels - opt_v2.flatten(2)).abs_()
    mean = pixels.mean(dim=2)
    parts = [
        mean,
        pixels.sub_(mean[..., None]).square_().mean(dim=2).sqrt_(),
        # Of float32, and not together: several times as fast as aminmax.
        opt_final.amin(dim=(2, 3)),
        opt_final.amax(dim=(2, 3)),
        change.mean(dim=2),
        change.amax(dim=(1, 2))[:, None],
        _ndvi_mean(opt_final)[:, None],
        s1.mean(dim=(2, 3), dtype=torch.float64),
    ]
    if is_scored:
        parts += measure_blocks_of_batch((opt_v2, opt_final), s1)
    return torch.cat(parts, dim=1)


def figures_of(row: NDArray[np.float64]) -> TileFigures:
    """Take a row of :func:`measure_batch`, on the host, apart.

    Args:
        row: (K,) float64.
    """
    per_band, rest = row[: 5 * _N_BANDS].reshape(5, _N_BANDS), row[5 * _N_BANDS :]
    blocks = row[_N_PLAIN:].reshape(-1, len(TEXTURES) + 2 * len(MEASURES))
    return TileFigures(
        mean=per_band[0],
        std=per_band[1],
        least=per_band[2],
        greatest=per_band[3],
        change_mean=per_band[4],
        change_max=float(rest[0]),
        ndvi_mean=float(rest[1]),
        backscatter_mean=rest[2 : 2 + len(RADAR_BANDS)],
        blocks=tuple(_block(block) for block in blocks),
    )


def _block(row: NDArray[np.float64]) -> tuple[BlockMeasures, BlockMeasures]:
    texture, values = row[: len(TEXTURES)], row[len(TEXTURES) :].reshape(2, -1)
    return BlockMeasures(texture, values[0]), BlockMeasures(texture, values[1])


def _ndvi_mean(opt_final: Tensor) -> Tensor:
    red, nir = (opt_final[:, band].clamp(min=0).double() for band in (_RED, _NIR))
    total = nir + red
    # Without vegetation and without light alike, the index is 0.
    index = (nir - red).div_(total.where(total > 0, 1.0))
    return index.mean(dim=(1, 2))
