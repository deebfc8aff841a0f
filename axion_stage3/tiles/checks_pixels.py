"""Checks of pixels that hold for optical and radar tiles alike.

Arrays are (band, y, x). Except for `check_usable`, which looks for them, unusable pixels must have
been filled before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.tiles.bands import OUTPUT_RANGE
from axion_stage3.tiles.findings import Finding, FindingKind, Severity, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MAX_OUTSIDE_TRAINING_SHARE: Final = 0.2
"""Share of a band's pixels outside the training range from which it is reported."""

MIN_NO_DATA_SHARE: Final = 0.005
MIN_NO_DATA_PIXELS: Final = 32
MIN_CLIPPED_SHARE: Final = 0.02
_PILE_UP: Final = 3.0
_MIN_BORDER_SHARE: Final = 0.9
_DARK_REFLECTANCE: Final = 1e-3

UNUSABLE_PIXELS: Final = FindingKind(
    id="AX-T020",
    severity=Severity.ERROR,
    title="Pixels without a usable value",
    measured="Pixels that are NaN, infinite, or a no-data value (-999 and below, 1e6 and above).",
    meaning="The network cannot use them. infer fails this tile.",
    remedy="Give --fill-invalid to fill and mark them; leave the tile out if a whole band is gone.",
)
ALL_ZERO: Final = FindingKind(
    id="AX-T021",
    severity=Severity.ERROR,
    title="Zero throughout",
    measured="Whether every pixel of every band is exactly 0.",
    meaning="The tile holds no data: it lies outside the scene, or was never filled. "
    "infer fails this tile.",
    remedy="Leave this tile out, or make it again.",
)
CONSTANT_BAND: Final = FindingKind(
    id="AX-T022",
    severity=Severity.ERROR,
    title="Constant band",
    measured="Bands in which all pixels have one value. A reflectance of 0.001 or less is a "
    "warning: over deep water a band can be clipped throughout.",
    meaning="The band holds no picture; the result would be made up there.",
    remedy="Make this tile again; leave it out if the source is constant too.",
)
OUT_OF_RANGE: Final = FindingKind(
    id="AX-T023",
    severity=Severity.ERROR,
    title="Values outside the expected range",
    measured=f"Pixels outside [{OUTPUT_RANGE[0]:g}, {OUTPUT_RANGE[1]:g}], the range of the "
    "automatic validation. A warning for opt_v2, an error for opt_final.",
    meaning="No surface has such a reflectance: wild pixels of an earlier stage, a wrong scale, "
    "or a checkpoint that is broken or does not fit.",
    remedy="Where opt_v2 has them, make that tile again, or store NaN there and give "
    "--fill-invalid; where opt_final alone has them, check the checkpoint.",
)
CLIPPED: Final = FindingKind(
    id="AX-T024",
    severity=Severity.WARNING,
    title="Saturated or clipped values",
    measured="Share of a band's pixels that sit exactly on its highest or lowest value: "
    f"{MIN_CLIPPED_SHARE:.0%} or more, and {_PILE_UP:g} times the next value.",
    meaning="What was beyond the limit is lost: bright roofs and clouds, dark water, or strong "
    "radar echoes look flat.",
    remedy="Make the tile without clipping (no clip to 0..1, no 8-bit step); otherwise expect "
    "flat areas there.",
)
TRAINING_RANGE: Final = FindingKind(
    id="AX-T025",
    severity=Severity.WARNING,
    title="Outside the training range of the checkpoint",
    measured="Share of a band's pixels outside the 0.1 and 99.9 percentiles of the tiles that the "
    f"checkpoint was trained on: above {MAX_OUTSIDE_TRAINING_SHARE:.0%}.",
    meaning="The network has hardly seen such values: cloud, snow, another processing level, or "
    "another calibration. The result is less sure.",
    remedy="Compare units and processing with the checkpoint's model card; look at the result.",
)
NO_DATA_BORDER: Final = FindingKind(
    id="AX-T026",
    severity=Severity.WARNING,
    title="Border without data",
    measured="Runs of one exact value that begin at the edge of the tile: 0, and for radar the "
    f"value of a corner; {MIN_NO_DATA_SHARE:.1%} of the pixels or more, and {MIN_NO_DATA_PIXELS}.",
    meaning="The scene ends inside the tile. Exact zeros of radar are read as 0 dB, a very bright "
    "surface, and the network would draw one.",
    remedy="Leave tiles at the edge of the scene out, or set the border to NaN and give "
    "--fill-invalid.",
)


