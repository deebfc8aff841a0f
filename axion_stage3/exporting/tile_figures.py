"""The figure of one tile of a run, with everything that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.exporting.composites import common_stretch
from axion_stage3.exporting.figures import tile_figure
from axion_stage3.exporting.panels import (
    Panel,
    difference_panel,
    index_panel,
    ndvi_panel,
    optical_panel,
    radar_panel,
    uncertainty_panel,
)
from axion_stage3.statistics.image_quality import psnr, rmse, ssim
from axion_stage3.statistics.tile_statistics import tile_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from axion_stage3.runs.run_folder import RunTile
    from axion_stage3.statistics.spectral_indices import SpectralIndex

_NUMBERS: Final = {
    "change_mean": "change mean {:.4f}",
    "change_max": "change max {:.4f}",
    "opt_final_mean": "opt_final mean {:.4f}",
    "opt_final_std": "opt_final std {:.4f}",
    "ndvi_mean": "NDVI {:.3f}",
    "vv_mean": "VV {:.1f} dB",
    "vh_mean": "VH {:.1f} dB",
}
_ONE_ROW: Final = 3
"""So few panels stand side by side."""

_METRICS: Final = (
    ("RMSE", "{:.4f}", rmse),
    ("PSNR", "{:.2f} dB", psnr),
    ("SSIM", "{:.3f}", ssim),
)


def run_tile_figure(
    tile: RunTile,
    truth: NDArray[np.float32] | None = None,
    *,
    indices: Sequence[SpectralIndex] = (),
) -> bytes:
    """Draw a tile: inputs and results above, what differs and how sure it is below.

    Args:
        tile: The tile, with as much of its inputs as is known.
        truth: (4, H, W) reflectance, if there is one.
        indices: Spectral indices to show; NDVI if there are none.

    Returns:
        A PNG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return tile_figure(_rows(tile, truth, indices), title=tile.name, numbers=_numbers(tile, truth))


def _rows(
    tile: RunTile, truth: NDArray[np.float32] | None, indices: Sequence[SpectralIndex]
) -> list[list[Panel]]:
    optical = {"opt_v2": tile.opt_v2, "opt_final": tile.opt_final, "truth": truth}
    views = {title: view for title, view in optical.items() if view is not None}
    stretch = common_stretch(list(views.values()))
    upper = [optical_panel(title, view, stretch) for title, view in views.items()]
    lower = []
    if tile.opt_v2 is not None:
        lower.append(difference_panel("|opt_final - opt_v2|", tile.opt_final, tile.opt_v2))
    if indices:
        lower += [index_panel(index, tile.opt_final) for index in indices]
    else:
        lower.append(ndvi_panel("NDVI of opt_final", tile.opt_final))
    if truth is not None:
        lower.append(difference_panel("|opt_final - truth|", tile.opt_final, truth))
    if tile.opt_final_std is not None:
        lower.append(uncertainty_panel("uncertainty", tile.opt_final_std))
    if tile.s1 is not None:
        upper.insert(0, radar_panel("vv", tile.s1))
        lower.insert(0, radar_panel("vh", tile.s1))
    return [upper, lower] if len(upper) + len(lower) > _ONE_ROW else [[*upper, *lower]]


def _numbers(tile: RunTile, truth: NDArray[np.float32] | None) -> list[str]:
    before = tile.opt_final if tile.opt_v2 is None else tile.opt_v2
    statistics = tile_statistics(tile.name, tile.opt_final, before, tile.s1)
    numbers = [
        words.format(statistics[name])
        for name, words in _NUMBERS.items()
        if name in statistics and not (tile.opt_v2 is None and name.startswith("change"))
    ]
    if truth is None:
        return numbers
    for name, words, metric in _METRICS:
        number = f"{name} {words.format(metric(tile.opt_final, truth))}"
        if tile.opt_v2 is not None:
            number += f" (opt_v2 {words.format(metric(tile.opt_v2, truth))})"
        numbers.append(number)
    return numbers
