from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import pytest

from axion_stage3.inference.batch_queue import BatchQueue, QueueClosed


@dataclass(frozen=True)
class Tile:
    label: str
    shape: tuple[int, int] = (10, 10)


def labels(batch: tuple[list[Tile], float]) -> str:
    return "".join(tile.label for tile in batch[0])


def test_sizes_wait_apart_until_one_has_a_full_batch() -> None:
    queue: BatchQueue[Tile] = BatchQueue(10_000, lambda _: 2)
    for tile in (Tile("a"), Tile("A", (20, 10)), Tile("b"), Tile("c")):
        queue.put(tile)
    assert labels(queue.take()) == "ab"
    queue.put(Tile("B", (20, 10)))
    assert labels(queue.take()) == "AB"
    queue.put(Tile("d"))
    assert labels(queue.take()) == "cd"


def test_a_batch_that_is_taken_makes_room_for_as_many() -> None:
    queue: BatchQueue[Tile] = BatchQueue(300, lambda _: 3)
    for _ in range(4):
        assert [queue.put(Tile(label)) for label in "abc"] == [0, 0, 0]
        assert labels(queue.take()) == "abc"


def test_what_is_left_when_it_closes_goes_out_as_it_is() -> None:
    queue: BatchQueue[Tile] = BatchQueue(10_000, lambda _: 4)
    for tile in (Tile("A", (20, 10)), Tile("a"), Tile("b")):
        queue.put(tile)
    queue.close()
    assert labels(queue.take()) == "A"
    assert labels(queue.take()) == "ab"
    with pytest.raises(QueueClosed):
        queue.take()
    with pytest.raises(QueueClosed):
        queue.put(Tile("c"))


def test_a_closed_queue_keeps_to_the_batch_size() -> None:
    queue: BatchQueue[Tile] = BatchQueue(10_000, lambda _: 2)
    for label in "abc":
        queue.put(Tile(label))
    queue.close()
    assert [labels(queue.take()), labels(queue.take())] == ["ab", "c"]


def test_the_last_tiles_are_shared_by_those_who_take_them() -> None:
    queue: BatchQueue[Tile] = BatchQueue(10_000, lambda _: 4, n_shares=2)
    for tile in [*map(Tile, "abcdefghijklm"), Tile("A", (20, 10))]:
        queue.put(tile)
    assert labels(queue.take()) == "abcd"
    queue.close()
    taken: list[str] = []
    with suppress(QueueClosed):
        while True:
            taken.append(labels(queue.take()))
    assert taken == ["efgh", "ijk", "A", "l", "m"]


def test_aborting_drops_what_is_inside() -> None:
    queue: BatchQueue[Tile] = BatchQueue(10_000)
    queue.put(Tile("a"))
    queue.abort()
    with pytest.raises(QueueClosed):
        queue.take()


def test_any_mixture_of_sizes_fits_into_the_same_memory() -> None:
    """Each tile has a size of its own, so that no batch is ever full."""
    queue: BatchQueue[Tile] = BatchQueue(100, lambda _: 8)
    waiting_px: list[int] = []
    taken: list[Tile] = []

    def put_all() -> None:
        for n in range(1, 40):
            queue.put(Tile(str(n), (1, n)))
            waiting_px.append(queue._waiting_px)
        queue.close()

    thread = threading.Thread(target=put_all)
    thread.start()
    with suppress(QueueClosed):
        while True:
            taken += queue.take()[0]
    thread.join()
    assert [tile.shape[1] for tile in taken] == list(range(1, 40))
    assert max(waiting_px) <= 100


def test_a_tile_larger_than_the_capacity_goes_through_alone() -> None:
    queue: BatchQueue[Tile] = BatchQueue(100, lambda _: 8)
    queue.put(Tile("a", (100, 100)))
    thread = threading.Thread(target=queue.put, args=(Tile("b", (100, 100)),))
    thread.start()
    assert labels(queue.take()) == "a"
    thread.join()
    queue.close()
    assert labels(queue.take()) == "b"


def test_waiting_is_measured_at_both_ends() -> None:
    queue: BatchQueue[Tile] = BatchQueue(100)
    assert queue.put(Tile("a")) == 0.0

    def take_later() -> None:
        time.sleep(0.05)
        queue.take()

    thread = threading.Thread(target=take_later)
    thread.start()
    assert queue.put(Tile("b")) >= 0.04
    thread.join()
    assert queue.take()[1] == 0.0


def test_a_thread_that_waits_learns_of_the_end() -> None:
    queue: BatchQueue[Tile] = BatchQueue(100)
    ended: list[bool] = []

    def take() -> None:
        with pytest.raises(QueueClosed):
            queue.take()
        ended.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    queue.close()
    thread.join(5)
    assert ended


def test_many_threads_lose_and_double_nothing() -> None:
    queue: BatchQueue[Tile] = BatchQueue(1000, lambda shape: shape[1] % 3 + 1)
    taken: list[str] = []

    def put(first: int) -> None:
        for n in range(first, 300, 3):
            queue.put(Tile(str(n), (10, 10 + n % 7)))

    def take() -> None:
        while True:
            try:
                batch, _ = queue.take()
            except QueueClosed:
                return
            assert len({tile.shape for tile in batch}) == 1
            taken.extend(tile.label for tile in batch)

    putters = [threading.Thread(target=put, args=(i,)) for i in range(3)]
    takers = [threading.Thread(target=take) for _ in range(3)]
    for thread in putters + takers:
        thread.start()
    for thread in putters:
        thread.join()
    queue.close()
    for thread in takers:
        thread.join()
    assert sorted(map(int, taken)) == list(range(300))
