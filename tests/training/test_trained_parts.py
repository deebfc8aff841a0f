"""Parts that are trained or fitted by themselves: the detail, the equalizer, gate and draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import UsageError
from axion_stage3.runs.interruption import Interruption
from axion_stage3.training.training_run import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finished_training import Finished

    from axion_stage3.diffusion.network import GroundingNetwork
    from axion_stage3.training.trainer import Trainer
    from axion_stage3.training.training_config import TrainingConfig


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


@pytest.mark.parametrize(
    ("part", "calibration", "kept_by", "dropped_by"),
    [
        ("gate", "gate_calibration", ("detail", "draw"), ("all", "equalizer")),
        ("draw", "draw_calibration", (), ("all", "detail", "gate")),
    ],
)
def test_what_is_calibrated_alone_is_kept_until_it_changes(
    finished: Finished,
    start: Callable[[TrainingConfig, str], Trainer],
    config: TrainingConfig,
    part: str,
    calibration: str,
    kept_by: tuple[str, ...],
    dropped_by: tuple[str, ...],
) -> None:
    first = finished.result.last_path
    assert getattr(load_checkpoint(first).network, calibration) is None
    given = load_checkpoint(first).network.state_dict()

    def trained(part: str, given: Path) -> Path:
        crops = {f"{part}_crops": 32} if part in ("gate", "draw") else {}
        changes = {"start_from": str(given), "trained_part": part, **crops}
        return (
            start(config.model_copy(update=changes), f"{part}-alone").run(Interruption()).last_path
        )

    last = trained(part, first)
    calibrated = load_checkpoint(last)
    assert calibrated.epoch == load_checkpoint(first).epoch
    found = calibrated.network.state_dict()
    for name, value in given.items():
        assert torch.equal(found.pop(name), value), name
    assert all(name.startswith(f"{calibration}.") for name in found)
    assert all(found[name].abs().max() > 0 for name in found if ".weights." in name)
    for other in kept_by:
        then = load_checkpoint(trained(other, last)).network.state_dict()
        assert all(torch.equal(then[name], value) for name, value in found.items())
    for other in dropped_by:
        assert getattr(load_checkpoint(trained(other, last)).network, calibration) is None


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


@pytest.mark.parametrize("part", ["equalizer", "gate", "draw"])
def test_what_is_fitted_alone_needs_crops(
    part: str, finished: Finished, data_dir: Path, tmp_path: Path, config: TrainingConfig
) -> None:
    changes = {
        "start_from": str(finished.result.last_path),
        "trained_part": part,
        f"{part}_crops": 0,
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
