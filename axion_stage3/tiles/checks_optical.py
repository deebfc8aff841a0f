"""Checks of optical tiles: units, bands, cloud."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import TileUnitsError
from axion_stage3.tiles.bands import OPTICAL_BANDS
from axion_stage3.tiles.checks_pixels import percent
from axion_stage3.tiles.findings import Finding, FindingKind, Severity, Subject
from axion_stage3.tiles.units import check_reflectance

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLOUD_REFLECTANCE: Final = 0.25
CLOUD_WHITENESS: Final = 1.45
MIN_CLOUD_SHARE: Final = 0.05
"""Bright and white: all visible bands above 0.25, the brightest at most 1.45 times the darkest. Of
82 real tiles without cloud none has more than 3.6 % of such pixels; 11 tiles that are bright with
cloud or snow have 7 to 63 %."""

_DIGITAL_NUMBERS: Final = 1.0

DIGITAL_NUMBERS: Final = FindingKind(
    id="AX-T030",
    severity=Severity.ERROR,
    title="Digital numbers instead of reflectance",
    measured="Share of the values above 3; reflectance lies between 0 and 1, snow and cloud at "
    "most at 1.6.",
    meaning="The values are scaled, as a rule by 10000 (Sentinel-2 products). infer fails this "
    "tile rather than guess.",
    remedy="Give --opt-scale 10000 (or what else the values were multiplied by).",
)
NOT_REFLECTANCE: Final = FindingKind(
    id="AX-T031",
    severity=Severity.ERROR,
    title="Values that are no reflectance",
    measured="Share of negative values, and the highest value after --opt-scale.",
    meaning="The values were normalised (mean 0), or reflectance was divided by --opt-scale once "
    "more. infer fails this tile.",
    remedy="Store reflectance 0..1; give --opt-scale only for scaled values.",
)
DUPLICATED_BANDS: Final = FindingKind(
    id="AX-T032",
    severity=Severity.ERROR,
    title="Two bands are the same",
    measured="Optical bands that are equal in every pixel.",
    meaning="One band was written twice, so another is missing; colour and NDVI are wrong.",
    remedy="Make this tile again from the right bands: B2, B3, B4, B8.",
)
CLOUD_OR_SNOW: Final = FindingKind(
    id="AX-T033",
    severity=Severity.WARNING,
    title="Likely cloud or snow",
    measured=f"Share of pixels that are bright (above {CLOUD_REFLECTANCE:g} in all visible bands) "
    f"and white (within a factor of {CLOUD_WHITENESS:g}): {MIN_CLOUD_SHARE:.0%} or more.",
    meaning="Radar sees through cloud, so opt_v2 and s1 cannot agree there; snow is rare in the "
    "training tiles.",
    remedy="Look at the tile; leave it out if the cloud matters to you.",
)


def check_optical_units(
    values: NDArray[np.floating[Any]], subject: Subject, *, opt_scale: float = 1.0
) -> list[Finding]:
    """Report values that cannot be reflectance.

    Args:
        values: (4, y, x) after division by ``opt_scale``.
        subject: Which kind of tile it is.
        opt_scale: What the stored values were divided by.
    """
    try:
        check_reflectance(values, opt_scale=opt_scale)
    except TileUnitsError as error:
        kind = DIGITAL_NUMBERS if values.mean() > _DIGITAL_NUMBERS else NOT_REFLECTANCE
        figures = {"min": float(values.min()), "max": float(values.max())}
        return [kind.found(subject, error.message, advice=error.hint, figures=figures)]
    return []


def check_duplicated_bands(values: NDArray[np.floating[Any]], subject: Subject) -> list[Finding]:
    """Report optical bands that are equal in every pixel.

    Args:
        values: (4, y, x).
        subject: Which kind of tile it is.
    """
    equal = [
        (OPTICAL_BANDS[a], OPTICAL_BANDS[b])
        for a, b in combinations(range(len(values)), 2)
        if np.array_equal(values[a], values[b]) and np.ptp(values[a]) > 0
    ]
    if not equal:
        return []
    listed = ", ".join(f"{first} = {second}" for first, second in equal)
    concerned = [band for band in OPTICAL_BANDS if any(band in pair for pair in equal)]
    return [DUPLICATED_BANDS.found(subject, f"Equal in every pixel: {listed}.", bands=concerned)]


def check_cloud(values: NDArray[np.floating[Any]], subject: Subject) -> list[Finding]:
    """Report a share of bright white pixels.

    Args:
        values: (4, y, x) reflectance.
        subject: Which kind of tile it is.
    """
    visible = values[:3]
    darkest, brightest = visible.min(axis=0), visible.max(axis=0)
    is_white = (darkest > CLOUD_REFLECTANCE) & (brightest < CLOUD_WHITENESS * darkest)
    share = float(is_white.mean())
    if share < MIN_CLOUD_SHARE:
        return []
    return [
        CLOUD_OR_SNOW.found(
            subject,
            f"{percent(share)} of the pixels are bright and white.",
            figures={"share": share},
        )
    ]


KINDS: Final = (DIGITAL_NUMBERS, NOT_REFLECTANCE, DUPLICATED_BANDS, CLOUD_OR_SNOW)
"""The kinds of findings of this module, in the order of the catalogue."""
