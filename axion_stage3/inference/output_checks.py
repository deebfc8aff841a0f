"""The automatic validation that every output passes before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from axion_stage3.errors import InvalidOutputError
from axion_stage3.tiles.bands import OPTICAL_BANDS, OUTPUT_RANGE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_output(
    name: str, opt_final: NDArray[np.floating[Any]], expected_shape: tuple[int, int]
) -> None:
    """Refuse a result that must not be passed on.

    Args:
        name: The tile's name.
        opt_final: What is to be written.
        expected_shape: Height and width of the tile, in pixels.

    Raises:
        InvalidOutputError: Another shape than (4, H, W), NaN, Inf, or a value outside [-10, 10].
    """
    wanted = (len(OPTICAL_BANDS), *expected_shape)
    if opt_final.shape != wanted:
        raise _invalid(name, f"Wrong shape {opt_final.shape}, expected {wanted}")
    lowest, highest = OUTPUT_RANGE
    least, greatest = opt_final.min(), opt_final.max()
    if is_in_range(least, greatest):
        return
    if n_nan := int(np.isnan(opt_final).sum()):
        raise _invalid(name, f"{n_nan} NaN values")
    if n_inf := int(np.isinf(opt_final).sum()):
        raise _invalid(name, f"{n_inf} infinite values")
    raise _invalid(
        name,
        f"Values out of expected range [{lowest:g}, {highest:g}]: {least:.4g} to {greatest:.4g}",
    )


def is_in_range(least: NDArray[Any], greatest: NDArray[Any]) -> bool:
    """Tell from the extremes of a result, over all or by band, whether it can be passed on.

    Args:
        least: Smallest values; NaN where a value is NaN.
        greatest: Largest values likewise.
    """
    # No comparison with NaN is true.
    lowest, highest = OUTPUT_RANGE
    return bool((least >= lowest).all() and (greatest <= highest).all())


def _invalid(name: str, reason: str) -> InvalidOutputError:
    return InvalidOutputError(
        f"Invalid output for {name}: {reason}.",
        hint="Check the ranges and units of its opt_v2 and s1 (--opt-scale, --s1-units), and that "
        "the checkpoint was trained to the end.",
        tile_name=name,
    )
