"""What was trained is calibrated at the end, so that one command makes a checkpoint to use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from test_trainer import StopAfter

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.runs.interruption import Interruption

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finished_training import Finished
    from torch import Tensor

    from axion_stage3.training.trainer import Trainer
    from axion_stage3.training.training_config import TrainingConfig

CALIBRATIONS = ("gate_calibration", "draw_calibration")


class StopInFitting(StopAfter):
    """Asks the training to stop when a part is half fitted; remembers what was fitted."""

    def __init__(self, interruption: Interruption, part: str) -> None:
        super().__init__(interruption, step=-1)
        self.part = part
        self.fitted: list[str] = []
        self.calibrated_steps: list[int] = []

    def fitting_step(self, part: str, progress: float) -> None:
        if part not in self.fitted:
            self.fitted.append(part)
        if part == self.part and progress > 0.5:
            self.interruption.event.set()

    def calibrated(self, step: int, result: object) -> None:
        self.calibrated_steps.append(step)


@pytest.fixture
def calibrating(config: TrainingConfig) -> TrainingConfig:
    return config.model_copy(update={"gate_crops": 32, "draw_crops": 32})


def weights(path: Path) -> dict[str, Tensor]:
    return dict(load_checkpoint(path).network.state_dict())


def test_the_checkpoint_is_calibrated_after_the_last_step(
    finished: Finished, start: Callable[[TrainingConfig, str], Trainer], calibrating: TrainingConfig
) -> None:
    observer = StopInFitting(Interruption(), "none")
    trainer = start(calibrating, "run")
    result = trainer.run(Interruption(), observer)
    assert (observer.fitted, observer.calibrated_steps) == (["gate", "draw"], [result.steps])
    assert load_checkpoint(result.best_path).config["steps"] == result.steps == 6
    found, without = weights(result.best_path), weights(finished.result.best_path)
    for name, value in weights(result.last_path).items():
        assert torch.equal(found[name], value), name
    for name, value in without.items():
        assert torch.equal(found.pop(name), value), name
    assert {name.split(".")[0] for name in found} == set(CALIBRATIONS)
    assert all(found[name].abs().max() > 0 for name in found if ".weights." in name)
    # What is said of the checkpoint is said of it as it is now.
    assert result.best is trainer.calibrated
    log = (trainer.output_dir / "training_log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["calibrated"] == result.best.as_document()


def test_an_earlier_best_checkpoint_is_calibrated_and_the_last_left_as_trained(
    start: Callable[[TrainingConfig, str], Trainer],
    calibrating: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = start(calibrating, "run")
    validate = trainer._validate

    def only_the_first(observer: object) -> None:
        validate(observer)  # type: ignore[arg-type]
        monkeypatch.setattr(trainer, "_validate", lambda _: None)

    monkeypatch.setattr(trainer, "_validate", only_the_first)
    result = trainer.run(Interruption())
    best, last = load_checkpoint(result.best_path), load_checkpoint(result.last_path)
    assert (best.config["steps"], last.config["steps"]) == (3, 6)
    assert best.epoch < last.epoch
    for calibration in CALIBRATIONS:
        assert getattr(best.network, calibration) is not None
        assert getattr(last.network, calibration) is None


@pytest.mark.parametrize("part", ["gate", "draw"])
def test_a_stop_while_calibrating_loses_nothing(
    part: str, start: Callable[[TrainingConfig, str], Trainer], calibrating: TrainingConfig
) -> None:
    whole = start(calibrating, "whole").run(Interruption())
    interruption = Interruption()
    trainer = start(calibrating, "stopped")
    stopped = trainer.run(interruption, StopInFitting(interruption, part))
    assert (stopped.exit_code, stopped.steps) == (130, 6)
    assert not any(name.startswith(CALIBRATIONS) for name in weights(stopped.best_path))
    observer = StopInFitting(Interruption(), "none")
    again = start(calibrating, "stopped").run(Interruption(), observer)
    assert (again.exit_code, again.steps, observer.fitted) == (0, 6, ["gate", "draw"])
    for path in ("best_path", "last_path"):
        assert getattr(again, path).read_bytes() == getattr(whole, path).read_bytes()


@pytest.mark.parametrize(
    ("part", "fitted"),
    [
        ("equalizer", ["gate", "draw"]),
        ("gate", ["gate", "draw"]),
        ("detail", ["draw"]),
        ("draw", ["draw"]),
    ],
)
def test_what_judges_the_trained_part_is_calibrated_anew(
    part: str,
    fitted: list[str],
    finished: Finished,
    start: Callable[[TrainingConfig, str], Trainer],
    calibrating: TrainingConfig,
) -> None:
    changes = {"start_from": str(finished.result.last_path), "trained_part": part}
    observer = StopInFitting(Interruption(), "none")
    trainer = start(calibrating.model_copy(update=changes), part)
    result = trainer.run(Interruption(), observer)
    assert observer.fitted == fitted
    found = {name.split(".")[0] for name in weights(result.last_path)}
    assert found & set(CALIBRATIONS) == {f"{name}_calibration" for name in fitted}


def test_a_longer_training_is_calibrated_again(
    start: Callable[[TrainingConfig, str], Trainer], calibrating: TrainingConfig
) -> None:
    assert start(calibrating, "run").run(Interruption()).best is not None
    longer = calibrating.model_copy(update={"max_steps": 8})
    interruption = Interruption()
    trainer = start(longer, "run")
    stopped = trainer.run(interruption, StopInFitting(interruption, "gate"))
    assert stopped.best is trainer.best
    observer = StopInFitting(Interruption(), "none")
    resumed = start(longer, "run")
    assert resumed.calibrated is None
    assert resumed.run(Interruption(), observer).exit_code == 0
    assert observer.fitted == ["gate", "draw"]
