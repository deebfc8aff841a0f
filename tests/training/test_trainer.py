from __future__ import annotations

import json
import pathlib
import pickle
import shutil
from typing import TYPE_CHECKING, NamedTuple

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
from axion_stage3.training import surrogate_families, training_material
from axion_stage3.training import trainer as trainer_module
from axion_stage3.training.radar_generator import DrawCounts
from axion_stage3.training.trainer import Trainer, TrainingResult
from axion_stage3.training.training_config import TrainingConfig
from axion_stage3.training.training_material import prepare_material
from axion_stage3.training.training_run import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _little_material() -> Iterator[None]:
    """One draw of the generators for a tile, not eleven; no test here looks at the draws."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (training_material, surrogate_families):
            patch.setattr(module, "N_DRAWS", DrawCounts(sharp=1, smooth=0))
        patch.setattr(training_material, "_BATCHES_FOR_CONSTANTS", 4)
        yield


def make_trainer(data_dir: Path, config: TrainingConfig, output_dir: Path) -> Trainer:
    output_dir.mkdir(exist_ok=True)
    material = prepare_material(data_dir, data_dir / "split.csv", config, output_dir, CPU)
    return Trainer(config, material, output_dir)


@pytest.fixture
def start(shared_data_dir: Path, tmp_path: Path) -> Callable[[TrainingConfig, str], Trainer]:
    """Make a trainer with its output in a folder of the given name."""
    return lambda config, name: make_trainer(shared_data_dir, config, tmp_path / name)


class Finished(NamedTuple):
    """A training without a stop, and the averaged weights before it."""

    trainer: Trainer
    before: dict[str, torch.Tensor]
    result: TrainingResult


@pytest.fixture(scope="module")
def finished(
    _little_material: None,
    shared_data_dir: Path,
    config: TrainingConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:
    """Not to be changed, and neither is its folder."""
    trainer = make_trainer(shared_data_dir, config, tmp_path_factory.mktemp("finished") / "run")
    before = {k: v.clone() for k, v in trainer.average.module.state_dict().items()}
    return Finished(trainer, before, trainer.run(Interruption()))


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
    def fitting_step(self, progress: float) -> None: ...

    def step(self, step: int, progress: float, losses: dict[str, float]) -> None:
        if step == self.last:
            self.interruption.event.set()

    def validated(self, step: int, result: object) -> None: ...


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


def test_the_detail_is_trained_alone(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    first = finished.result.last_path
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


def test_the_equalizer_is_fitted_once_before_the_first_step(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    fitted = equalizer_weights(load_checkpoint(finished.result.last_path).network)
    assert all(weight.abs().max() > 0 for weight in fitted)
    again = start(config.model_copy(update={"max_steps": 1}), "again")
    for weight, other in zip(equalizer_weights(again.network), fitted, strict=True):
        assert torch.equal(weight, other)  # the steps have not changed it, and a seed decides


def test_the_equalizer_is_fitted_alone(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    first = finished.result.last_path
    given = load_checkpoint(first).network.state_dict()
    changes = {"start_from": str(first), "trained_part": "equalizer", "seed": 5}
    result = start(config.model_copy(update=changes), "second").run(Interruption())
    assert (result.steps, result.exit_code) == (0, 0)
    for path in (result.best_path, result.last_path):
        assert load_checkpoint(path).epoch == load_checkpoint(first).epoch > 0
        fitted = load_checkpoint(path).network.state_dict()
        changed = {name for name in fitted if not torch.equal(fitted[name], given[name])}
        assert changed == {name for name in fitted if name.startswith("equalizer.")}


def test_the_gate_is_calibrated_alone_until_the_mean_is_trained(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    first = finished.result.last_path
    assert load_checkpoint(first).network.gate_calibration is None
    given = load_checkpoint(first).network.state_dict()

    def trained(part: str, given: Path) -> Path:
        changes = {"start_from": str(given), "trained_part": part, "gate_crops": 32}
        return (
            start(config.model_copy(update=changes), f"{part}-alone").run(Interruption()).last_path
        )

    last = trained("gate", first)
    calibrated = load_checkpoint(last)
    assert calibrated.epoch == load_checkpoint(first).epoch
    found = calibrated.network.state_dict()
    for name, value in given.items():
        assert torch.equal(found.pop(name), value), name
    assert all(name.startswith("gate_calibration.") for name in found)
    assert all(found[name].abs().max() > 0 for name in found if ".weights." in name)
    kept = load_checkpoint(trained("detail", last)).network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in found.items())
    for part in ("all", "equalizer"):  # what it judges changes
        assert load_checkpoint(trained(part, last)).network.gate_calibration is None


def test_a_network_may_have_no_equalizer(
    start: Callable[[TrainingConfig, str], Trainer], config: TrainingConfig
) -> None:
    without = start(config.model_copy(update={"equalizer_crops": 0}), "without").run(Interruption())
    checkpoint = load_checkpoint(without.last_path)
    assert checkpoint.network.equalizer is None
    changes = {"start_from": str(without.last_path), "trained_part": "equalizer"}
    added = start(config.model_copy(update=changes), "added").run(Interruption())
    assert load_checkpoint(added.last_path).network.equalizer is not None


def equalizer_weights(network: GroundingNetwork) -> list[torch.Tensor]:
    assert network.equalizer is not None
    return list(network.equalizer.parameters())


def test_the_equalizer_alone_needs_crops(
    finished: Finished, data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    changes = {
        "start_from": str(finished.result.last_path),
        "trained_part": "equalizer",
        "equalizer_crops": 0,
    }
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv"}
    with pytest.raises(UsageError, match="on no crops"):
        train(
            config.model_copy(update=changes), **folders, output_dir=tmp_path / "out", device="cpu"
        )


def test_the_detail_alone_needs_a_mean(
    data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    config = config.model_copy(update={"trained_part": "detail"})
    folders = {"data_dir": data_dir, "split_file": data_dir / "split.csv"}
    with pytest.raises(UsageError, match="detail is to be trained, but of no") as caught:
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
