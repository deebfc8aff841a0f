from __future__ import annotations

import json
import pathlib
import pickle
from typing import TYPE_CHECKING

import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    InputError,
    InputFolderError,
    OutputError,
    TrainingError,
    UsageError,
)
from axion_stage3.runs.interruption import Interruption
from axion_stage3.tiles.npz_reader import read_npz
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training import trainer as trainer_module
from axion_stage3.training.trainer import Trainer
from axion_stage3.training.training_config import TrainingConfig
from axion_stage3.training.training_material import prepare_material
from axion_stage3.training.training_run import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture
def start(data_dir: Path, tmp_path: Path) -> Callable[[TrainingConfig, str], Trainer]:
    """Make a trainer with its output in a folder of the given name."""

    def make(config: TrainingConfig, name: str) -> Trainer:
        output_dir = tmp_path / name
        output_dir.mkdir(exist_ok=True)
        material = prepare_material(data_dir, data_dir / "split.csv", config, output_dir, CPU)
        return Trainer(config, material, output_dir)

    return make


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

    def step(self, step: int, progress: float, losses: dict[str, float]) -> None:
        if step == self.last:
            self.interruption.event.set()

    def validated(self, step: int, result: object) -> None: ...


def test_interrupted_training_resumes_bit_for_bit(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    whole = start(config, "whole")
    assert whole.run(Interruption()).exit_code == 0

    interruption = Interruption()
    first_half = start(config, "halves")
    result = first_half.run(interruption, StopAfter(interruption, 4))
    assert (result.exit_code, result.steps) == (130, 4)
    second_half = start(config, "halves")
    assert second_half.step == 4
    second_half.run(Interruption())

    for resumed, uninterrupted in zip(everything(second_half), everything(whole), strict=True):
        assert torch.equal(resumed, uninterrupted)


def test_training_writes_checkpoints_that_load_with_their_facts(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    trainer = start(config, "run")
    result = trainer.run(Interruption())
    checkpoint = load_checkpoint(result.best_path)
    assert checkpoint.timesteps == config.timesteps
    assert checkpoint.config["bands"]["optical"] == ["blue", "green", "red", "nir"]
    assert checkpoint.config["training"]["crop_px"] == 32
    assert set(checkpoint.config["training_range"]) == {"blue", "green", "red", "nir", "vv", "vh"}
    assert not torch.equal(checkpoint.network.whitening, torch.eye(4))
    log = (trainer.output_dir / "training_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log if "validation" in line] == [3, 6]


def test_training_starts_from_a_checkpoint(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    first = start(config, "first").run(Interruption()).last_path
    given = load_checkpoint(first).network.state_dict()
    second = start(config.model_copy(update={"start_from": str(first)}), "second")
    for network in (second.network, second.average.module):
        for name, value in network.state_dict().items():
            assert torch.equal(value, given[name]), name
    second.run(Interruption())
    trained = second.network.state_dict()
    for part in ("encoder.stem", "encoder.correction", "denoiser.leave"):
        assert not torch.equal(trained[f"{part}.weight"], given[f"{part}.weight"]), part


def test_the_detail_is_trained_alone(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    first = start(config, "first").run(Interruption()).last_path
    given = load_checkpoint(first).network.state_dict()
    changes = {"start_from": str(first), "trained_part": "detail", "mean_only_share": 0.0}
    second = start(config.model_copy(update=changes), "second").run(Interruption())
    for path in (second.best_path, second.last_path):
        trained = load_checkpoint(path).network.state_dict()
        changed = {name for name in trained if not torch.equal(trained[name], given[name])}
        assert {"detail_head.log_strengths.weight", "denoiser.leave.weight"} <= changed
        assert all(name.startswith(("detail_head.", "denoiser.")) for name in changed)
    # The mean's score never changes: the best is the last, not the first.
    best, last = (load_checkpoint(p).config["steps"] for p in (second.best_path, second.last_path))
    assert best == last


def test_the_detail_alone_needs_a_mean(
    data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    config = config.model_copy(update={"trained_part": "detail"})
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv"}
    with pytest.raises(UsageError, match="no mean") as caught:
        train(config, **folders, output_dir=tmp_path / "out", device="cpu")
    assert "start_from" in caught.value.hint


def test_a_checkpoint_to_start_from_has_to_be_there(
    data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    config = config.model_copy(update={"start_from": str(tmp_path / "none.safetensors")})
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv"}
    with pytest.raises(CheckpointNotFoundError, match=r"none\.safetensors"):
        train(config, **folders, output_dir=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()  # before any generator was trained


@pytest.mark.parametrize("variation", ["light", "all"])
def test_either_variation_trains(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig, variation: str
) -> None:
    trainer = start(config.model_copy(update={"variation": variation}), variation)
    before = [value.clone() for value in trainer.network.parameters()]
    assert trainer.run(Interruption()).steps == config.max_steps
    assert any(
        not torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True)
    )


def test_training_changes_the_network_and_moves_the_average(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    trainer = start(config, "run")
    assert isinstance(trainer.average.module, GroundingNetwork)
    before = {k: v.clone() for k, v in trainer.average.module.state_dict().items()}
    trainer.run(Interruption())
    after = trainer.average.module.state_dict()
    weights = {name for name, _ in trainer.average.module.named_parameters()}
    assert {name for name in after if not torch.equal(before[name], after[name])} == weights
    trained = trainer.network.state_dict()
    assert not any(torch.equal(trained[name], after[name]) for name in weights)


def test_another_configuration_is_refused_in_the_same_folder(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    start(config, "run").run(Interruption())
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
    damage: Callable[[Path], None], data_dir: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv", "output_dir": tmp_path}
    short = config.model_copy(update={"max_steps": 1})
    train(short, **folders, device="cpu")
    damage(tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged") as caught:
        train(short, **folders, device="cpu")
    assert "another --output-dir" in caught.value.hint


def test_a_log_that_cannot_be_written_is_named(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    trainer = start(config, "run")
    (trainer.output_dir / "training_log.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"training_log\.jsonl cannot be written: Is a direc"):
        trainer.run(Interruption())


def test_a_longer_budget_goes_on_where_training_ended(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    start(config, "run").run(Interruption())
    longer = start(config.model_copy(update={"max_steps": 8}), "run")
    assert longer.run(Interruption()).steps == 8


def test_a_loss_that_is_not_finite_names_the_tiles_and_keeps_the_checkpoint(
    start: Callable[[TrainingConfig, str], Trainer],
    config: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = start(config, "run")
    trainer.run(Interruption())
    kept = (trainer.output_dir / "best.safetensors").read_bytes()
    longer = start(config.model_copy(update={"max_steps": 9}), "run")
    intact = trainer_module.grounding_losses

    def broken(*args: object) -> object:
        losses = intact(*args)  # type: ignore[arg-type]
        return losses._replace(total=losses.total * torch.nan)

    monkeypatch.setattr(trainer_module, "grounding_losses", broken)
    with pytest.raises(TrainingError, match=r"step 6 .*tile_\d\.npz"):
        longer.run(Interruption())
    assert (trainer.output_dir / "best.safetensors").read_bytes() == kept


def test_a_group_on_both_sides_is_refused_by_name(data_dir: Path, config: TrainingConfig) -> None:
    split = data_dir / "split.csv"
    split.write_text(split.read_text().replace("group_5,val", "group_0,val"))
    with pytest.raises(InputError, match="'group_0' in train and in val"):
        train(config, data_dir=data_dir, split_file=split, output_dir=data_dir.parent / "out")


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


def test_a_missing_truth_folder_is_named(data_dir: Path, config: TrainingConfig) -> None:
    (data_dir / "s2_truth").rename(data_dir / "elsewhere")
    with pytest.raises(InputFolderError, match="s2_truth/"):
        train(
            config,
            data_dir=data_dir,
            split_file=data_dir / "split.csv",
            output_dir=data_dir.parent / "out",
        )


def test_crops_larger_than_every_tile_are_refused(data_dir: Path, config: TrainingConfig) -> None:
    with pytest.raises(InputError, match="No training tile is as large as a crop of 64 px"):
        train(
            config.model_copy(update={"crop_px": 64}),
            data_dir=data_dir,
            split_file=data_dir / "split.csv",
            output_dir=data_dir.parent / "out",
        )


def test_a_tile_whose_radar_has_another_size_is_named(
    data_dir: Path, config: TrainingConfig
) -> None:
    path = data_dir / "s1" / "tile_1.npz"
    write_npz(path, {"s1": read_npz(path)["s1"][:, :40].copy()})
    with pytest.raises(
        InputError, match=r"tile_1\.npz: truth is \(48, 56\) px, its partner \(40, "
    ):
        train(
            config,
            data_dir=data_dir,
            split_file=data_dir / "split.csv",
            output_dir=data_dir.parent / "out",
        )


def test_a_tile_with_nan_is_named(data_dir: Path, config: TrainingConfig) -> None:
    path = data_dir / "s1" / "tile_1.npz"
    arrays = {key: value.copy() for key, value in read_npz(path).items()}
    arrays["s1"][0, 3, 3] = float("nan")
    write_npz(path, arrays)
    with pytest.raises(InputError, match=r"tile_1\.npz"):
        train(
            config,
            data_dir=data_dir,
            split_file=data_dir / "split.csv",
            output_dir=data_dir.parent / "out",
        )