def check_usable(
    values: NDArray[np.floating[Any]],
    is_usable: NDArray[np.bool_],
    bands: Sequence[str],
    subject: Subject,
    *,
    is_filled: bool = False,
) -> list[Finding]:
    """Report pixels that are NaN, infinite or no-data values: how many, of what kind, and where.

    Args:
        values: (band, y, x) as stored.
        is_usable: (band, y, x), False where a pixel cannot be used.
        bands: Names of the bands.
        subject: Which kind of tile it is.
        is_filled: Whether infer is told to fill such pixels (``--fill-invalid``).
    """
    concerned = [band for band, usable in zip(bands, is_usable, strict=True) if not usable.all()]
    if not concerned:
        return []
    unusable = ~is_usable
    n_unusable = int(np.count_nonzero(unusable))
    share = n_unusable / unusable.size
    lost = [band for band, usable in zip(bands, is_usable, strict=True) if not usable.any()]
    place = f"the whole of {', '.join(lost)}" if lost else _place(np.logical_or.reduce(unusable))
    figures: dict[str, float | int | str] = {
        "n_pixels": n_unusable,
        "share": share,
        "n_nan": int(np.count_nonzero(np.isnan(values))),
        "n_infinite": int(np.count_nonzero(np.isinf(values))),
        "place": place,
    }
    is_mild = is_filled and not lost
    return [
        UNUSABLE_PIXELS.found(
            subject,
            f"{n_unusable:,} values ({percent(share)}) are unusable: {_kinds(figures)}; {place}.",
            bands=concerned,
            figures=figures,
            advice=_unusable_advice(lost, is_filled=is_mild),
            severity=Severity.WARNING if is_mild else Severity.ERROR,
        )
    ]


def _kinds(figures: Mapping[str, float | int | str]) -> str:
    n_nan, n_infinite = int(figures["n_nan"]), int(figures["n_infinite"])
    n_no_data = int(figures["n_pixels"]) - n_nan - n_infinite
    counts = {"NaN": n_nan, "infinite": n_infinite, "no-data value": n_no_data}
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


def _unusable_advice(lost: Sequence[str], *, is_filled: bool) -> str:
    if is_filled:
        return "--fill-invalid fills them and marks them in valid_mask."
    if lost:
        return f"Leave this tile out, or make it again: {', '.join(lost)} cannot be filled."
    return "Give --fill-invalid to fill and mark them, or make the tile again."


def _place(mask: NDArray[np.bool_]) -> str:
    """Where the pixels of a mask (y, x) lie, in words."""
    n_pixels = np.count_nonzero(mask)
    if np.count_nonzero(edge_runs(mask)) >= _MIN_BORDER_SHARE * n_pixels:
        return "at the border"
    rows, columns = np.nonzero(mask)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    if n_pixels > 0.5 * box:
        return f"in one block at row {rows.min()}, column {columns.min()}"
    return "scattered"


