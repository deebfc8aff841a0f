from __future__ import annotations

import numpy as np
import pytest
import spyndex

from axion_stage3.errors import UsageError
from axion_stage3.statistics.spectral_indices import (
    INDICES,
    find_index,
    find_indices,
    index_statistics,
)
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile

CONSTANTS = {"g": 2.5, "L": 1.0, "C1": 6.0, "C2": 7.5, "gamma": 1.0}
ADJUSTED = {"SAVI": 0.5, "GSAVI": 0.5}
"""The soil factor L, which has two customary values."""


def pixels() -> np.ndarray:
    """Reflectance of every kind, from black to beyond white, negative too."""
    random = np.random.default_rng(0)
    return np.concatenate(
        [random.uniform(0.001, 1.2, (4, 40, 40)), random.uniform(-0.02, 0.3, (4, 40, 40))], axis=1
    )


@pytest.mark.parametrize("name", INDICES)
def test_agrees_with_the_public_catalogue(name: str) -> None:
    optical = pixels()
    bands = dict(zip("BGRN", optical, strict=True))
    constants = {**CONSTANTS, "L": ADJUSTED.get(name, CONSTANTS["L"])}
    with np.errstate(all="ignore"):
        expected = spyndex.computeIndex([name], {**bands, **constants})

    computed = INDICES[name](optical)

    assert computed.dtype == np.float32
    difference = np.abs(computed - expected) / np.maximum(1, np.abs(expected))
    assert np.nanmax(difference) < 1e-6
    assert np.array_equal(np.isfinite(computed), np.isfinite(expected))


@pytest.mark.parametrize("name", INDICES)
def test_names_are_those_of_the_catalogue(name: str) -> None:
    known = spyndex.indices[name]

    assert INDICES[name].title == known.long_name
    assert INDICES[name].theme == known.application_domain
    assert set(known.bands) <= {"B", "G", "R", "N", *CONSTANTS}
    low, high = INDICES[name].display_range
    assert low < high
    assert INDICES[name].reference


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e30, -1.0, 1.0, 0.1])
def test_no_pixel_divides_by_zero_or_warns(name: str, value: float) -> None:
    flat = INDICES[name](np.full((4, 3, 2), value, np.float32))

    assert flat.shape == (3, 2)
    assert not np.isinf(flat).any()


def test_black_pixels_have_no_normalised_difference() -> None:
    optical = np.full((4, 2, 2), 0.2)
    optical[:, 0, 0] = 0.0
    optical[:, 0, 1] = 1e-7

    values = find_index("ndvi")(optical)

    assert np.isnan(values[0]).all()
    assert (values[1] == 0).all()


def test_lists_of_names() -> None:
    assert [index.name for index in find_indices(" evi2, NDVI,nirv,ndvi,")] == [
        "EVI2",
        "NDVI",
        "NIRv",
    ]
    assert find_indices(None) == find_indices("") == ()
    with pytest.raises(UsageError, match="'NDWX'") as caught:
        find_indices("NDVI,NDWX")
    assert "Nearest: NDWI" in caught.value.hint


def test_statistics_leave_undefined_pixels_out() -> None:
    optical = np.full((4, 2, 2), 0.2)
    optical[3, 0] = 0.6  # NDVI 0.5
    optical[:, 1, 1] = 0

    statistics = index_statistics(find_indices("NDVI,NDWI"), optical)

    assert statistics["ndvi_mean"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert statistics["ndwi_mean"] == pytest.approx(-1 / 3)
    assert statistics["ndvi_std"] > 0
    assert index_statistics(find_indices("NDVI"), np.zeros((4, 2, 2))) == {}


def test_tile_statistics_take_indices_on_request() -> None:
    tile = make_tile(0, 16)

    plain = tile_statistics("a", tile.truth, tile.opt_v2)
    more = tile_statistics("a", tile.truth, tile.opt_v2, indices=find_indices("EVI2,NDVI"))

    assert set(more) - set(plain) == {"evi2_mean", "evi2_std", "ndvi_std"}
    assert {key: more[key] for key in plain} == plain
