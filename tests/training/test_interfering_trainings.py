"""What may not happen to a training: other tiles, another training, files that are gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch

from axion_stage3.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    InputError,
    RunConflictError,
    TrainingError,
    UsageError,
)
from axion_stage3.runs.lease import Lease
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.training_run import train

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.training.training_config import TrainingConfig


class Begun(NamedTuple):
    """A training of one step: its data, where it is, and how it goes on for another."""

    data_dir: Path
    output_dir: Path
    longer: TrainingConfig

    def go_on(self) -> None:
        split = self.data_dir / "split.csv"
        folders = {"data_dir": self.data_dir, "output_dir": self.output_dir}
        train(self.longer, **folders, split_file=split, device="cpu")


@pytest.fixture
def begun(little_material: None, data_dir: Path, tmp_path: Path, config: TrainingConfig) -> Begun:
    one_step = config.model_copy(update={"max_steps": 1})
    begun = Begun(data_dir, tmp_path / "out", one_step)
    begun.go_on()
    return begun._replace(longer=config.model_copy(update={"max_steps": 2}))


def swap_the_splits(data_dir: Path) -> None:
    text = (data_dir / "split.csv").read_text()
    words = {"train": "val", "val": "train", "split": "split"}
    lines = [line.rpartition(",") for line in text.splitlines()]
    (data_dir / "split.csv").write_text("\n".join(f"{a},{words[s]}" for a, _, s in lines) + "\n")


def change_a_tile(data_dir: Path) -> None:
    write_npz(data_dir / "s1" / "tile_1.npz", {"s1": make_tile(99, 48, 56).s1})


@pytest.mark.parametrize("change", [swap_the_splits, change_a_tile])
def test_other_tiles_are_no_reason_to_go_on(change: object, begun: Begun) -> None:
    assert callable(change)
    change(begun.data_dir)
    kept = (begun.output_dir / "best.safetensors").read_bytes()
    generators = list(begun.output_dir.glob("generators-*"))
    with pytest.raises(UsageError, match="begun with other tiles") as caught:
        begun.go_on()
    assert "another --output-dir" in caught.value.hint
    assert (begun.output_dir / "best.safetensors").read_bytes() == kept
    assert list(begun.output_dir.glob("generators-*")) == generators  # said before their minutes


def test_two_trainings_do_not_write_into_one_folder(begun: Begun) -> None:
    with (
        Lease.acquire(begun.output_dir, configuration_digest="training"),
        pytest.raises(RunConflictError, match="Another training is writing to"),
    ):
        begun.go_on()
    begun.go_on()


def test_a_finished_training_without_its_checkpoint_is_not_finished(begun: Begun) -> None:
    begun.go_on()
    (begun.output_dir / "best.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError):
        begun.go_on()
    (begun.output_dir / "best.safetensors").unlink()
    with pytest.raises(CheckpointNotFoundError):
        begun.go_on()


def test_a_checkpoint_to_start_from_is_not_written_over(begun: Begun) -> None:
    best = begun.output_dir / "best.safetensors"
    again = begun._replace(longer=begun.longer.model_copy(update={"start_from": str(best)}))
    with pytest.raises(UsageError, match="lies in the output folder"):
        again.go_on()


def test_a_killed_training_leaves_no_temporary_files_behind(begun: Begun) -> None:
    orphan = begun.output_dir / ".state.pt.0123456789abcdef.tmp"
    orphan.write_bytes(b"half")
    begun.go_on()
    assert not orphan.exists()


@pytest.mark.parametrize(
    "change",
    [{"step": "three"}, {"best": [1]}, {"best": {"hard": {"psnr": 1.0}}}, {"seconds": None}],
)
def test_a_state_that_makes_no_sense_is_named(begun: Begun, change: dict[str, object]) -> None:
    path = begun.output_dir / "state.pt"
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged"):
        begun.go_on()


def test_a_real_stage_2_tile_that_cannot_be_read_is_not_simulated(begun: Begun) -> None:
    shutil.rmtree(begun.output_dir)
    (begun.data_dir / "opt_v2").mkdir()
    (begun.data_dir / "opt_v2" / "tile_1.npz").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"tile_1\.npz"):
        begun.go_on()


def test_weights_that_validation_gets_no_numbers_from_are_no_checkpoint(
    little_material: None, data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    wild = config.model_copy(update={"max_steps": 1, "warmup_steps": 0, "learning_rate": 1e30})
    with pytest.raises(TrainingError, match="NaN or infinite at step 1") as caught:
        Begun(data_dir, tmp_path / "out", wild).go_on()
    assert "last good checkpoint" not in caught.value.hint
    assert not (tmp_path / "out" / "best.safetensors").exists()
