"""Checks of what a run wrote, and of what it recorded about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.tiles.checks_pixels import percent
from axion_stage3.tiles.findings import Finding, FindingKind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LOST_DETAIL_RATIO: Final = 0.25
GAINED_DETAIL_RATIO: Final = 1.5
NOISE_FLATNESS: Final = 0.5
"""High-frequency power of real tiles falls by 5 to 30 times between 3.8 and 2.3 px wavelength
(flatness 0.03 to 0.2, at most 0.33); noise of 0.02 reflectance makes it flat (0.5 to 1). A blur of
0.7 px leaves a quarter of the power."""

STATISTICS_TOLERANCE: Final = 1e-3
_ABSOLUTE_TOLERANCE: Final = 1e-5
_SHOWN_FIELDS: Final = 4

UNCHANGED: Final = FindingKind(
    id="AX-T060",
    severity=Severity.WARNING,
    title="opt_final is identical to opt_v2",
    measured="Whether both are equal in every pixel of every band.",
    meaning="Stage 3 changed nothing: the checkpoint was never trained, or the output is a copy.",
    remedy="Check the checkpoint, and that the output folder is not the input folder of a copy.",
)
LOST_DETAIL: Final = FindingKind(
    id="AX-T061",
    severity=Severity.WARNING,
    title="opt_final lost detail",
    measured="Power at wavelengths of 2 to 5 px, opt_final over opt_v2: below "
    f"{LOST_DETAIL_RATIO:g}, where the detail of opt_v2 was no noise.",
    meaning="The result is blurred. With --timesteps 1 it is the mean, which leaves out detail "
    "that is not certain.",
    remedy="Use the checkpoint's number of timesteps; check that opt_v2 and s1 fit together.",
)
GAINED_NOISE: Final = FindingKind(
    id="AX-T062",
    severity=Severity.WARNING,
    title="opt_final gained noise",
    measured="Power at wavelengths of 2 to 5 px, opt_final over opt_v2: above "
    f"{GAINED_DETAIL_RATIO:g}; and its flatness over these wavelengths: above {NOISE_FLATNESS:g} "
    "(pictures fall off, noise does not).",
    meaning="Speckle of the radar leaked into the result, or the denoiser is not trained enough.",
    remedy="Compare with --timesteps 1; if that is clean, the checkpoint needs more training.",
)
ALIAS_DIFFERS: Final = FindingKind(
    id="AX-T063",
    severity=Severity.ERROR,
    title="opt_v3 is not opt_final",
    measured="Whether both keys of the output hold the same pixels.",
    meaning="opt_v3 is an alias of opt_final; programs that read one or the other would disagree.",
    remedy="Run this tile again with --existing overwrite.",
)
STATISTICS_DIFFER: Final = FindingKind(
    id="AX-T064",
    severity=Severity.WARNING,
    title="Recorded statistics do not fit the output",
    measured="The statistics that the run recorded, against those of the file: a relative "
    f"difference above {STATISTICS_TOLERANCE:g}.",
    meaning="The output, the statistics or the inputs were changed after the run.",
    remedy="Run this tile again with --existing overwrite, or recompute the statistics with "
    "`axion-stage3 stats`.",
)
TILE_FAILED: Final = FindingKind(
    id="AX-T065",
    severity=Severity.ERROR,
    title="The tile failed in the run",
    measured="The latest outcome in the run's journal.",
    meaning="There is no output for this tile.",
    remedy="Mend the cause, then run the same command with --retry-failed.",
)
OUTPUT_MISSING: Final = FindingKind(
    id="AX-T066",
    severity=Severity.ERROR,
    title="Output is not there",
    measured="Whether the output of each tile that the run recorded as written is in the folder.",
    meaning="The file was deleted or moved after the run.",
    remedy="Run the same command again: it makes only what is missing.",
)
OUTPUT_CHANGED: Final = FindingKind(
    id="AX-T067",
    severity=Severity.WARNING,
    title="Output is not the file that was written",
    measured="Size of the file in bytes, against the run's journal.",
    meaning="The file was replaced, edited or cut short after the run.",
    remedy="Run the same command again: it makes tiles of another size again.",
)
NOT_RECORDED: Final = FindingKind(
    id="AX-T068",
    severity=Severity.INFO,
    title="Output that no run recorded",
    measured="Tiles in the output folder, against the run's journals.",
    meaning="Another program wrote it, or the journals were deleted.",
    remedy="Nothing needs to be done if you know where it came from.",
)


@dataclass(frozen=True, slots=True)
class Detail:
    """How much fine detail a tile has, and of what kind.

    Attributes:
        power: Variance at 0.2 to 0.5 cycles per pixel, summed over the bands.
        flatness: Power per frequency at 0.38 to 0.5 over that at 0.2 to 0.32 cycles per pixel,
            median of the bands: 1 for white noise, below 0.3 for pictures.
    """

    power: float
    flatness: float


def check_changed(
    opt_final: NDArray[np.floating[Any]], opt_v2: NDArray[np.floating[Any]]
) -> list[Finding]:
    """Report an opt_final that is opt_v2, pixel for pixel (both (4, y, x))."""
    if not np.array_equal(opt_final, opt_v2):
        return []
    return [UNCHANGED.found("opt_final", "opt_final and opt_v2 are equal in every pixel.")]


def check_detail(opt_final: Detail, opt_v2: Detail) -> list[Finding]:
    """Report detail that was lost, and noise that was gained, from opt_v2 to opt_final."""
    if opt_v2.power <= 0:
        return []
    ratio = opt_final.power / opt_v2.power
    figures = {"power_ratio": ratio, "flatness": opt_final.flatness}
    if ratio < LOST_DETAIL_RATIO and opt_v2.flatness < NOISE_FLATNESS:
        message = f"opt_final has {percent(ratio)} of the fine detail of opt_v2."
        return [LOST_DETAIL.found("opt_final", message, figures=figures)]
    if ratio > GAINED_DETAIL_RATIO and opt_final.flatness > NOISE_FLATNESS:
        message = (
            f"opt_final has {ratio:.1f} times the fine detail of opt_v2, with the flat spectrum "
            f"of noise ({opt_final.flatness:.2f})."
        )
        return [GAINED_NOISE.found("opt_final", message, figures=figures)]
    return []


def check_alias(
    opt_final: NDArray[np.floating[Any]], opt_v3: NDArray[np.floating[Any]]
) -> list[Finding]:
    """Report an opt_v3 that differs from opt_final."""
    if np.array_equal(opt_final, opt_v3, equal_nan=True):
        return []
    return [ALIAS_DIFFERS.found("opt_final", "The keys opt_final and opt_v3 hold other pixels.")]


def check_statistics(
    recorded: Mapping[str, object], measured: Mapping[str, float | str]
) -> list[Finding]:
    """Report recorded statistics that do not fit the output.

    Args:
        recorded: Field to value, as the run recorded them.
        measured: The same, from the file as it is now.
    """
    differing = [
        f"{name} {value:.4g}, now {measured[name]:.4g}"
        for name, value in recorded.items()
        if isinstance(value, int | float)
        and isinstance(measured.get(name), float)
        and not math.isclose(
            value,
            float(measured[name]),
            rel_tol=STATISTICS_TOLERANCE,
            abs_tol=_ABSOLUTE_TOLERANCE,
        )
    ]
    if not differing:
        return []
    more = len(differing) - _SHOWN_FIELDS
    listed = "; ".join(differing[:_SHOWN_FIELDS]) + (f"; and {more} more" if more > 0 else "")
    return [
        STATISTICS_DIFFER.found(
            "opt_final", f"Recorded: {listed}.", figures={"n_fields": len(differing)}
        )
    ]


def check_output_size(recorded_bytes: int, found_bytes: int | None) -> list[Finding]:
    """Report an output that was recorded as written but is gone, or has another size.

    Args:
        recorded_bytes: Size in the run's journal, in bytes.
        found_bytes: Size of the file, None if there is none.
    """
    if found_bytes is None:
        return [OUTPUT_MISSING.found("run", "The run wrote this output; it is not there now.")]
    if found_bytes == recorded_bytes:
        return []
    return [
        OUTPUT_CHANGED.found(
            "run",
            f"The run wrote {recorded_bytes:,} bytes; the file has {found_bytes:,}.",
            figures={"recorded_bytes": recorded_bytes, "found_bytes": found_bytes},
        )
    ]


KINDS: Final = (
    UNCHANGED,
    LOST_DETAIL,
    GAINED_NOISE,
    ALIAS_DIFFERS,
    STATISTICS_DIFFER,
    TILE_FAILED,
    OUTPUT_MISSING,
    OUTPUT_CHANGED,
    NOT_RECORDED,
)
"""The kinds of findings of this module, in the order of the catalogue."""
