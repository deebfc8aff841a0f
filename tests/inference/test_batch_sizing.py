from __future__ import annotations

import pytest

from axion_stage3.inference.batch_sizing import BatchSizes

SMALL, LARGE = (100, 100), (500, 500)


def settle(sizes: BatchSizes, shape: tuple[int, int], seconds_per_tile: dict[int, float]) -> int:
    for _ in range(100):
        n_tiles = sizes.size(shape)
        sizes.record(shape, n_tiles, n_tiles * seconds_per_tile[n_tiles])
    return sizes.size(shape)


def test_a_given_size_is_kept_whatever_is_measured() -> None:
    sizes = BatchSizes(8, 10**6)
    assert settle(sizes, SMALL, {8: 5.0}) == 8


def test_the_pixels_of_a_batch_are_bounded_but_one_tile_is_always_allowed() -> None:
    sizes = BatchSizes(64, 10**6)
    assert sizes.size(SMALL) == 64
    assert sizes.size(LARGE) == 4
    assert sizes.size((3000, 3000)) == 1


@pytest.mark.parametrize(
    ("seconds_per_tile", "best"),
    [
        ({1: 1.0, 2: 1.1}, 1),
        ({1: 1.0, 2: 0.99}, 1),
        ({1: 1.0, 2: 0.8, 4: 0.9}, 2),
        ({1: 1.0, 2: 0.8, 4: 0.7, 8: 0.69}, 4),
    ],
)
def test_auto_doubles_as_long_as_it_pays(seconds_per_tile: dict[int, float], best: int) -> None:
    assert settle(BatchSizes("auto", 10**6), SMALL, seconds_per_tile) == best


def test_auto_stops_at_the_ceiling() -> None:
    seconds = {2**n: 1 / 2**n for n in range(12)}
    assert settle(BatchSizes("auto", 10**6), SMALL, seconds) == 64
    sizes = BatchSizes("auto", 10**6)
    sizes.lower(SMALL, 16)
    assert settle(sizes, SMALL, seconds) == 8


def test_auto_measures_each_shape_for_itself() -> None:
    sizes = BatchSizes("auto", 10**6)
    assert settle(sizes, SMALL, {1: 1.0, 2: 0.5, 4: 0.9}) == 2
    assert sizes.size(LARGE) == 1


def test_the_first_batch_of_a_size_may_be_slow() -> None:
    sizes = BatchSizes("auto", 10**6)
    sizes.record(SMALL, 1, 9.0)
    sizes.record(SMALL, 1, 1.0)
    sizes.record(SMALL, 2, 9.0)
    sizes.record(SMALL, 2, 1.0)
    assert sizes.size(SMALL) == 4


def test_batches_of_another_size_say_nothing() -> None:
    sizes = BatchSizes("auto", 10**6)
    for i in range(10):  # ever quicker: were they counted, larger batches would be tried
        sizes.record(SMALL, 3, 0.5**i)
    assert sizes.size(SMALL) == 1


def test_running_out_of_memory_halves_the_ceiling_of_its_shape() -> None:
    sizes = BatchSizes(16, 10**7)
    sizes.lower(SMALL, 16)
    assert sizes.size(SMALL) == 8
    assert sizes.size(LARGE) == 16
    sizes.lower(SMALL, 16)
    assert sizes.size(SMALL) == 8
    sizes.lower(SMALL, 8)
    sizes.lower(SMALL, 16)  # A batch that another thread began before.
    assert sizes.size(SMALL) == 4
    for n_tiles in (8, 4, 2, 1):
        sizes.lower(SMALL, n_tiles)
    assert sizes.size(SMALL) == 1