def edge_runs(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (..., y, x) that a straight line of the mask joins to an edge."""
    runs = np.zeros_like(mask)
    for axis in (-1, -2):
        runs |= np.logical_and.accumulate(mask, axis=axis)
        backwards = np.flip(mask, axis=axis)
        runs |= np.flip(np.logical_and.accumulate(backwards, axis=axis), axis=axis)
    return runs


def check_all_zero(values: NDArray[np.floating[Any]], subject: Subject) -> list[Finding]:
    """Report a tile that is zero throughout."""
    if np.any(values):
        return []
    return [ALL_ZERO.found(subject, f"All {values.size:,} values are 0.")]


def check_constant_bands(
    values: NDArray[np.floating[Any]], bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Report bands that have one value throughout."""
    lowest, highest = values.min(axis=(1, 2)), values.max(axis=(1, 2))
    is_constant = lowest == highest
    if not is_constant.any():
        return []
    concerned = [band for band, constant in zip(bands, is_constant, strict=True) if constant]
    listed = ", ".join(
        f"{band} is {value:.4g} everywhere"
        for band, value, constant in zip(bands, lowest, is_constant, strict=True)
        if constant
    )
    is_dark = subject != "s1" and bool(np.all(np.abs(lowest[is_constant]) <= _DARK_REFLECTANCE))
    return [
        CONSTANT_BAND.found(
            subject,
            f"{listed}.",
            bands=concerned,
            figures={"value": float(lowest[is_constant][0])},
            severity=Severity.WARNING if is_dark else Severity.ERROR,
        )
    ]


def check_range(
    values: NDArray[np.floating[Any]], bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Report reflectance outside the range of the automatic validation."""
    lowest, highest = float(values.min()), float(values.max())
    if OUTPUT_RANGE[0] <= lowest and highest <= OUTPUT_RANGE[1]:
        return []
    is_outside = (values < OUTPUT_RANGE[0]) | (values > OUTPUT_RANGE[1])
    n_outside = int(np.count_nonzero(is_outside))
    return [
        OUT_OF_RANGE.found(
            subject,
            f"{n_outside:,} values ({percent(n_outside / values.size)}) are outside "
            f"[{OUTPUT_RANGE[0]:g}, {OUTPUT_RANGE[1]:g}]: from {lowest:.4g} to {highest:.4g}.",
            bands=_concerned(bands, np.logical_or.reduce(is_outside, axis=(1, 2))),
            figures={
                "n_pixels": n_outside,
                "share": n_outside / values.size,
                "min": lowest,
                "max": highest,
            },
            severity=Severity.ERROR if subject == "opt_final" else Severity.WARNING,
        )
    ]


def check_clipped(
    values: NDArray[np.floating[Any]], bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Report bands in which many pixels sit exactly on the highest or lowest value."""
    findings = []
    for end, extremes in (
        ("lowest", values.min(axis=(1, 2))),
        ("highest", values.max(axis=(1, 2))),
    ):
        shares = (values == extremes[:, np.newaxis, np.newaxis]).mean(axis=(1, 2))
        is_clipped = np.array(
            [
                MIN_CLIPPED_SHARE <= share < 1.0 and _piles_up(band, extreme, share)
                for band, extreme, share in zip(values, extremes, shares, strict=True)
            ]
        )
        if is_clipped.any():
            worst_share = float(shares[is_clipped].max())
            concerned = _concerned(bands, is_clipped)
            listed = ", ".join(
                f"{band} {value:.4g}"
                for band, value in zip(concerned, extremes[is_clipped], strict=True)
            )
            findings.append(
                CLIPPED.found(
                    subject,
                    f"Up to {percent(worst_share)} of the pixels sit on the {end} value "
                    f"({listed}).",
                    bands=concerned,
                    figures={"share": worst_share, "end": end},
                )
            )
    return findings


def _piles_up(
    band: NDArray[np.floating[Any]], extreme: np.floating[Any], share: np.floating[Any]
) -> bool:
    """Whether a value is much more frequent than any other, as stored integers alone are not."""
    _, counts = np.unique(band[band != extreme], return_counts=True)
    return bool(share * band.size > _PILE_UP * counts.max())


def check_training_range(
    values: NDArray[np.floating[Any]],
    bands: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
    subject: Subject,
) -> list[Finding]:
    """Report bands that hold other values than the tiles of the training.

    Args:
        values: (band, y, x) in reflectance or dB.
        bands: Names of the bands.
        ranges: Band name to lowest and highest usual value; bands without one are passed over.
        subject: Which kind of tile it is.
    """
    shares = {
        band: float(np.mean((pixels < ranges[band][0]) | (pixels > ranges[band][1])))
        for band, pixels in zip(bands, values, strict=True)
        if band in ranges
    }
    outside = {b: share for b, share in shares.items() if share > MAX_OUTSIDE_TRAINING_SHARE}
    if not outside:
        return []
    listed = ", ".join(
        f"{band} {percent(share)} outside {ranges[band][0]:.4g} to {ranges[band][1]:.4g}"
        for band, share in outside.items()
    )
    return [
        TRAINING_RANGE.found(
            subject, f"{listed}.", bands=outside, figures={"share": max(outside.values())}
        )
    ]


def check_no_data_border(
    values: NDArray[np.floating[Any]], bands: Sequence[str], subject: Subject
) -> list[Finding]:
    """Report an edge of the tile that holds one exact value instead of a picture."""
    shares = np.zeros(len(values))
    found_values = np.zeros(len(values))
    for index, band in enumerate(values):
        # Optical bands are clipped to a small value over water, at corners as elsewhere.
        corners = _repeated_corners(band) if subject == "s1" else ()
        for value in {0.0, *corners}:
            is_value = band == value
            share = float(edge_runs(is_value).mean()) if is_value.any() else 0.0
            if share > shares[index]:
                shares[index], found_values[index] = share, value
    least = max(MIN_NO_DATA_SHARE, MIN_NO_DATA_PIXELS / values[0].size)
    is_bordered = (shares >= least) & (shares < 1.0)
    if not is_bordered.any():
        return []
    worst_band = int(np.argmax(np.where(is_bordered, shares, 0.0)))
    return [
        NO_DATA_BORDER.found(
            subject,
            f"{percent(shares[worst_band])} of the pixels, from the edge inwards, are exactly "
            f"{found_values[worst_band]:g}.",
            bands=_concerned(bands, is_bordered),
            figures={
                "share": float(shares[worst_band]),
                "value": float(found_values[worst_band]),
            },
        )
    ]


def _repeated_corners(band: NDArray[np.floating[Any]]) -> list[float]:
    """The values of corners (y, x) that the next pixel along a row or a column has too."""
    turned = (band, band[:, ::-1], band[::-1], band[::-1, ::-1])
    return [float(view[0, 0]) for view in turned if view[0, 0] in (view[0, 1], view[1, 0])]


def percent(share: float) -> str:
    """A share as a percentage that never rounds something to nothing: ``0.3 %``, ``< 0.1 %``."""
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "< 0.1%"


def _concerned(bands: Sequence[str], is_concerned: NDArray[np.bool_]) -> list[str]:
    return [band for band, concerned in zip(bands, is_concerned, strict=True) if concerned]


KINDS: Final = (
    UNUSABLE_PIXELS,
    ALL_ZERO,
    CONSTANT_BAND,
    OUT_OF_RANGE,
    CLIPPED,
    TRAINING_RANGE,
    NO_DATA_BORDER,
)
"""The kinds of findings of this module, in the order of the catalogue."""
