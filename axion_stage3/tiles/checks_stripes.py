"""Checks for artefacts that follow the rows or columns of the pixel grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.tiles.findings import Finding, FindingKind, Severity, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

COHERENT_LINE: Final = 0.4
"""A line is coherent if this much more of its pixels lie on one side of both neighbours than on
the other."""

MIN_COHERENT_SHARE: Final = 0.1
MIN_COHERENCE_RATIO: Final = 2.0
"""Stripes show as coherent lines in one direction: their share exceeds that of the other direction
by 0.1, and the mean coherence is twice that of the other direction. In 140 real pairs the largest
excess is 0.08, with a ratio of 1.7 at most; blurred by 2 px none is reported either. Stripes of
half a band's standard deviation, one line in four, are found in all of them."""

MIN_JUDGED_PX: Final = 64
"""Shorter lines are coherent by chance too often."""

_MIN_STEP: Final = 0.5
_MAX_DEAD_SHARE: Final = 0.5

STRIPES: Final = FindingKind(
    id="AX-T027",
    severity=Severity.WARNING,
    title="Stripes along the rows or columns",
    measured="How many lines lie, along most of their length, above or below both neighbours, "
    "compared with the lines across.",
    meaning="Sensor or mosaic artefacts, or the grid of an upsampling network. Stage 3 may keep "
    "them as if they were ground.",
    remedy="Look at the tile with `axion-stage3 inspect-tile`; make it again without the artefact.",
)
DEAD_LINES: Final = FindingKind(
    id="AX-T028",
    severity=Severity.WARNING,
    title="Rows or columns of one value",
    measured="Whole rows or columns that are constant and unlike the rest of the tile.",
    meaning="Lines were lost when the scene was received, mosaicked or cut.",
    remedy="Make this tile again, or set the lines to NaN and give --fill-invalid.",
)


def check_stripes(
    values: NDArray[np.floating[Any]], bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Report stripes along columns or rows.

    Args:
        values: (band, y, x).
        bands: Names of the bands.
        subject: Which kind of tile it is.
    """
    if min(values.shape[1:]) < MIN_JUDGED_PX:
        return []
    coherence = {
        "columns": _line_coherence(values),
        "rows": _line_coherence(values.swapaxes(1, 2)),
    }
    findings = []
    for direction, across in (("columns", "rows"), ("rows", "columns")):
        along = coherence[direction]
        share = (along > COHERENT_LINE).mean(axis=1)
        excess = share - (coherence[across] > COHERENT_LINE).mean(axis=1)
        mean_across = np.maximum(coherence[across].mean(axis=1), 1e-6)
        is_striped = (excess >= MIN_COHERENT_SHARE) & (
            along.mean(axis=1) >= MIN_COHERENCE_RATIO * mean_across
        )
        if is_striped.any():
            worst_share = float(share[is_striped].max())
            findings.append(
                STRIPES.found(
                    subject,
                    f"{worst_share:.0%} of the {direction} stand out from their neighbours "
                    "along their whole length.",
                    bands=[b for b, striped in zip(bands, is_striped, strict=True) if striped],
                    figures={"share": worst_share, "direction": direction},
                )
            )
    return findings


def _line_coherence(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(band, W - 2): per inner column, how one-sidedly it differs from its neighbours, 0 to 1."""
    between = (values[:, :, :-2] + values[:, :, 2:]) / 2
    sides = np.sign(values[:, :, 1:-1] - between)
    coherence: NDArray[np.float64] = np.abs(sides.mean(axis=1, dtype=np.float64))
    return coherence


def check_dead_lines(
    values: NDArray[np.floating[Any]], bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Report rows and columns that are constant and unlike the rest of the tile.

    Args:
        values: (band, y, x).
        bands: Names of the bands.
        subject: Which kind of tile it is.
    """
    spread = values.std(axis=(1, 2))
    rows = _dead_lines(values, spread)
    columns = _dead_lines(values.swapaxes(1, 2), spread)
    is_concerned = np.logical_or(rows.any(axis=1), columns.any(axis=1))
    if not is_concerned.any():
        return []
    n_rows, n_columns = int(rows.any(axis=0).sum()), int(columns.any(axis=0).sum())
    return [
        DEAD_LINES.found(
            subject,
            f"{n_rows} rows and {n_columns} columns have one value along their whole length.",
            bands=[band for band, dead in zip(bands, is_concerned, strict=True) if dead],
            figures={"n_rows": n_rows, "n_columns": n_columns},
        )
    ]


def _dead_lines(
    values: NDArray[np.floating[Any]], spread: NDArray[np.floating[Any]]
) -> NDArray[np.bool_]:
    """(band, H): which inner rows are constant and differ from the mean of living lines.

    A band in which most rows are constant is clipped or empty; that is the matter of other checks.
    """
    is_constant = np.asarray(values.min(axis=2) == values.max(axis=2), dtype=np.bool_)
    is_constant[is_constant.mean(axis=1) > _MAX_DEAD_SHARE] = False
    is_constant[:, [0, -1]] = False  # lines at the edge are the matter of the no-data border
    living = np.where(is_constant, np.nan, values.mean(axis=2))
    is_dead = np.zeros_like(is_constant)
    for band in np.flatnonzero(is_constant.any(axis=1)):
        step = np.abs(values[band, :, 0] - np.nanmean(living[band]))
        is_dead[band] = is_constant[band] & (step > _MIN_STEP * spread[band])
    return is_dead


KINDS: Final = (STRIPES, DEAD_LINES)
"""The kinds of findings of this module, in the order of the catalogue."""
