"""Whatever is lost, every tile is done or given up exactly once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axion_stage3.scaling.leases import FIRST_SIZE_ON_A_GPU, LEASE_SECONDS, LeaseBook
from axion_stage3.tiles.pairing import TilePair


def pairs(n: int) -> tuple[TilePair, ...]:
    return tuple(TilePair(f"tile_{i:04d}.npz", f"a/{i}", f"b/{i}") for i in range(n))


def book(n: int, n_workers: int = 2, replaced: tuple[str, ...] = ()) -> LeaseBook:
    return LeaseBook(pairs(n), replaced, n_workers)


def test_leases_grow_to_what_a_worker_does_in_a_few_seconds() -> None:
    tiles = book(100_000)
    sizes = []
    for _ in range(4):
        lease = tiles.take()
        assert lease is not None
        sizes.append(len(lease.pairs))
        tiles.settle(lease, 0.01 * len(lease.pairs))
    assert sizes[0] < 10
    assert sizes[1:] == [int(LEASE_SECONDS / 0.01)] * 3


def test_leases_shrink_towards_the_end() -> None:
    tiles, sizes = book(64, n_workers=4), []
    while (lease := tiles.take()) is not None:
        sizes.append(len(lease.pairs))
        tiles.settle(lease, 0.4 * len(lease.pairs))
    assert sum(sizes) == 64
    assert sizes[-4:] == [1, 1, 1, 1]
    assert tiles.is_finished


def test_leases_of_quick_tiles_take_half_a_second_to_the_end() -> None:
    tiles, sizes = book(20_000, n_workers=16), []
    while (lease := tiles.take()) is not None:
        sizes.append(len(lease.pairs))
        tiles.settle(lease, 0.004 * len(lease.pairs))
    assert sum(sizes) == 20_000
    assert min(sizes[1:-1]) == 125
    assert sizes[-3:-1] == [125, 125]


def test_the_first_leases_are_as_large_as_asked_and_as_is_fair() -> None:
    tiles = LeaseBook(pairs(10_000), (), 8, FIRST_SIZE_ON_A_GPU)
    sizes = [len(lease.pairs) for lease in (tiles.take(), tiles.take()) if lease is not None]
    assert sizes == [FIRST_SIZE_ON_A_GPU] * 2
    few = LeaseBook(pairs(64), (), 8, FIRST_SIZE_ON_A_GPU).take()
    assert few is not None
    assert len(few.pairs) == 4


def test_a_lease_says_which_outputs_it_replaces() -> None:
    lease = book(4, n_workers=1, replaced=("tile_0001.npz", "tile_0900.npz")).take()
    assert lease is not None
    assert lease.replaced == {"tile_0001.npz"}


def test_a_poison_tile_is_tried_twice_and_takes_nobody_with_it() -> None:
    tiles = book(16, n_workers=1)
    poison, done, given_up, n_tries = "tile_0002.npz", [], [], 0
    while not tiles.is_finished:
        lease = tiles.take()
        assert lease is not None
        names = [pair.name for pair in lease.pairs]
        if poison in names:
            n_tries += 1
            before = names[: names.index(poison)]
            done += before
            given_up += tiles.lose(lease, set(before), is_node_lost=False)
        else:
            done += names
            tiles.settle(lease, 1.0)
    assert n_tries == 2
    assert [pair.name for pair in given_up] == [poison]
    assert sorted([*done, poison]) == [pair.name for pair in pairs(16)]


def test_a_lost_machine_is_not_held_against_a_tile_but_not_for_ever() -> None:
    tiles = book(1, n_workers=1)
    for _ in range(4):
        lease = tiles.take()
        assert lease is not None
        assert tiles.lose(lease, (), is_node_lost=True) == ()
    lease = tiles.take()
    assert lease is not None
    assert len(tiles.lose(lease, (), is_node_lost=True)) == 1
    assert tiles.is_finished


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.data())
def test_in_any_course_every_tile_ends_once(n: int, n_workers: int, data: st.DataObject) -> None:
    tiles = book(n, n_workers)
    out, ends = [], Counter[str]()
    while not tiles.is_finished:
        if len(out) < n_workers and (lease := tiles.take()) is not None:
            out.append(lease)
            continue
        assert out, "what is neither here nor with a worker is finished"
        lease = out.pop(data.draw(st.integers(0, len(out) - 1)))
        names = [pair.name for pair in lease.pairs]
        if data.draw(st.booleans()):
            tiles.settle(lease, data.draw(st.floats(1e-6, 10)))
            ends.update(names)
        else:
            is_done = data.draw(st.integers(0, 2 ** len(names) - 1))  # a bit for each tile
            done = {name for place, name in enumerate(names) if is_done >> place & 1}
            ends.update(done)
            lost = tiles.lose(lease, done, is_node_lost=data.draw(st.booleans()))
            ends.update(pair.name for pair in lost)
    assert ends == Counter(pair.name for pair in pairs(n))
    assert tiles.take() is None


@pytest.mark.parametrize("n_workers", [1, 7])
def test_no_tiles_no_leases(n_workers: int) -> None:
    assert book(0, n_workers).is_finished
    assert book(0, n_workers).take() is None
