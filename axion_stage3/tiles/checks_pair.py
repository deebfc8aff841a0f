"""Checks whether opt_v2 and s1 show the same place.

Edges of fields, roads and shores lie at the same pixels in both, though bright in one may be dark
in the other. So every optical band is correlated with every radar band at all shifts, after a
band-pass and a partial whitening (Horner and Gianino 1984, "Phase-only matched filtering", have the
full one), and the squares are summed: a peak near the middle says that the tiles agree, one
elsewhere that they are shifted, none that they do not show the same place.

Measured on 82 real training and validation pairs: 82 % have their peak within 3 px and 94 % within
5 px (steep forest is displaced in radar). Of pairs shifted by 7 px, 68 % are reported as shifted
and 23 % as different places; with the optical tile of another scene 60 % are; of the undisturbed
ones a single pair is, and 4 of 23 tiles of open water. So the findings are warnings: a tile without
structure cannot be judged, and a folder of shifted tiles shows in the count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.tiles.findings import Finding, FindingKind, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SHIFT_PX: Final = 16
MIN_SHIFT_PX: Final = 6.5
MIN_PEAK_RATIO: Final = 1.4
MAX_AGREEMENT_RATIO: Final = 0.7
MIN_JUDGED_PX: Final = 64
"""Smaller tiles have too few edges to be judged."""

_NEAR_PX: Final = 4.0
_FAR_PX: Final = 8.0
_LARGEST_WINDOW_PX: Final = 512
_FINE_PX: Final = {"optical": 1.0, "radar": 1.5}
_COARSE_PX: Final = 8.0
_WHITENING: Final = 0.7
_CLIPPED_PERCENTILES: Final = (2, 98)

SHIFTED: Final = FindingKind(
    id="AX-T050",
    severity=Severity.WARNING,
    title="opt_v2 and s1 are shifted",
    measured="The shift at which their edges agree best, if it is clear "
    f"({MIN_PEAK_RATIO:g} times the next peak) and above {MIN_SHIFT_PX:g} px.",
    meaning="What the radar says would be drawn in the wrong place. Hills can be displaced by "
    "some pixels in radar; a whole folder cannot.",
    remedy="Check the georeferencing of both tiles: origin, pixel size, and how they were cut.",
)
NO_AGREEMENT: Final = FindingKind(
    id="AX-T051",
    severity=Severity.WARNING,
    title="opt_v2 and s1 do not show the same place",
    measured=f"The best agreement of their edges within {_NEAR_PX:g} px, against that at shifts "
    f"above {_FAR_PX:g} px: below {MAX_AGREEMENT_RATIO:g} times.",
    meaning="Two places were paired, or one tile is rotated or mirrored; or opt_v2 was made up "
    "there. A tile with little structure (water, dense forest) may be reported too.",
    remedy="Look at both with `axion-stage3 inspect-tile --opt-v2-dir A --s1-dir B NAME`; check "
    "how the names were given.",
)


def check_same_place(
    reflectance: NDArray[np.floating[Any]], backscatter_db: NDArray[np.floating[Any]]
) -> list[Finding]:
    """Report tiles of a pair that are shifted or show different places.

    Args:
        reflectance: (4, y, x).
        backscatter_db: (2, y, x) of the same size.
    """
    if min(reflectance.shape[1:]) < MIN_JUDGED_PX:
        return []
    agreement = edge_agreement(_centre(reflectance), _centre(backscatter_db))
    if not agreement.any():
        return []
    shifts = np.arange(-LARGEST_SHIFT_PX, LARGEST_SHIFT_PX + 1)
    distance = np.hypot(shifts[:, np.newaxis], shifts)
    row, column = np.unravel_index(np.argmax(agreement), agreement.shape)
    down, right = int(shifts[row]), int(shifts[column])
    from_peak = np.hypot(shifts[:, np.newaxis] - down, shifts - right)
    peak_ratio = float(agreement[row, column] / agreement[from_peak > _NEAR_PX].max())
    near = float(agreement[distance <= _NEAR_PX].max() / agreement[distance > _FAR_PX].max())
    figures = {"peak_ratio": peak_ratio, "agreement_ratio": near}
    if distance[row, column] > MIN_SHIFT_PX and peak_ratio > MIN_PEAK_RATIO:
        return [
            SHIFTED.found(
                "pair",
                f"opt_v2 lies {_displacement(down, right)} than s1.",
                figures={"rows_px": down, "columns_px": right, **figures},
            )
        ]
    if near < MAX_AGREEMENT_RATIO:
        return [
            NO_AGREEMENT.found(
                "pair",
                f"Their edges agree {near:.2f} times as well in place as at arbitrary shifts.",
                figures=figures,
            )
        ]
    return []


def edge_agreement(
    reflectance: NDArray[np.floating[Any]], backscatter_db: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """How well the edges of two tiles agree at each shift.

    Args:
        reflectance: (4, y, x).
        backscatter_db: (2, y, x) of the same size.

    Returns:
        (33, 33) root of the summed squared correlations; the entry (16 + r, 16 + c) is for an
        optical tile that lies r rows below and c columns to the right of the radar tile.
    """
    height, width = reflectance.shape[1:]
    optical = _edges(np.sqrt(np.maximum(reflectance, 0)), _FINE_PX["optical"])
    radar = _edges(backscatter_db, _FINE_PX["radar"])
    products = optical[:, np.newaxis] * np.conj(radar)[np.newaxis]
    correlations = np.fft.irfft2(products, (height, width))
    agreement: NDArray[np.floating[Any]] = np.sqrt(np.square(correlations).sum(axis=(0, 1)))
    centred = np.roll(agreement, (LARGEST_SHIFT_PX, LARGEST_SHIFT_PX), axis=(0, 1))
    return centred[: 2 * LARGEST_SHIFT_PX + 1, : 2 * LARGEST_SHIFT_PX + 1]


def _edges(
    bands: NDArray[np.floating[Any]], fine_px: float
) -> NDArray[np.complexfloating[Any, Any]]:
    """Half spectra (band, y, x // 2 + 1) of band-passed, partly whitened bands of unit energy."""
    height, width = bands.shape[1:]
    low, high = np.percentile(bands, _CLIPPED_PERCENTILES, axis=(1, 2), keepdims=True)
    clipped = np.clip(bands, low, high).astype(np.float32)
    centred = clipped - clipped.mean(axis=(1, 2), keepdims=True)
    spectra = np.fft.rfft2(centred * _window(height, width))
    spectra *= _band_pass(height, width, fine_px)
    magnitude = np.abs(spectra)
    floor = 1e-6 * magnitude.max(axis=(1, 2), keepdims=True) + np.float32(1e-30)
    spectra /= np.maximum(magnitude, floor) ** np.float32(_WHITENING)
    energy = np.square(np.fft.irfft2(spectra, (height, width))).sum(axis=(1, 2), keepdims=True)
    return np.asarray(spectra / np.sqrt(np.maximum(energy, np.float32(1e-30))), np.complex64)


@lru_cache(maxsize=32)
def _band_pass(height: int, width: int, fine_px: float) -> NDArray[np.float32]:
    """Difference of two Gaussians, by their transforms exp(-2 (pi sigma f)^2)."""
    squared = np.add.outer(np.fft.fftfreq(height) ** 2, np.fft.rfftfreq(width) ** 2)
    fine, coarse = (np.exp(-2 * np.pi**2 * px**2 * squared) for px in (fine_px, _COARSE_PX))
    difference = np.asarray(fine - coarse, dtype=np.float32)
    difference.setflags(write=False)
    return difference


@lru_cache(maxsize=32)
def _window(height: int, width: int) -> NDArray[np.float32]:
    """(y, x) Hann window without zeros: opposite borders must not correlate."""
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    single = window.astype(np.float32)
    single.setflags(write=False)
    return single


def _centre(bands: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The middle of a large tile: more pixels would cost time and tell nothing new."""
    starts = [max(0, (size - _LARGEST_WINDOW_PX) // 2) for size in bands.shape[1:]]
    rows, columns = (slice(start, start + _LARGEST_WINDOW_PX) for start in starts)
    return bands[:, rows, columns]


def _displacement(down: int, right: int) -> str:
    parts = []
    if down:
        parts.append(f"{abs(down)} px {'lower' if down > 0 else 'higher'}")
    if right:
        parts.append(f"{abs(right)} px further {'right' if right > 0 else 'left'}")
    return " and ".join(parts)


KINDS: Final = (SHIFTED, NO_AGREEMENT)
"""The kinds of findings of this module, in the order of the catalogue."""
