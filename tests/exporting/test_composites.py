"""Tiles as pictures: one stretch for all views, and nothing hidden."""

from __future__ import annotations

import numpy as np
import pytest

from axion_stage3.errors import UsageError
from axion_stage3.exporting.composites import (
    SMALLEST_SPAN,
    common_stretch,
    heat,
    radar_composite,
    thumbnail,
    true_colour,
)
from axion_stage3.testing.tile_factories import make_tile

MAGENTA = (255, 0, 255)


def test_one_stretch_makes_views_comparable() -> None:
    tile = make_tile(0, 48)
    stretch = common_stretch([tile.opt_v2, tile.truth])
    here, there = true_colour(tile.opt_v2, stretch), true_colour(tile.truth, stretch)
    same = tile.opt_v2.copy()
    same[:, :10] = tile.truth[:, :10]
    assert np.array_equal(true_colour(same, stretch)[:10], there[:10])
    assert np.array_equal(true_colour(same, stretch)[10:], here[10:])


def test_the_stretch_spans_all_views() -> None:
    dark, bright = np.full((4, 20, 20), 0.1), np.full((4, 20, 20), 0.5)
    stretch = common_stretch([dark, bright])
    assert stretch.lows == pytest.approx((0.1, 0.1, 0.1))
    assert stretch.span == pytest.approx(0.4)
    assert true_colour(dark, stretch).max() == 0
    assert true_colour(bright, stretch).min() == 255


def test_bands_stand_in_their_natural_places() -> None:
    red_tile = np.zeros((4, 16, 16))
    red_tile[2, 4:8] = 0.3
    picture = true_colour(red_tile, common_stretch([red_tile]))
    assert tuple(picture[5, 5]) == (255, 0, 0)
    assert tuple(picture[0, 0]) == (0, 0, 0)


def test_calm_water_is_not_stretched_into_noise() -> None:
    water = 0.02 + 0.001 * np.random.default_rng(0).standard_normal((4, 32, 32))
    stretch = common_stretch([water])
    assert stretch.span == pytest.approx(SMALLEST_SPAN)
    picture = true_colour(water, stretch).astype(int)
    assert picture.max() - picture.min() < 40


def test_haze_is_taken_out_in_part() -> None:
    tile = make_tile(1, 48).truth
    hazy = tile + np.array([0.08, 0.05, 0.03, 0.0], dtype=np.float32)[:, None, None]
    stretch = common_stretch([hazy])
    red, _, blue = stretch.lows
    assert red < blue < red + 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_cannot_be_overlooked(value: float) -> None:
    tile = make_tile(2, 32)
    optical, s1 = tile.truth.copy(), tile.s1.copy()
    optical[1, 3, 4] = s1[1, 3, 4] = value
    assert tuple(true_colour(optical, common_stretch([optical]))[3, 4]) == MAGENTA
    assert tuple(radar_composite(s1)[3, 4]) == MAGENTA
    assert tuple(heat(np.array([[value, 1.0]]), 1.0)[0, 0]) == MAGENTA


def test_a_tile_without_a_finite_pixel_has_a_picture() -> None:
    nothing = np.full((4, 16, 16), np.nan)
    assert (true_colour(nothing, common_stretch([nothing])) == MAGENTA).all()


def test_a_stretch_needs_a_view() -> None:
    with pytest.raises(UsageError):
        common_stretch([])


def test_the_radar_composite_tells_covers_apart() -> None:
    def shown(vv: float, vh: float) -> np.ndarray:
        s1 = np.stack([np.full((16, 16), vv), np.full((16, 16), vh)])
        return radar_composite(s1)[8, 8].astype(int)

    water, forest, bare, town = shown(-24, -30), shown(-9, -13), shown(-9, -20), shown(0, -7)
    assert water.max() < 20
    assert forest[1] > forest[0]
    assert bare[0] > bare[1]
    assert town.min() > 240


def test_heat_grows_with_the_amount() -> None:
    amounts = np.linspace(0, 1, 64)[np.newaxis]
    brightness = heat(amounts, 1.0).astype(float)[0] @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) >= 0).all()
    assert np.array_equal(heat(amounts + 5, 1.0)[0, 0], heat(amounts, 1.0)[0, -1])


@pytest.mark.parametrize(("height", "width"), [(120, 120), (264, 256), (16, 400), (1, 7)])
def test_thumbnails_keep_to_their_size(height: int, width: int) -> None:
    image = np.full((height, width, 3), 77, dtype=np.uint8)
    small = thumbnail(image, 100)
    assert max(small.shape[:2]) <= 100
    assert min(small.shape[:2]) >= 1
    assert (small == 77).all()


def test_a_small_picture_is_its_own_thumbnail() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert np.array_equal(thumbnail(image, 40), image)
