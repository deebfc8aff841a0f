from __future__ import annotations

import json
import pathlib
import pickle
import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    OutputError,
    TrainingError,
    UsageError,
)
from axion_stage3.runs.interruption import Interruption
from axion_stage3.training import trainer as trainer_module
from axion_stage3.training.training_config import TrainingConfig
from axion_stage3.training.training_run import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finished_training import Finished

    from axion_stage3.training.trainer import Trainer

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("little_material")


@pytest.fixture
def finished_folder(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the folder of the finished training, ``tmp_path / "run"``."""
    return shutil.copytree(finished.trainer.output_dir, tmp_path / "run")


def everything(trainer: Trainer) -> list[torch.Tensor]:
    """All numbers that decide how training goes on."""
    optimizer = trainer.optimizer.state_dict()["state"]
    return [
        *trainer.network.state_dict().values(),
        *trainer.average.state_dict().values(),
        *(value for entry in optimizer.values() for value in entry.values()),
        trainer.random.get_state(),
    ]


class StopAfter:
    """An observer that asks the training to stop after some steps."""

    def __init__(self, interruption: Interruption, step: int) -> None:
        self.interruption, self.last = interruption, step

    def generator_step(self, progress: float) -> None: ...
    def fitting_step(self, part: str, progress: float) -> None: ...

    def step(self, step: int, progress: float, losses: dict[str, float]) -> None:
        if step == self.last:
            self.interruption.event.set()

    def validated(self, step: int, result: object) -> None: ...
    def calibrated(self, step: int, result: object) -> None: ...


def test_interrupted_training_resumes_bit_for_bit(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    assert finished.result.exit_code == 0

    interruption = Interruption()
    first_half = start(config, "halves")
    result = first_half.run(interruption, StopAfter(interruption, 4))
    assert (result.exit_code, result.steps) == (130, 4)
    second_half = start(config, "halves")
    assert second_half.step == 4
    second_half.run(Interruption())

    for resumed, uninterrupted in zip(
        everything(second_half), everything(finished.trainer), strict=True
    ):
        assert torch.equal(resumed, uninterrupted)


def test_training_writes_checkpoints_that_load_with_their_facts(
    finished: Finished, config: TrainingConfig
) -> None:
    checkpoint = load_checkpoint(finished.result.best_path)
    assert checkpoint.timesteps == config.timesteps
    assert checkpoint.config["bands"]["optical"] == ["blue", "green", "red", "nir"]
    assert checkpoint.config["training"]["crop_px"] == 32
    assert set(checkpoint.config["training_range"]) == {"blue", "green", "red", "nir", "vv", "vh"}
    assert not torch.equal(checkpoint.network.whitening, torch.eye(4))
    log = (finished.trainer.output_dir / "training_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log if "validation" in line] == [3, 6]


def test_training_starts_from_a_checkpoint(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    first = finished.result.last_path
    given = load_checkpoint(first).network.state_dict()
    second = start(config.model_copy(update={"start_from": str(first)}), "second")
    for network in (second.network, second.average.module):
        for name, value in network.state_dict().items():
            assert torch.equal(value, given[name]), name
    second.run(Interruption())
    trained = second.network.state_dict()
    for part in ("encoder.stem", "encoder.correction", "denoiser.leave"):
        assert not torch.equal(trained[f"{part}.weight"], given[f"{part}.weight"]), part
    for name in trained:
        assert not name.startswith("equalizer.") or torch.equal(trained[name], given[name]), name


def test_a_checkpoint_to_start_from_has_to_be_there(
    data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    config = config.model_copy(update={"start_from": str(tmp_path / "none.safetensors")})
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv"}
    with pytest.raises(CheckpointNotFoundError, match=r"none\.safetensors"):
        train(config, **folders, output_dir=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()  # before any generator was trained


def test_training_changes_the_network_and_moves_the_average(
    finished: Finished, config: TrainingConfig
) -> None:
    assert config.variation == "all"
    assert finished.result.steps == config.max_steps
    average = finished.trainer.average.module
    assert isinstance(average, GroundingNetwork)
    before, after = finished.before, average.state_dict()
    trainable = finished.trainer.network.named_parameters()
    weights = {name for name, weight in trainable if weight.requires_grad}
    assert {name for name in after if not torch.equal(before[name], after[name])} == weights
    trained = finished.trainer.network.state_dict()
    assert not any(torch.equal(trained[name], after[name]) for name in weights)


def test_the_light_variation_trains_and_is_another(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    trainer = start(config.model_copy(update={"variation": "light"}), "light")
    assert trainer.run(Interruption()).steps == config.max_steps
    after, other = trainer.network.state_dict(), finished.trainer.network.state_dict()
    weights = {name for name, w in trainer.network.named_parameters() if w.requires_grad}
    assert not any(torch.equal(after[name], finished.before[name]) for name in weights)
    assert not any(torch.equal(after[name], other[name]) for name in weights)


@pytest.mark.usefixtures("finished_folder")
def test_another_configuration_is_refused_in_the_same_folder(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    with pytest.raises(UsageError, match="learning_rate"):
        start(config.model_copy(update={"learning_rate": 1e-4}), "run")


def write_text_as_state(path: Path) -> None:
    path.write_text("not a state")


def empty_state(path: Path) -> None:
    path.write_bytes(b"")


def cut_state(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def pickled_state(path: Path) -> None:
    path.write_bytes(pickle.dumps({"config": pathlib.PurePosixPath("x")}))


def state_without_config(path: Path) -> None:
    torch.save({"step": 3}, path)


def state_without_weights(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"network": {}}, path)


@pytest.mark.parametrize(
    "damage",
    [
        write_text_as_state,
        empty_state,
        cut_state,
        pickled_state,
        state_without_config,
        state_without_weights,
    ],
)
def test_a_damaged_state_is_named(
    damage: Callable[[Path], None],
    shared_data_dir: Path,
    config: TrainingConfig,
    finished_folder: Path,
) -> None:
    damage(finished_folder / "state.pt")
    longer = config.model_copy(update={"max_steps": 8})
    folders = {"data_dir": shared_data_dir, "split_file": shared_data_dir / "split.csv"}
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged") as caught:
        train(longer, **folders, output_dir=finished_folder, device="cpu")
    assert "another --output-dir" in caught.value.hint


def test_a_log_that_cannot_be_written_is_named(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    trainer = start(config, "run")
    (trainer.output_dir / "training_log.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"training_log\.jsonl cannot be written: Is a direc"):
        trainer.run(Interruption())


@pytest.mark.usefixtures("finished_folder")
def test_a_longer_budget_goes_on_where_training_ended(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    longer = start(config.model_copy(update={"max_steps": 8}), "run")
    assert longer.step == config.max_steps
    assert longer.run(Interruption()).steps == 8


def test_a_loss_that_is_not_finite_names_the_tiles_and_keeps_the_checkpoint(
    finished_folder: Path,
    start: Callable[[TrainingConfig, str], Trainer],
    config: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = (finished_folder / "best.safetensors").read_bytes()
    longer = start(config.model_copy(update={"max_steps": 9}), "run")
    intact = trainer_module.grounding_losses

    def broken(*args: object) -> object:
        losses = intact(*args)  # type: ignore[arg-type]
        return losses._replace(total=losses.total * torch.nan)

    monkeypatch.setattr(trainer_module, "grounding_losses", broken)
    with pytest.raises(TrainingError, match=r"step 6 .*tile_\d\.npz"):
        longer.run(Interruption())
    assert (finished_folder / "best.safetensors").read_bytes() == kept


def test_a_fault_to_be_left_out_must_be_known(data_dir: Path, config: TrainingConfig) -> None:
    with pytest.raises(UsageError, match="no fault 'rain'") as caught:
        train(
            config.model_copy(update={"left_out_faults": ("rain",)}),
            data_dir=data_dir,
            split_file=data_dir / "split.csv",
            output_dir=data_dir.parent / "out",
        )
    assert "colour_cast" in caught.value.hint


def test_a_refused_configuration_leaves_that_of_the_run_alone(
    data_dir: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv", "output_dir": tmp_path}
    short = config.model_copy(update={"max_steps": 1})
    train(short, **folders)
    with pytest.raises(UsageError, match="learning_rate"):
        train(short.model_copy(update={"learning_rate": 1e-4}), **folders)
    generators = list(tmp_path.glob("generators-*"))
    with pytest.raises(UsageError, match="generator_steps"):
        train(short.model_copy(update={"generator_steps": 3}), **folders)
    assert list(tmp_path.glob("generators-*")) == generators  # said before any was trained
    stored = json.loads((tmp_path / "training_config.json").read_text())
    assert TrainingConfig.model_validate(stored) == short
