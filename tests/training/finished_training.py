"""A training that has come to its end, for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from axion_stage3.training.trainer import Trainer, TrainingResult
from axion_stage3.training.training_material import prepare_material

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.training.training_config import TrainingConfig

CPU = torch.device("cpu")


class Finished(NamedTuple):
    """A training without a stop, and the averaged weights before it."""

    trainer: Trainer
    before: dict[str, torch.Tensor]
    result: TrainingResult


def make_trainer(data_dir: Path, config: TrainingConfig, output_dir: Path) -> Trainer:
    output_dir.mkdir(exist_ok=True)
    material = prepare_material(data_dir, data_dir / "split.csv", config, output_dir, CPU)
    return Trainer(config, material, output_dir)
