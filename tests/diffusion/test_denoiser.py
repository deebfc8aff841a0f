"""EDM preconditioning: unit variances, limits, and the same formula for numbers and tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from axion_stage3.diffusion.denoiser import c_in, c_noise, c_out, c_skip

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = [1e-3, 0.05, 0.3, 1.0, 2.5, 80.0]


@pytest.mark.parametrize("sigma", LEVELS)
def test_network_input_and_target_have_unit_variance(sigma: float) -> None:
    """Karras et al. 2022, Appendix B.6: what c_in and c_out are chosen for."""
    assert c_in(sigma) ** 2 * (1 + sigma**2) == pytest.approx(1, abs=1e-12)
    # target = (clean - c_skip (clean + sigma eps)) / c_out
    skip, out = c_skip(sigma), c_out(sigma)
    target_variance = ((1 - skip) ** 2 + skip**2 * sigma**2) / out**2
    assert target_variance == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("sigma", LEVELS)
def test_skip_is_the_best_linear_estimate(sigma: float) -> None:
    """A network that answers 0 leaves the ideal denoiser of N(0, 1)."""
    assert c_skip(sigma) == pytest.approx(1 / (1 + sigma**2), rel=1e-12)


def test_noise_level_is_a_quarter_of_its_logarithm() -> None:
    assert c_noise(math.exp(2.0)) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize("function", [c_skip, c_out, c_in, c_noise])
def test_numbers_and_tensors_agree(function: Callable[[Any], Any]) -> None:
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    expected = torch.tensor([function(level) for level in LEVELS], dtype=torch.float64)
    torch.testing.assert_close(function(levels), expected, rtol=1e-13, atol=0)
