from __future__ import annotations

import numpy as np
import pytest

from axion_stage3.errors import InvalidOutputError
from axion_stage3.inference.output_checks import check_output


@pytest.mark.parametrize("value", [-10.0, 0.0, 10.0])
def test_values_within_the_range_pass(value: float) -> None:
    check_output("a.npz", np.full((4, 16, 20), value, np.float32), (16, 20))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "1 NaN values"),
        (np.inf, "1 infinite values"),
        (-np.inf, "1 infinite values"),
        (10.01, r"Values out of expected range \[-10, 10\]: 0 to 10.01"),
        (-10.01, r"Values out of expected range \[-10, 10\]: -10.01 to 0"),
    ],
)
def test_one_bad_value_is_enough(value: float, reason: str) -> None:
    opt_final = np.zeros((4, 16, 20), np.float32)
    opt_final[3, 15, 19] = value
    with pytest.raises(InvalidOutputError, match=rf"Invalid output for a\.npz: {reason}") as caught:
        check_output("a.npz", opt_final, (16, 20))
    assert caught.value.tile_name == "a.npz"


@pytest.mark.parametrize("shape", [(3, 16, 20), (4, 20, 16), (16, 20), (1, 4, 16, 20)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidOutputError, match="Wrong shape"):
        check_output("a.npz", np.zeros(shape, np.float32), (16, 20))
