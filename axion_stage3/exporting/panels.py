"""The panels of a tile's figure: what is shown, under which title and in which colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from axion_stage3.exporting.composites import (
    VH_RANGE_DB,
    VV_RANGE_DB,
    Stretch,
    radar_composite,
    true_colour,
)
from axion_stage3.statistics.image_quality import ndvi
from axion_stage3.tiles.bands import RADAR_BANDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from axion_stage3.statistics.spectral_indices import SpectralIndex

NDVI_RANGE: Final = (-0.2, 0.9)
SMALLEST_DIFFERENCE_SPAN: Final = 0.02
"""Narrowest range of the difference panels, in reflectance: less is not worth a bright colour."""

_DIFFERENCE_PERCENTILE: Final = 99.5

Colours = Literal["grey", "heat", "vegetation"]


@dataclass(frozen=True, slots=True)
class ColourScale:
    """How a scalar panel is coloured, and what its colour bar says.

    Attributes:
        low: Value of the first colour.
        high: Value of the last colour.
        label: Quantity and unit.
        colours: ``grey``, ``heat`` (dark to bright) or ``vegetation`` (brown to green).
    """

    low: float
    high: float
    label: str
    colours: Colours


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture in a figure.

    Attributes:
        title: Stands above it.
        image: (H, W, 3) uint8, or (H, W) of numbers with a scale.
        scale: The colours of a panel of numbers; None for a picture.
        note: Stands below a picture, where panels of numbers have their colour bar.
    """

    title: str
    image: NDArray[Any]
    scale: ColourScale | None = None
    note: str = ""


def optical_panel(title: str, optical: NDArray[np.floating], stretch: Stretch) -> Panel:
    """True colours of (4, H, W) reflectance under the tile's one stretch."""
    note = "true colour, one stretch for all panels"
    return Panel(title, true_colour(optical, stretch), note=note)


def radar_composite_panel(title: str, s1: NDArray[np.floating]) -> Panel:
    """False colours of (2, H, W) backscatter in dB."""
    return Panel(title, radar_composite(s1), note="VV magenta, VH green")


def radar_panel(band: str, s1: NDArray[np.floating]) -> Panel:
    """One band, ``vv`` or ``vh``, of (2, H, W) backscatter in dB, in greys."""
    low, high = {"vv": VV_RANGE_DB, "vh": VH_RANGE_DB}[band]
    scale = ColourScale(low, high, "dB", "grey")
    return Panel(f"S1 {band.upper()}", s1[RADAR_BANDS.index(band)], scale)


def ndvi_panel(title: str, optical: NDArray[np.floating]) -> Panel:
    """Vegetation index of (4, H, W) reflectance."""
    return Panel(title, ndvi(optical), ColourScale(*NDVI_RANGE, "NDVI", "vegetation"))


def index_panel(index: SpectralIndex, optical: NDArray[np.floating]) -> Panel:
    """A spectral index of (4, H, W) reflectance, under its own range of colours."""
    colours: Colours = "vegetation" if index.theme == "vegetation" else "heat"
    scale = ColourScale(*index.display_range, index.name, colours)
    return Panel(f"{index.name} of opt_final", index(optical), scale)


def difference_panel(
    title: str, first: NDArray[np.floating], second: NDArray[np.floating]
) -> Panel:
    """Mean over the bands of |first - second|, both (4, H, W) reflectance."""
    difference = np.abs(np.subtract(first, second, dtype=np.float64)).mean(axis=0)
    return Panel(title, difference, _heat_scale(difference, "reflectance"))


def uncertainty_panel(title: str, spread: NDArray[np.floating]) -> Panel:
    """Mean over the bands of the spread between draws, (4, H, W) reflectance."""
    mean = spread.mean(axis=0, dtype=np.float64)
    return Panel(title, mean, _heat_scale(mean, "reflectance"))


def _heat_scale(values: NDArray[np.float64], label: str) -> ColourScale:
    finite = values[np.isfinite(values)]
    highest = float(np.percentile(finite, _DIFFERENCE_PERCENTILE)) if finite.size else 0.0
    return ColourScale(0.0, max(highest, SMALLEST_DIFFERENCE_SPAN), label, "heat")
