"""Distributions, robust scores and histograms against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from axion_stage3.statistics.distributions import distribution, histogram, robust_z_scores

FEW = settings(deadline=None, max_examples=40)
VALUES = hnp.arrays(
    np.float64,
    st.integers(1, 60),
    elements=st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf]),
)


def test_a_distribution_is_what_its_names_say() -> None:
    spread = distribution(np.arange(101.0))
    assert spread is not None
    assert (spread.count, spread.min, spread.max, spread.mean) == (101, 0, 100, 50)
    assert (spread.p05, spread.p25, spread.median, spread.p75, spread.p95) == (5, 25, 50, 75, 95)
    assert spread.std == pytest.approx(np.sqrt((101**2 - 1) / 12))


@FEW
@given(VALUES, st.randoms(use_true_random=False))
def test_a_distribution_does_not_depend_on_the_order(values: np.ndarray, random: object) -> None:
    order = np.arange(values.size)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert distribution(values) == distribution(values[order])


def test_nothing_finite_has_no_distribution() -> None:
    assert distribution(np.array([np.nan, np.inf])) is None
    assert histogram(np.array([np.nan])) is None


def test_robust_scores_are_those_of_iglewicz_and_hoaglin() -> None:
    # Their example, section 3.3: 0.6745 (x - 3.2) / MAD with a median of 3.2 and a MAD of 0.1.
    values = np.array([2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3])
    scores = robust_z_scores(values)
    median, mad = np.median(values), np.median(np.abs(values - np.median(values)))
    np.testing.assert_allclose(scores, 0.6745 * (values - median) / mad, rtol=1e-4)
    assert [index for index, score in enumerate(scores) if abs(score) > 3.5] == [8, 9]


def test_one_wild_value_does_not_hide_another() -> None:
    # With mean and standard deviation the larger one would make the smaller look harmless.
    values = np.concatenate([np.linspace(0.9, 1.1, 50), [5.0, 500.0]])
    scores = robust_z_scores(values)
    assert scores[-2] > 3.5
    assert scores[-1] > 3.5
    assert np.abs(scores[:-2]).max() < 3.5


def test_equal_values_with_one_exception() -> None:
    values = np.array([1.0] * 30 + [2.0])
    assert robust_z_scores(values)[-1] > 3.5
    assert not robust_z_scores(np.ones(30)).any()


def test_few_values_have_no_outliers() -> None:
    assert not robust_z_scores(np.array([1.0, 1.1, 0.9, 50.0])).any()


@FEW
@given(VALUES)
def test_scores_are_finite_for_whatever_comes(values: np.ndarray) -> None:
    scores = robust_z_scores(values)
    assert np.isfinite(scores).all()
    assert not scores[~np.isfinite(values)].any()


@pytest.mark.parametrize("least", [0.0, 5e-324, 0.1, -3.0, 1e300])
def test_values_that_differ_in_their_last_digit_have_a_histogram(least: float) -> None:
    values = np.array([least, np.nextafter(least, np.inf)])
    bins = histogram(values)
    assert bins is not None
    assert bins.counts.sum() == 2
    assert bool((np.diff(bins.edges) > 0).all())


@FEW
@given(VALUES)
def test_a_histogram_loses_no_value(values: np.ndarray) -> None:
    bins = histogram(values)
    n_finite = int(np.isfinite(values).sum())
    if bins is None:
        assert n_finite == 0
        return
    assert int(bins.counts.sum()) + bins.n_beyond == n_finite
    assert (np.diff(bins.edges) > 0).all()


def test_a_histogram_leaves_far_values_out() -> None:
    bins = histogram(np.concatenate([np.linspace(0, 1, 100), [1000.0]]))
    assert bins is not None
    assert bins.n_beyond == 1
    assert bins.edges[-1] <= 1.0
