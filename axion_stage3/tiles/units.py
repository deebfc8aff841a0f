"""Units of the pixels: checked, never guessed.

The thresholds were set on 140 real tiles of nine data sets (L1C and L2A, water, snow, cloud, towns,
radar clipped at 0 dB) and on what the same tiles look like in the wrong units:

==================================================  ===============  ============================
Share of the pixels that are not exactly 0          right units      wrong units
==================================================  ===============  ============================
optical above 3                                     0 in all tiles   DN: 0.45 (dark water) and up
radar below -3                                      0.94 and up      linear, amplitude: 0
radar below 0, where linear is announced            0                dB: 0.98 and up
==================================================  ===============  ============================

Snow and cloud reach a reflectance of 1.6 and bright scatterers +25 dB, so neither maxima nor means
decide, and a few wild pixels do not either. Pixels of exactly 0 are left out: they fill gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import TileUnitsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from axion_stage3.storage.locations import Location

LINEAR_FLOOR: Final = 1e-5
"""Backscatter (linear power) below this is set to it: -50 dB, under the noise of any Sentinel-1
mode. Noise removal leaves exact zeros and small negative values, which have no logarithm."""

_BRIGHT: Final = 3.0
_MAX_BRIGHT_SHARE: Final = 0.05
_NEGATIVE: Final = -0.1
_MAX_NEGATIVE_SHARE: Final = 0.05
_LEAST_SCALED_MAXIMUM: Final = 5e-4
_DARK_DB: Final = -3.0
_MIN_DARK_SHARE: Final = 0.25
_MAX_NEGATIVE_LINEAR_SHARE: Final = 0.25


def check_reflectance(
    opt: NDArray[np.floating[Any]], *, opt_scale: float = 1.0, path: Location | None = None
) -> None:
    """Refuse an optical tile whose values cannot be reflectance.

    Args:
        opt: Finite values (band, y, x), after division by ``opt_scale``; reflectance is 0..1 with
            excursions to about 1.6 on snow and cloud.
        opt_scale: What the stored values were divided by.
        path: The tile's file, for the message.

    Raises:
        TileUnitsError: Digital numbers, normalised values, or reflectance divided once more.
    """
    least, greatest = opt.min(), opt.max()
    is_tiny = opt_scale > 1 and greatest < _LEAST_SCALED_MAXIMUM
    if least >= _NEGATIVE and greatest <= _BRIGHT and not is_tiny:
        return
    n_pixels = max(int(np.count_nonzero(opt)), 1)
    where = "The optical tile" if path is None else f"The optical tile {path}"
    values = f"(values from {least:.4g} to {greatest:.4g})"
    if np.count_nonzero(opt > _BRIGHT) > _MAX_BRIGHT_SHARE * n_pixels:
        raise TileUnitsError(
            f"{where} looks like digital numbers, not like reflectance 0..1 {values}.",
            hint="Give --opt-scale 10000 (or what else the values were multiplied by): "
            "they are divided by it.",
            path=path,
        )
    if np.count_nonzero(opt < _NEGATIVE) > _MAX_NEGATIVE_SHARE * n_pixels:
        raise TileUnitsError(
            f"{where} has many negative values {values}: it looks normalised, "
            "not like reflectance 0..1.",
            hint="Undo the normalisation and store reflectance.",
            path=path,
        )
    if is_tiny:
        raise TileUnitsError(
            f"{where} is almost zero after division by {opt_scale:g} {values}: "
            "it looks as if it had been reflectance already.",
            hint="Leave out --opt-scale.",
            path=path,
        )


def check_backscatter_db(
    s1: NDArray[np.floating[Any]], *, was_linear: bool = False, path: Location | None = None
) -> None:
    """Refuse a radar tile whose values cannot be backscatter in dB.

    Args:
        s1: Finite values (band, y, x).
        was_linear: True if they were just converted from linear power.
        path: The tile's file, for the message.

    Raises:
        TileUnitsError: Linear power, amplitude or normalised values.
    """
    n_dark = np.count_nonzero(s1 < _DARK_DB)
    # Enough of all pixels are enough of those that are not 0, which take three times as long.
    if n_dark > _MIN_DARK_SHARE * s1.size:
        return
    n_pixels = max(int(np.count_nonzero(s1)), 1)
    if n_dark >= _MIN_DARK_SHARE * n_pixels:
        return
    where = "The radar tile" if path is None else f"The radar tile {path}"
    values = f"(values from {s1.min():.4g} to {s1.max():.4g})"
    if was_linear:
        message = f"{where} is too bright for linear backscatter: it is mostly above 0.5 in power"
        hint = "If it holds amplitudes or digital numbers, calibrate it; if dB, leave out "
        raise TileUnitsError(f"{message} (dB {values}).", hint=f"{hint}--s1-units.", path=path)
    if np.count_nonzero(s1 < 0) <= _MAX_NEGATIVE_LINEAR_SHARE * n_pixels:
        raise TileUnitsError(
            f"{where} looks like linear backscatter, not like dB: hardly a value is "
            f"negative {values}.",
            hint="Give --s1-units linear.",
            path=path,
        )
    raise TileUnitsError(
        f"{where} looks normalised, not like backscatter in dB: hardly a value is below "
        f"{_DARK_DB:g} {values}.",
        hint="Undo the normalisation and store dB; for linear power give --s1-units linear.",
        path=path,
    )


def check_backscatter_linear(
    s1: NDArray[np.floating[Any]], *, path: Location | None = None
) -> None:
    """Refuse a radar tile that is announced as linear power but has many negative values.

    Args:
        s1: Finite values (band, y, x).
        path: The tile's file, for the message.

    Raises:
        TileUnitsError: The values look like dB already.
    """
    n_pixels = max(int(np.count_nonzero(s1)), 1)
    if np.count_nonzero(s1 < 0) > _MAX_NEGATIVE_LINEAR_SHARE * n_pixels:
        where = "The radar tile" if path is None else f"The radar tile {path}"
        raise TileUnitsError(
            f"{where} has many negative values (from {s1.min():.4g} to {s1.max():.4g}), "
            "which linear backscatter cannot have: it looks like dB already.",
            hint="Leave out --s1-units linear.",
            path=path,
        )


def linear_to_db(linear: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Convert backscatter from linear power to dB: 10 log10(x).

    Args:
        linear: Linear power, any shape; values below ``LINEAR_FLOOR`` become -50 dB.

    Returns:
        Backscatter in dB, float32, same shape.
    """
    floored = np.maximum(linear, LINEAR_FLOOR, dtype=np.float32)
    return np.asarray(10 * np.log10(floored), dtype=np.float32)


def db_to_linear(db: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Convert backscatter from dB to linear power: 10^(x/10).

    Args:
        db: Backscatter in dB, any shape; float32 ends at 380 dB, so all above 100 counts as 100.

    Returns:
        Linear power, float32, same shape.
    """
    return np.asarray(np.power(10, np.minimum(db, np.float32(100)) / 10), dtype=np.float32)
