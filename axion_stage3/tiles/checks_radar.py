"""Checks of radar tiles: units and polarisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from axion_stage3.errors import TileUnitsError
from axion_stage3.tiles.bands import RADAR_BANDS
from axion_stage3.tiles.findings import Finding, FindingKind, Severity
from axion_stage3.tiles.units import check_backscatter_db, check_backscatter_linear, linear_to_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAND_DB: Final = -18.0
MIN_LAND_SHARE: Final = 0.05
SWAPPED_DB: Final = -2.0
"""Over land, where either band is above -18 dB, the median of VV - VH lies between 4.5 and 15 dB in
each of 128 real tiles. Calm water is left out: both bands are at the noise floor there, and VH may
be higher."""

LINEAR_UNITS: Final = FindingKind(
    id="AX-T040",
    severity=Severity.ERROR,
    title="Linear backscatter instead of dB",
    measured="Share of the values below -3; of a radar tile in dB nearly all are, of linear power "
    "none is negative.",
    meaning="The values are power (or amplitude), not dB. infer fails this tile rather than guess.",
    remedy="Give --s1-units linear for power; calibrate amplitudes and digital numbers first.",
)
NOT_LINEAR: Final = FindingKind(
    id="AX-T041",
    severity=Severity.ERROR,
    title="Not the linear backscatter that was announced",
    measured="With --s1-units linear: share of negative values, and of values that are too bright.",
    meaning="The values are in dB already, or amplitudes. infer fails this tile.",
    remedy="Leave out --s1-units linear for tiles in dB; calibrate amplitudes first.",
)
NOT_BACKSCATTER: Final = FindingKind(
    id="AX-T042",
    severity=Severity.ERROR,
    title="Values that are no backscatter",
    measured="Share of the values below -3, where some are negative.",
    meaning="The values were normalised (mean 0, or 0..1), so the level of the backscatter is "
    "lost. infer fails this tile.",
    remedy="Undo the normalisation and store dB.",
)
SWAPPED_BANDS: Final = FindingKind(
    id="AX-T043",
    severity=Severity.ERROR,
    title="VV and VH swapped",
    measured=f"Median of VV - VH over land (either above {LAND_DB:g} dB, {MIN_LAND_SHARE:.0%} of "
    f"the pixels or more): below {SWAPPED_DB:g} dB.",
    meaning="Land returns more in VV than in VH everywhere. The network would take one for the "
    "other.",
    remedy="Swap the two bands: VV first, VH second.",
)
EQUAL_BANDS: Final = FindingKind(
    id="AX-T044",
    severity=Severity.ERROR,
    title="VV and VH are the same",
    measured="Whether both bands are equal in every pixel.",
    meaning="One polarisation was written twice; the other is missing.",
    remedy="Make this tile again from both polarisations.",
)


def check_radar_units(
    stored: NDArray[np.floating[Any]], *, s1_units: Literal["db", "linear"] = "db"
) -> list[Finding]:
    """Report values that cannot be what ``s1_units`` says.

    Args:
        stored: (2, y, x) as stored.
        s1_units: ``db`` or ``linear``.
    """
    kind = NOT_LINEAR
    try:
        if s1_units == "linear":
            check_backscatter_linear(stored)
            check_backscatter_db(linear_to_db(stored), was_linear=True)
        else:
            kind = LINEAR_UNITS if stored.min() >= 0 else NOT_BACKSCATTER
            check_backscatter_db(stored)
    except TileUnitsError as error:
        figures = {"min": float(stored.min()), "max": float(stored.max())}
        return [kind.found("s1", error.message, advice=error.hint, figures=figures)]
    return []


def check_polarisations(backscatter_db: NDArray[np.floating[Any]]) -> list[Finding]:
    """Report VV and VH that are swapped or equal.

    Args:
        backscatter_db: (2, y, x) in dB: VV, VH.
    """
    vv, vh = backscatter_db
    if np.array_equal(vv, vh):
        return [EQUAL_BANDS.found("s1", "VV and VH are equal in every pixel.", bands=RADAR_BANDS)]
    is_land = np.maximum(vv, vh) > LAND_DB
    if is_land.mean() < MIN_LAND_SHARE:
        return []
    difference = float(np.median(vv[is_land] - vh[is_land]))
    if difference >= SWAPPED_DB:
        return []
    return [
        SWAPPED_BANDS.found(
            "s1",
            f"Over land VV is {-difference:.1f} dB below VH (median).",
            bands=RADAR_BANDS,
            figures={"median_difference_db": difference},
        )
    ]


KINDS: Final = (LINEAR_UNITS, NOT_LINEAR, NOT_BACKSCATTER, SWAPPED_BANDS, EQUAL_BANDS)
"""The kinds of findings of this module, in the order of the catalogue."""
