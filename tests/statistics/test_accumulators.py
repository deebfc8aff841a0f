from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.errors import InputError
from axion_stage3.statistics.accumulators import ExactSum, RunAggregate

finite = st.floats(allow_nan=False, allow_infinity=False)
field_names = st.sampled_from(
    ["opt_final_mean", "opt_final_std", "change_mean", "change_max", "blue_mean", "nir_min"]
)
tiles = st.lists(
    st.dictionaries(field_names, finite, max_size=4).map(lambda d: {"tile_name": "t.npz", **d}),
    max_size=12,
)


def aggregate_of(many) -> RunAggregate:
    aggregate = RunAggregate()
    for statistics in many:
        aggregate.add(statistics)
    return aggregate


@given(st.lists(finite, min_size=1, max_size=50))
def test_the_mean_is_the_exact_mean_rounded_once(values):
    total = ExactSum()
    total.add_all(values)
    expected = float(sum(map(Fraction, values), Fraction(0)) / len(values))
    assert total.mean(len(values)) == expected


def test_cancellation_loses_nothing():
    total = ExactSum()
    total.add_all([1e308, 1.0, 5e-324])
    total.add_all([-1e308, 1e308, -1e308])
    other = ExactSum()
    other.add_all([5e-324])
    other.add_all([1.0])
    assert total == other


@given(st.lists(finite, max_size=20))
def test_a_sum_survives_its_text(values):
    total = ExactSum()
    total.add_all(values)
    assert ExactSum.from_text(total.to_text()) == total


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_has_no_sum(value):
    total = ExactSum()
    with pytest.raises(OverflowError):
        total.add_all([1.0, value])
    assert total == ExactSum()


def test_thousands_of_tiles_have_the_exact_mean_and_extremes():
    values = np.random.default_rng(0).normal(0, 10.0 ** np.arange(-8, 9).repeat(200)).tolist()
    aggregate = aggregate_of({"change_mean": v, "change_max": v} for v in values)
    result = aggregate.result()
    assert result["n_tiles"] == len(values) == 3400
    assert result["change_mean"] == float(sum(map(Fraction, values)) / len(values))
    assert result["change_max"] == max(values)


@pytest.mark.parametrize("text", ["", "1.5", "0x1", "0x1p-1075", "0x1p9999", "0xfp1p2", "nan"])
def test_a_foreign_sum_is_refused(text):
    with pytest.raises(ValueError, match="sum"):
        ExactSum.from_text(text)


@settings(max_examples=200)
@given(tiles, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_partition_in_any_order_gives_the_same_aggregate(many, random, n_shards):
    one_pass = aggregate_of(many)
    shuffled = random.sample(many, len(many))
    shards = [aggregate_of(shuffled[k::n_shards]) for k in range(n_shards)]
    random.shuffle(shards)
    merged = RunAggregate()
    for shard in shards:
        merged.merge(shard)
    assert merged == one_pass
    assert json.dumps(merged.to_json()) == json.dumps(one_pass.to_json())
    assert json.dumps(merged.result()) == json.dumps(one_pass.result())


@given(tiles)
def test_an_aggregate_survives_json(many):
    aggregate = aggregate_of(many)
    copy = RunAggregate.from_json(json.loads(json.dumps(aggregate.to_json(), allow_nan=False)))
    assert copy == aggregate
    assert copy.result() == aggregate.result()


def test_the_guides_fields_are_means_and_the_greatest_change():
    aggregate = aggregate_of(
        [
            {"tile_name": "a.npz", "opt_final_mean": 0.2, "change_max": 0.5, "nir_min": -0.1},
            {"tile_name": "b.npz", "opt_final_mean": 0.4, "change_max": 0.1, "nir_min": 0.3},
        ]
    )
    result = aggregate.result()
    assert list(result)[:5] == [
        "opt_final_mean",
        "opt_final_std",
        "change_mean",
        "change_max",
        "n_tiles",
    ]
    assert result["opt_final_mean"] == pytest.approx(0.3)
    assert result["change_max"] == 0.5
    assert result["nir_min"] == -0.1
    assert result["n_tiles"] == 2


def test_a_run_without_tiles_has_the_guides_fields_as_null():
    assert RunAggregate().result() == {
        "opt_final_mean": None,
        "opt_final_std": None,
        "change_mean": None,
        "change_max": None,
        "n_tiles": 0,
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_and_nothing_is_taken_in(value):
    aggregate = RunAggregate()
    with pytest.raises(InputError, match=r"'change_mean' of tile a\.npz") as caught:
        aggregate.add({"tile_name": "a.npz", "opt_final_mean": 1.0, "change_mean": value})
    assert caught.value.tile_name == "a.npz"
    assert aggregate == RunAggregate()


def saved(**changes):
    entry = {"count": 1, "total": "0x1p0", "min": 1.0, "max": 1.0, **changes}
    return {"n_tiles": 1, "fields": {"x": entry}}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"n_tiles": 1, "fields": []},
        {"n_tiles": -1, "fields": {}},
        {"n_tiles": True, "fields": {}},
        saved(count=2),
        saved(count=0),
        saved(total=3.0),
        saved(total="0x1p1"),
        saved(total="0x" + "f" * 600 + "p900"),
        saved(min="1"),
        saved(max=math.inf),
    ],
)
def test_a_foreign_state_is_refused(document):
    with pytest.raises(InputError, match="Not the saved state"):
        RunAggregate.from_json(document)


def test_the_valid_state_of_the_test_above_is_accepted():
    assert RunAggregate.from_json(saved()).result()["x"] == 1.0
