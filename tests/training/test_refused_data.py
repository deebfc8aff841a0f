"""Training data that cannot work is refused by name, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from axion_stage3.errors import InputError, InputFolderError
from axion_stage3.tiles.npz_reader import read_npz
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.training_run import train

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.training.training_config import TrainingConfig


def train_on(data_dir: Path, config: TrainingConfig) -> None:
    split = data_dir / "split.csv"
    train(config, data_dir=data_dir, split_file=split, output_dir=data_dir.parent / "out")


def test_a_group_on_both_sides_is_refused_by_name(data_dir: Path, config: TrainingConfig) -> None:
    split = data_dir / "split.csv"
    split.write_text(split.read_text().replace("group_5,val", "group_0,val"))
    with pytest.raises(InputError, match="'group_0' in train and in val"):
        train_on(data_dir, config)


def test_a_missing_truth_folder_is_named(data_dir: Path, config: TrainingConfig) -> None:
    (data_dir / "s2_truth").rename(data_dir / "elsewhere")
    with pytest.raises(InputFolderError, match="s2_truth/"):
        train_on(data_dir, config)


def test_crops_larger_than_every_tile_are_refused(data_dir: Path, config: TrainingConfig) -> None:
    with pytest.raises(InputError, match="No training tile is as large as a crop of 64 px"):
        train_on(data_dir, config.model_copy(update={"crop_px": 64}))


def test_a_tile_whose_radar_has_another_size_is_named(
    data_dir: Path, config: TrainingConfig
) -> None:
    path = data_dir / "s1" / "tile_1.npz"
    write_npz(path, {"s1": read_npz(path)["s1"][:, :40].copy()})
    with pytest.raises(
        InputError, match=r"tile_1\.npz: truth is \(48, 56\) px, its partner \(40, "
    ):
        train_on(data_dir, config)


def test_a_tile_with_nan_is_named(data_dir: Path, config: TrainingConfig) -> None:
    path = data_dir / "s1" / "tile_1.npz"
    arrays = {key: value.copy() for key, value in read_npz(path).items()}
    arrays["s1"][0, 3, 3] = float("nan")
    write_npz(path, arrays)
    with pytest.raises(InputError, match=r"tile_1\.npz"):
        train_on(data_dir, config)
