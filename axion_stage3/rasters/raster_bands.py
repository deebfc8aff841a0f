"""What a raster holds, apart from where it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

StoredType = Literal["float32", "int16"]

INTEGER_NODATA: Final = -32768
_INTEGER_RANGE: Final = (-32767, 32767)


@dataclass(frozen=True, slots=True)
class BandFacts:
    """One band of a raster.

    Attributes:
        name: Short name, such as ``blue`` or ``NDVI``.
        description: What it is, in words.
        unit: Unit of its values; ``1`` if it has none.
        integer_scale: Step of its values where it is stored as integers.
        common_name: Name of an optical band that catalogues know; empty otherwise.
        wavelength_um: Its central wavelength, in micrometres; 0 if it has none.
    """

    name: str
    description: str
    unit: str = "1"
    integer_scale: float = 1e-4
    common_name: str = ""
    wavelength_um: float = 0.0


OPTICAL_FACTS: Final = (
    BandFacts("blue", "opt_final blue, as S2 B2", "reflectance", 1e-4, "blue", 0.4924),
    BandFacts("green", "opt_final green, as S2 B3", "reflectance", 1e-4, "green", 0.5598),
    BandFacts("red", "opt_final red, as S2 B4", "reflectance", 1e-4, "red", 0.6646),
    BandFacts("nir", "opt_final near infrared, as S2 B8", "reflectance", 1e-4, "nir", 0.8328),
)
"""The bands of opt_final. Wavelengths of Sentinel-2A (ESA, S2 spectral responses, version 3)."""


def std_facts() -> tuple[BandFacts, ...]:
    """The standard deviations of the bands of opt_final over the draws."""
    return tuple(
        BandFacts(f"{band.name}_std", f"{band.name}: standard deviation over the draws", band.unit)
        for band in OPTICAL_FACTS
    )


@dataclass(frozen=True, slots=True, eq=False)
class RasterBands:
    """Pixels and what they are.

    Attributes:
        pixels: (band, H, W) float32; NaN where there is no data.
        facts: One entry a band.
    """

    pixels: NDArray[np.float32]
    facts: tuple[BandFacts, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        height, width = self.pixels.shape[1:]
        return height, width


def as_stored(
    pixels: NDArray[np.float32], facts: tuple[BandFacts, ...], stored_type: StoredType
) -> NDArray[np.float32] | NDArray[np.int16]:
    """Bring pixels into the type in which they are stored.

    Args:
        pixels: (band, y, x) float32; NaN where there is no data.
        facts: One entry a band.
        stored_type: ``float32`` leaves them as they are; ``int16`` divides by the scale of the
            band, rounds, and holds what lies beyond to the ends of the range.
    """
    if stored_type == "float32":
        return pixels
    steps = np.array([band.integer_scale for band in facts], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        scaled = np.clip(np.rint(pixels / steps[:, np.newaxis, np.newaxis]), *_INTEGER_RANGE)
        return np.where(np.isfinite(scaled), scaled, INTEGER_NODATA).astype(np.int16)
