"""The numbers that describe one grounded tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.statistics.grounding import grounding_scores
from axion_stage3.statistics.grounding_measures import MIN_SCORED_PX
from axion_stage3.statistics.image_quality import ndvi
from axion_stage3.statistics.spectral_indices import index_statistics
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from axion_stage3.statistics.grounding import GroundingReference
    from axion_stage3.statistics.spectral_indices import SpectralIndex

TILE_NAME: Final = "tile_name"
"""The one field of a tile's statistics that is a text."""


def tile_statistics(
    name: str,
    opt_final: NDArray[np.floating],
    opt_v2: NDArray[np.floating],
    s1: NDArray[np.floating] | None = None,
    reference: GroundingReference | None = None,
    *,
    indices: Sequence[SpectralIndex] = (),
) -> dict[str, float | str]:
    """Describe one grounded tile.

    The fields of the guide come first and in its order: ``tile_name``, ``opt_final_mean``,
    ``opt_final_std``, ``change_mean``, ``change_max``, ``blue_mean`` to ``nir_mean``. Then, per
    band, ``*_std``, ``*_min``, ``*_max`` and ``*_change_mean``; ``ndvi_mean``; with ``s1``,
    ``vv_mean`` and ``vh_mean``; with ``s1`` and ``reference``, for tiles of 48 px and more,
    ``grounding_opt_v2``, ``grounding_opt_final`` and ``grounding_gain``, their difference.
    With ``indices``, their means and standard deviations (``evi2_mean``, ``evi2_std``).
    Change is ``|opt_final - opt_v2|``. Sums are taken in float64.

    Args:
        name: The tile's name.
        opt_final: (4, H, W) reflectance, finite.
        opt_v2: (4, H, W) reflectance, finite.
        s1: (2, H, W) backscatter in dB, finite.
        reference: Measures of true pairs, from the checkpoint.
        indices: Further spectral indices of opt_final.

    Returns:
        Field name to value; reflectance, except NDVI (-1..1), radar means (dB) and grounding scores
        (0..1).
    """
    pixels = opt_final.reshape(len(OPTICAL_BANDS), -1).astype(np.float64)
    change = np.abs(pixels - opt_v2.reshape(pixels.shape))
    statistics: dict[str, float | str] = {
        TILE_NAME: name,
        "opt_final_mean": float(pixels.mean()),
        "opt_final_std": float(pixels.std()),
        "change_mean": float(change.mean()),
        "change_max": float(change.max()),
    }
    per_band = {
        "mean": pixels.mean(axis=1),
        "std": pixels.std(axis=1),
        "min": pixels.min(axis=1),
        "max": pixels.max(axis=1),
        "change_mean": change.mean(axis=1),
    }
    for quantity, values in per_band.items():
        for band, value in zip(OPTICAL_BANDS, values, strict=True):
            statistics[f"{band}_{quantity}"] = float(value)
    statistics["ndvi_mean"] = float(ndvi(opt_final).mean())
    if s1 is not None:
        for band, backscatter_db in zip(RADAR_BANDS, s1, strict=True):
            statistics[f"{band}_mean"] = float(backscatter_db.mean(dtype=np.float64))
        if reference is not None and min(s1.shape[1:]) >= MIN_SCORED_PX:
            before, after = grounding_scores((opt_v2, opt_final), s1, reference)
            statistics["grounding_opt_v2"] = before.score
            statistics["grounding_opt_final"] = after.score
            statistics["grounding_gain"] = after.score - before.score
    return {**statistics, **index_statistics(indices, opt_final), **statistics}
