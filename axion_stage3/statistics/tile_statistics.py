"""The numbers that describe one grounded tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.statistics.grounding import scores_of_blocks
from axion_stage3.statistics.grounding_measures import MIN_SCORED_PX, measure_blocks_of_all
from axion_stage3.statistics.image_quality import ndvi
from axion_stage3.statistics.spectral_indices import index_statistics
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from axion_stage3.statistics.grounding import GroundingReference
    from axion_stage3.statistics.grounding_measures import BlockMeasures
    from axion_stage3.statistics.spectral_indices import SpectralIndex


@dataclass(frozen=True, slots=True, eq=False)
class TileFigures:
    """What the statistics of one tile are made from, wherever it was computed; all in float64.

    Attributes:
        mean: (4,) per band of opt_final, reflectance.
        std: (4,) likewise.
        least: (4,) likewise.
        greatest: (4,) likewise.
        change_mean: (4,) mean of ``|opt_final - opt_v2|`` per band.
        change_max: Its maximum over all bands.
        ndvi_mean: Mean of the vegetation index of opt_final.
        backscatter_mean: (2,) dB; None without radar.
        blocks: Measures of opt_v2 and of opt_final in each block; empty where there is no score.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]
    change_mean: NDArray[np.float64]
    change_max: float
    ndvi_mean: float
    backscatter_mean: NDArray[np.float64] | None
    blocks: tuple[tuple[BlockMeasures, BlockMeasures], ...]


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
    is_scored = reference is not None and s1 is not None and min(s1.shape[1:]) >= MIN_SCORED_PX
    figures = measure_tile(opt_final, opt_v2, s1, is_scored=is_scored)
    return describe_tile(name, figures, reference, index_statistics(indices, opt_final))


def measure_tile(
    opt_final: NDArray[np.floating],
    opt_v2: NDArray[np.floating],
    s1: NDArray[np.floating] | None,
    *,
    is_scored: bool,
) -> TileFigures:
    """Go through the pixels of one tile. Arguments as for :func:`tile_statistics`."""
    pixels = opt_final.reshape(len(OPTICAL_BANDS), -1).astype(np.float64)
    change = np.abs(pixels - opt_v2.reshape(pixels.shape))
    return TileFigures(
        mean=pixels.mean(axis=1),
        std=pixels.std(axis=1),
        least=pixels.min(axis=1),
        greatest=pixels.max(axis=1),
        change_mean=change.mean(axis=1),
        change_max=float(change.max()),
        ndvi_mean=float(ndvi(opt_final).mean()),
        backscatter_mean=None if s1 is None else s1.mean(axis=(1, 2), dtype=np.float64),
        blocks=()
        if s1 is None or not is_scored
        else tuple(
            (before, after) for before, after in measure_blocks_of_all((opt_v2, opt_final), s1)
        ),
    )


def describe_tile(
    name: str,
    figures: TileFigures,
    reference: GroundingReference | None,
    of_indices: Mapping[str, float],
) -> dict[str, float | str]:
    """Name the figures of a tile, in the order of :func:`tile_statistics`.

    Args:
        name: The tile's name.
        figures: Its figures.
        reference: Measures of true pairs; without them there is no grounding score.
        of_indices: What :func:`index_statistics` says of further indices; comes last.
    """
    # Lists: a sum of four numbers takes Python a tenth of the time of numpy.
    means, stds = figures.mean.tolist(), figures.std.tolist()
    change_means = figures.change_mean.tolist()
    n_bands = len(OPTICAL_BANDS)
    mean = sum(means) / n_bands
    # All bands have as many pixels: the variance is the mean within bands, and that between them.
    parts = [*stds, *(band_mean - mean for band_mean in means)]
    variance = sum(map(mul, parts, parts)) / n_bands
    statistics: dict[str, float | str] = {
        TILE_NAME: name,
        "opt_final_mean": mean,
        "opt_final_std": math.sqrt(variance),
        "change_mean": sum(change_means) / n_bands,
        "change_max": figures.change_max,
    }
    per_band = {
        "mean": means,
        "std": stds,
        "min": figures.least.tolist(),
        "max": figures.greatest.tolist(),
        "change_mean": change_means,
    }
    for quantity, values in per_band.items():
        for band, value in zip(OPTICAL_BANDS, values, strict=True):
            statistics[f"{band}_{quantity}"] = value
    statistics["ndvi_mean"] = figures.ndvi_mean
    if figures.backscatter_mean is not None:
        for band, value in zip(RADAR_BANDS, figures.backscatter_mean.tolist(), strict=True):
            statistics[f"{band}_mean"] = value
    if reference is not None and figures.blocks:
        before, after = scores_of_blocks(figures.blocks, reference)
        statistics["grounding_opt_v2"] = before.score
        statistics["grounding_opt_final"] = after.score
        statistics["grounding_gain"] = after.score - before.score
    # What every tile has keeps its place and value, where an index has the same name.
    return {**statistics, **of_indices, **statistics}
