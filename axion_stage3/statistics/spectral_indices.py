"""Spectral indices of blue, green, red and near infrared, by name.

Names and constants are those of the catalogue Awesome Spectral Indices (Montero et al. 2023, "A
standardized catalogue of spectral indices to advance the use of remote sensing in Earth system
research", Scientific Data 10, 197), in whose public implementation the tests check every formula.

An index is undefined, NaN, where its denominator is less than 1e-6 away from zero (dark water, no
data) and where it would need the root of a negative number. Values are not clipped: reflectance
that is slightly negative after atmospheric correction can take a normalised difference beyond
-1..1, and hiding that would hide the tile's fault.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from axion_stage3.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Band = NDArray[np.float64]

Theme: TypeAlias = Literal["vegetation", "water", "soil", "burn"]

MIN_DENOMINATOR: Final = 1e-6
"""Denominators nearer to zero than this leave an index undefined. Reflectance has steps of 1e-4."""

_NORMALISED: Final = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class SpectralIndex:
    """One index.

    Attributes:
        name: Its short name, such as ``NDVI``.
        title: Its name in words.
        theme: What it is for.
        formula: In B, G, R, N (blue, green, red, near infrared reflectance), for people.
        reference: Where it was published.
        display_range: Range of colours in figures; most land pixels lie inside.
        fraction: Numerator and denominator from blue, green, red, nir.
    """

    name: str
    title: str
    theme: Theme
    formula: str
    reference: str
    display_range: tuple[float, float]
    fraction: Callable[[Band, Band, Band, Band], tuple[Band, Band | float]]

    def __call__(self, optical: NDArray[np.floating]) -> NDArray[np.float32]:
        """Compute the index, in float64.

        Args:
            optical: (4, H, W) reflectance: blue, green, red, nir.

        Returns:
            (H, W) float32, NaN where the index is undefined.
        """
        blue, green, red, nir = np.asarray(optical, dtype=np.float64)
        with np.errstate(all="ignore"):
            numerator, denominator = self.fraction(blue, green, red, nir)
            values = numerator / denominator
            is_defined = np.isfinite(values) & (np.abs(denominator) >= MIN_DENOMINATOR)
            return np.asarray(np.where(is_defined, values, np.nan), dtype=np.float32)


def _difference(first: Band, second: Band) -> tuple[Band, Band]:
    return first - second, first + second


def _gemi(r: Band, n: Band) -> tuple[Band, Band]:
    eta_numerator = 2 * (n**2 - r**2) + 1.5 * n + 0.5 * r
    eta_denominator = n + r + 0.5
    eta = eta_numerator / eta_denominator
    return eta * (1 - 0.25 * eta) * (1 - r) - (r - 0.125), 1 - r


def _index(
    name: str,
    title: str,
    formula: str,
    reference: str,
    fraction: Callable[[Band, Band, Band, Band], tuple[Band, Band | float]],
    *,
    theme: Theme = "vegetation",
    display_range: tuple[float, float] = _NORMALISED,
) -> SpectralIndex:
    return SpectralIndex(name, title, theme, formula, reference, display_range, fraction)


_ALL: Final = (
    _index(
        "NDVI",
        "Normalized Difference Vegetation Index",
        "(N - R) / (N + R)",
        "Rouse et al. 1974, NASA SP-351, 309-317",
        lambda b, g, r, n: _difference(n, r),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "GNDVI",
        "Green Normalized Difference Vegetation Index",
        "(N - G) / (N + G)",
        "Gitelson et al. 1996, doi:10.1016/S0034-4257(96)00072-7",
        lambda b, g, r, n: _difference(n, g),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "BNDVI",
        "Blue Normalized Difference Vegetation Index",
        "(N - B) / (N + B)",
        "Wang et al. 2007, doi:10.1016/S1672-6308(07)60027-4",
        lambda b, g, r, n: _difference(n, b),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "NDWI",
        "Normalized Difference Water Index",
        "(G - N) / (G + N)",
        "McFeeters 1996, doi:10.1080/01431169608948714",
        lambda b, g, r, n: _difference(g, n),
        theme="water",
        display_range=(-0.8, 0.8),
    ),
    _index(
        "EVI",
        "Enhanced Vegetation Index",
        "2.5 (N - R) / (N + 6 R - 7.5 B + 1)",
        "Huete et al. 1997, doi:10.1016/S0034-4257(96)00112-5",
        lambda b, g, r, n: (2.5 * (n - r), n + 6 * r - 7.5 * b + 1),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "EVI2",
        "Two-Band Enhanced Vegetation Index",
        "2.5 (N - R) / (N + 2.4 R + 1)",
        "Jiang et al. 2008, doi:10.1016/j.rse.2008.06.006",
        lambda b, g, r, n: (2.5 * (n - r), n + 2.4 * r + 1),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "SAVI",
        "Soil-Adjusted Vegetation Index",
        "1.5 (N - R) / (N + R + 0.5)",
        "Huete 1988, doi:10.1016/0034-4257(88)90106-X",
        lambda b, g, r, n: (1.5 * (n - r), n + r + 0.5),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "OSAVI",
        "Optimized Soil-Adjusted Vegetation Index",
        "(N - R) / (N + R + 0.16)",
        "Rondeaux et al. 1996, doi:10.1016/0034-4257(95)00186-7",
        lambda b, g, r, n: (n - r, n + r + 0.16),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "MSAVI",
        "Modified Soil-Adjusted Vegetation Index",
        "(2 N + 1 - sqrt((2 N + 1)^2 - 8 (N - R))) / 2",
        "Qi et al. 1994, doi:10.1016/0034-4257(94)90134-1",
        lambda b, g, r, n: (2 * n + 1 - np.sqrt((2 * n + 1) ** 2 - 8 * (n - r)), 2.0),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "GSAVI",
        "Green Soil Adjusted Vegetation Index",
        "1.5 (N - G) / (N + G + 0.5)",
        "Sripada et al. 2006, doi:10.2134/agronj2004.0314",
        lambda b, g, r, n: (1.5 * (n - g), n + g + 0.5),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "GOSAVI",
        "Green Optimized Soil Adjusted Vegetation Index",
        "(N - G) / (N + G + 0.16)",
        "Sripada et al. 2006, doi:10.2134/agronj2004.0314",
        lambda b, g, r, n: (n - g, n + g + 0.16),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "ARVI",
        "Atmospherically Resistant Vegetation Index",
        "(N - (R - (R - B))) / (N + (R - (R - B)))",
        "Kaufman and Tanre 1992, doi:10.1109/36.134076",
        lambda b, g, r, n: _difference(n, r - (r - b)),
        display_range=(-0.2, 0.9),
    ),
    _index(
        "VARI",
        "Visible Atmospherically Resistant Index",
        "(G - R) / (G + R - B)",
        "Gitelson et al. 2002, doi:10.1016/S0034-4257(01)00289-9",
        lambda b, g, r, n: (g - r, g + r - b),
        display_range=(-0.6, 0.6),
    ),
    _index(
        "NGRDI",
        "Normalized Green Red Difference Index",
        "(G - R) / (G + R)",
        "Tucker 1979, doi:10.1016/0034-4257(79)90013-0",
        lambda b, g, r, n: _difference(g, r),
        display_range=(-0.5, 0.5),
    ),
    _index(
        "GLI",
        "Green Leaf Index",
        "(2 G - R - B) / (2 G + R + B)",
        "Louhaichi et al. 2001, doi:10.1080/10106040108542184",
        lambda b, g, r, n: _difference(2 * g, r + b),
        display_range=(-0.5, 0.5),
    ),
    _index(
        "NDYI",
        "Normalized Difference Yellowness Index",
        "(G - B) / (G + B)",
        "Sulik and Long 2016, doi:10.1016/j.rse.2016.06.016",
        lambda b, g, r, n: _difference(g, b),
        display_range=(-0.3, 0.7),
    ),
    _index(
        "NDTI",
        "Normalized Difference Turbidity Index",
        "(R - G) / (R + G)",
        "Lacaux et al. 2007, doi:10.1016/j.rse.2006.07.012",
        lambda b, g, r, n: _difference(r, g),
        theme="water",
        display_range=(-0.5, 0.5),
    ),
    _index(
        "NIRv",
        "Near-Infrared Reflectance of Vegetation",
        "N (N - R) / (N + R)",
        "Badgley et al. 2017, doi:10.1126/sciadv.1602244",
        lambda b, g, r, n: (n * (n - r), n + r),
        display_range=(0.0, 0.5),
    ),
    _index(
        "IPVI",
        "Infrared Percentage Vegetation Index",
        "N / (N + R)",
        "Crippen 1990, doi:10.1016/0034-4257(90)90085-Z",
        lambda b, g, r, n: (n, n + r),
        display_range=(0.0, 1.0),
    ),
    _index(
        "DVI",
        "Difference Vegetation Index",
        "N - R",
        "Richardson and Wiegand 1977, doi:10.1016/0034-4257(94)00114-3",
        lambda b, g, r, n: (n - r, 1.0),
        display_range=(-0.1, 0.5),
    ),
    _index(
        "RDVI",
        "Renormalized Difference Vegetation Index",
        "(N - R) / sqrt(N + R)",
        "Roujean and Breon 1995, doi:10.1016/0034-4257(94)00114-3",
        lambda b, g, r, n: (n - r, np.sqrt(n + r)),
        display_range=(-0.2, 0.8),
    ),
    _index(
        "SR",
        "Simple Ratio",
        "N / R",
        "Jordan 1969, doi:10.2307/1936256",
        lambda b, g, r, n: (n, r),
        display_range=(0.0, 15.0),
    ),
    _index(
        "CIG",
        "Chlorophyll Index Green",
        "N / G - 1",
        "Gitelson et al. 2003, doi:10.1078/0176-1617-00887",
        lambda b, g, r, n: (n - g, g),
        display_range=(-1.0, 9.0),
    ),
    _index(
        "GEMI",
        "Global Environment Monitoring Index",
        "E (1 - 0.25 E) - (R - 0.125) / (1 - R), "
        "E = (2 (N^2 - R^2) + 1.5 N + 0.5 R) / (N + R + 0.5)",
        "Pinty and Verstraete 1992, doi:10.1007/bf00031911",
        lambda b, g, r, n: _gemi(r, n),
        display_range=(0.0, 1.0),
    ),
    _index(
        "BAI",
        "Burned Area Index",
        "1 / ((0.1 - R)^2 + (0.06 - N)^2)",
        "Chuvieco et al. 2002, doi:10.1080/01431160210153129",
        lambda b, g, r, n: (np.ones_like(r), (0.1 - r) ** 2 + (0.06 - n) ** 2),
        theme="burn",
        display_range=(0.0, 300.0),
    ),
    _index(
        "BITM",
        "Landsat TM-based Brightness Index",
        "sqrt((B^2 + G^2 + R^2) / 3)",
        "Mathieu et al. 1998, doi:10.1016/S0034-4257(98)00030-3",
        lambda b, g, r, n: (np.sqrt((b**2 + g**2 + r**2) / 3), 1.0),
        theme="soil",
        display_range=(0.0, 0.4),
    ),
)

INDICES: Final[Mapping[str, SpectralIndex]] = {index.name: index for index in _ALL}
"""Every index by its name."""

_BY_FOLDED_NAME: Final = {name.casefold(): index for name, index in INDICES.items()}


def find_index(name: str) -> SpectralIndex:
    """Look an index up by its name, in any case.

    Raises:
        UsageError: There is no such index; the hint has the nearest names.
    """
    index = _BY_FOLDED_NAME.get(name.strip().casefold())
    if index is not None:
        return index
    near = difflib.get_close_matches(name.strip().casefold(), _BY_FOLDED_NAME, n=3, cutoff=0.5)
    nearest = ", ".join(_BY_FOLDED_NAME[folded].name for folded in near)
    known = ", ".join(INDICES)
    raise UsageError(
        f"There is no spectral index {name.strip()!r} of blue, green, red and nir.",
        hint=f"Nearest: {nearest}. Known: {known}." if near else f"Known: {known}.",
    )


def find_indices(names: str | None) -> tuple[SpectralIndex, ...]:
    """Look up a list such as ``NDVI,EVI2``; each index once, in the order given.

    Args:
        names: Names between commas; None or empty for none.

    Raises:
        UsageError: One of them is not known.
    """
    wanted = [name for name in (names or "").split(",") if name.strip()]
    return tuple(dict.fromkeys(find_index(name) for name in wanted))


def index_statistics(
    indices: Sequence[SpectralIndex], optical: NDArray[np.floating]
) -> dict[str, float]:
    """Mean and standard deviation of indices over the pixels where they are defined.

    Args:
        indices: The indices.
        optical: (4, H, W) reflectance.

    Returns:
        ``ndvi_mean``, ``ndvi_std``, ...; an index that is defined nowhere is left out.
    """
    statistics = {}
    for index in indices:
        values = index(optical)
        defined = values[np.isfinite(values)].astype(np.float64)
        if defined.size:
            statistics[f"{index.name.lower()}_mean"] = float(defined.mean())
            statistics[f"{index.name.lower()}_std"] = float(defined.std())
    return statistics
