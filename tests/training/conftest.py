"""A small training set of synthetic tiles, and a configuration that trains in seconds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

N_TRAIN, N_VAL = 4, 2


@pytest.fixture(scope="session")
def shared_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set that is not to be changed."""
    folder = tmp_path_factory.mktemp("training") / "data"
    for part in ("s1", "s2_truth"):
        (folder / part).mkdir(parents=True)
    lines = ["tile,group,split"]
    for number in range(N_TRAIN + N_VAL):
        name = f"tile_{number}.npz"
        tile = make_tile(number, 48, 56)
        write_npz(folder / "s1" / name, {"s1": tile.s1})
        keys = ("s2_b2", "s2_b3", "s2_b4", "s2_b8")
        write_npz(folder / "s2_truth" / name, dict(zip(keys, tile.truth, strict=True)))
        split = "train" if number < N_TRAIN else "val"
        lines.append(f"{name},group_{number},{split}")
    (folder / "split.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def data_dir(shared_data_dir: Path, tmp_path: Path) -> Path:
    """A training set of one's own."""
    return shutil.copytree(shared_data_dir, tmp_path / "data")


@pytest.fixture(scope="session")
def config() -> TrainingConfig:
    return TrainingConfig(
        batch_size=2,
        crop_px=32,
        max_steps=6,
        warmup_steps=1,
        validate_every=3,
        generator_steps=1,
        equalizer_crops=16,
        generator_batch_size=2,
    )
