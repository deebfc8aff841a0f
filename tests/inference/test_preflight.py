from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from axion_stage3.config import InferenceConfig
from axion_stage3.inference.preflight import disk_warning, estimate_output_bytes, free_space
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.tiles.pairing import TilePair

if TYPE_CHECKING:
    from pathlib import Path


def pairs_of(folder: Path, *sizes: int) -> list[TilePair]:
    for i, size in enumerate(sizes):
        (folder / f"{i}.npz").write_bytes(b"x" * size)
    return [TilePair(f"{i}.npz", folder / f"{i}.npz", folder / "s1") for i in range(len(sizes))]


def config(folder: Path, **options: Any) -> InferenceConfig:
    folders = {"opt_v2_dir": folder / "a", "s1_dir": folder / "b", "output_dir": folder / "out"}
    return InferenceConfig(**folders, **options)


@pytest.mark.parametrize(
    ("options", "n_copies"),
    [
        ({}, 2),
        ({"samples": 3}, 3),
        ({"save_intermediate": True}, 4),
        ({"samples": 2, "save_intermediate": True}, 5),
    ],
)
def test_outputs_are_guessed_from_the_sizes_of_inputs(
    tmp_path: Path, options: dict[str, Any], n_copies: int
) -> None:
    pairs = pairs_of(tmp_path, 100, 300)
    assert estimate_output_bytes(pairs, config(tmp_path, **options)) == n_copies * 400


def test_inputs_that_are_gone_say_nothing(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path, 100, 300)
    (tmp_path / "0.npz").unlink()
    assert estimate_output_bytes(pairs, config(tmp_path)) == 2 * 600
    (tmp_path / "1.npz").unlink()
    assert estimate_output_bytes(pairs, config(tmp_path)) == 0


def test_a_disk_with_room_is_not_worth_a_word(tmp_path: Path) -> None:
    assert disk_warning(pairs_of(tmp_path, 100), config(tmp_path)) is None


def test_free_space_is_that_of_the_disk_the_folder_will_be_on(tmp_path: Path) -> None:
    free_bytes = free_space(tmp_path / "not" / "yet" / "there")
    assert free_bytes is not None
    assert free_bytes > 0
    assert free_space(ObjectUrl("s3://bucket/out")) is None
