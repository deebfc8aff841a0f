from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axion_stage3.errors import TileUnitsError
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.units import (
    check_backscatter_db,
    check_backscatter_linear,
    check_reflectance,
    db_to_linear,
    linear_to_db,
)

TILE = make_tile(5)
OPT, S1 = TILE.opt_v2, TILE.s1
PATH = Path("folder/tile_001.npz")


def with_pixels(values: np.ndarray[Any, Any], share: float, value: float) -> np.ndarray[Any, Any]:
    result = values.copy()
    result.reshape(-1)[: round(share * values.size)] = value
    return result


def water(mean: float) -> np.ndarray[Any, Any]:
    """Dark water as the darkest real tile: blue about ``mean``, nir mostly exactly zero."""
    noise = np.random.default_rng(0).exponential(mean, (4, 64, 64)).astype(np.float32)
    noise[2:][noise[2:] < 1.5 * mean] = 0
    return noise


@pytest.mark.parametrize(
    "opt",
    [
        OPT,
        water(0.002),
        with_pixels(OPT, 0.5, 1.62),
        with_pixels(OPT, 0.3, 2.5),
        with_pixels(OPT, 0.04, 40.0),
        with_pixels(OPT, 0.04, -5.0),
        with_pixels(OPT, 0.9, 0.0),
        OPT - 0.05,
    ],
    ids=["usual", "water", "snow", "cloud", "hot pixels", "cold pixels", "gap", "dark offset"],
)
def test_reflectance_passes(opt: np.ndarray[Any, Any]) -> None:
    check_reflectance(opt)
    check_reflectance(opt, opt_scale=10_000)


@pytest.mark.parametrize(
    "opt",
    [
        OPT * 10_000,
        np.round(water(0.002) * 10_000),
        OPT * 10_000 + 1000,
        with_pixels(OPT * 10_000, 0.97, 0.0),
        OPT * 255,
        OPT * 100,
    ],
    ids=["usual", "water", "offset of 2022", "gap", "8 bit", "percent"],
)
def test_digital_numbers_are_refused_with_the_option(opt: np.ndarray[Any, Any]) -> None:
    with pytest.raises(TileUnitsError, match="looks like digital numbers") as caught:
        check_reflectance(opt, path=PATH)
    assert "--opt-scale 10000" in caught.value.hint
    assert str(PATH) in str(caught.value)
    assert f"{opt.max():.4g}" in str(caught.value)


@pytest.mark.parametrize("opt", [OPT * 2 - 1, (OPT - OPT.mean()) / OPT.std()], ids=["±1", "z"])
def test_normalised_optical_is_refused(opt: np.ndarray[Any, Any]) -> None:
    with pytest.raises(TileUnitsError, match=r"many negative values .* looks normalised"):
        check_reflectance(opt)


def test_reflectance_divided_once_more_is_refused() -> None:
    check_reflectance(OPT / 10_000)
    with pytest.raises(TileUnitsError, match="almost zero after division by 10000") as caught:
        check_reflectance(OPT / 10_000, opt_scale=10_000)
    assert caught.value.hint == "Leave out --opt-scale."


@pytest.mark.parametrize(
    "s1",
    [
        S1,
        S1 - 15,
        np.minimum(S1 + 3, 0),
        with_pixels(S1, 0.3, 25.6),
        with_pixels(S1, 0.9, 0.0),
        np.stack([S1[0] + 12, S1[1]]),
    ],
    ids=["usual", "water", "clipped at 0", "ships", "gap", "town in vv"],
)
def test_backscatter_in_db_passes(s1: np.ndarray[Any, Any]) -> None:
    check_backscatter_db(s1)


@pytest.mark.parametrize(
    "s1",
    [
        db_to_linear(S1),
        db_to_linear(S1) - 0.003,
        np.sqrt(db_to_linear(S1)),
        np.round(300 * np.sqrt(db_to_linear(S1))),
    ],
    ids=["power", "noise removed", "amplitude", "digital numbers"],
)
def test_linear_backscatter_is_refused_with_the_option(s1: np.ndarray[Any, Any]) -> None:
    with pytest.raises(TileUnitsError, match="looks like linear backscatter") as caught:
        check_backscatter_db(s1, path=PATH)
    assert caught.value.hint == "Give --s1-units linear."
    assert str(PATH) in str(caught.value)


def test_normalised_radar_is_refused() -> None:
    for s1 in ((S1 - S1.mean()) / S1.std(), S1 / 30 + 0.3):
        with pytest.raises(TileUnitsError, match="looks normalised"):
            check_backscatter_db(s1)


def test_db_announced_as_linear_is_refused() -> None:
    check_backscatter_linear(db_to_linear(S1))
    check_backscatter_linear(db_to_linear(S1) - 0.01 * (S1 < -25))
    with pytest.raises(TileUnitsError, match="looks like dB already") as caught:
        check_backscatter_linear(S1, path=PATH)
    with pytest.raises(TileUnitsError, match=r"^The radar tile has many negative"):
        check_backscatter_linear(S1)
    assert caught.value.hint == "Leave out --s1-units linear."


def test_digital_numbers_announced_as_linear_are_refused() -> None:
    digital = 300 * np.sqrt(db_to_linear(S1))
    check_backscatter_linear(digital)
    with pytest.raises(TileUnitsError, match="too bright for linear backscatter") as caught:
        check_backscatter_db(linear_to_db(digital), was_linear=True)
    assert "calibrate" in caught.value.hint


def test_conversion_and_its_floor() -> None:
    linear = np.array([1.0, 0.1, 100.0, 1e-5, 1e-9, 0.0, -0.3])
    db = linear_to_db(linear)
    assert db.dtype == np.float32
    np.testing.assert_allclose(db, [0, -10, 20, -50, -50, -50, -50], atol=1e-5)
    np.testing.assert_allclose(linear_to_db(db_to_linear(S1)), S1, atol=1e-4)
    assert np.isfinite(db_to_linear(np.array([1e6, -1e3], np.float32))).all()
