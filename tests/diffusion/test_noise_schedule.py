"""Noise levels: count, ends, spacing, and refusal of what cannot be sampled."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.diffusion.noise_schedule import NoiseSchedule, karras_sigmas
from axion_stage3.errors import UsageError


@settings(deadline=None)
@given(
    n_levels=st.integers(0, 1000),
    sigma_max=st.floats(2e-4, 1e4),
    share=st.floats(1e-8, 0.5),
    rho=st.floats(1, 100),
)
def test_levels_decrease_to_zero(n_levels: int, sigma_max: float, share: float, rho: float) -> None:
    schedule = NoiseSchedule(sigma_max, max(1e-4, share * sigma_max), rho)
    sigmas = schedule.sigmas(n_levels)
    assert len(sigmas) == n_levels + 1
    assert sigmas[-1] == 0
    assert all(type(sigma) is float for sigma in sigmas)
    assert all(sigma > sigma_next for sigma, sigma_next in pairwise(sigmas))
    if n_levels > 0:
        assert sigmas[0] == pytest.approx(sigma_max, rel=1e-12)
    if n_levels > 1:
        assert sigmas[-2] == pytest.approx(schedule.sigma_min, rel=1e-9)


def test_levels_are_even_in_the_root() -> None:
    roots = [sigma ** (1 / 7) for sigma in karras_sigmas(12, 80.0, 0.002, 7.0)[:-1]]
    steps = [a - b for a, b in pairwise(roots)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-9)


def test_a_single_level_is_the_highest() -> None:
    assert karras_sigmas(1, 2.5, 0.05, 5.0) == pytest.approx((2.5, 0.0), rel=1e-15)


@pytest.mark.parametrize(
    "entries",
    [
        {"sigma_max": math.nan},
        {"sigma_max": math.inf},
        {"sigma_max": 1e300},
        {"sigma_max": -1.0},
        {"sigma_min": 0.0},
        {"sigma_min": math.nan},
        {"sigma_min": 3.5},
        {"sigma_min": 6.0},
        {"rho": 0.0},
        {"rho": 100.5},
        {"rho": -5.0},
        {"rho": math.nan},
        {"rho": math.inf},
    ],
)
def test_unfit_schedules_are_refused_with_advice(entries: dict[str, float]) -> None:
    with pytest.raises(UsageError) as caught:
        NoiseSchedule(**entries)
    assert str(next(iter(entries.values()))) in str(caught.value)
    assert "Keep" in caught.value.hint


def test_schedules_are_values() -> None:
    """Plans and captured graphs are kept by their schedule."""
    assert NoiseSchedule() == NoiseSchedule(sigma_max=6.0, sigma_min=0.05, rho=5.0)
    assert hash(NoiseSchedule()) == hash(NoiseSchedule(6.0, 0.05, 5.0))
