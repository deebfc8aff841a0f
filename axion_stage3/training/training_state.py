"""The state from which interrupted training resumes bit for bit."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch

from axion_stage3.atomic_write import write_bytes
from axion_stage3.errors import CheckpointError, UsageError
from axion_stage3.training.fitted_parts import calibrated_parts
from axion_stage3.training.validation import ValidationResult

if TYPE_CHECKING:
    from pathlib import Path

    from torch.optim import AdamW
    from torch.optim.swa_utils import AveragedModel

    from axion_stage3.diffusion.network import GroundingNetwork
    from axion_stage3.training.training_config import TrainingConfig
    from axion_stage3.training.training_material import TrainingMaterial

STATE_NAME: Final = "state.pt"
_TENSORS: Final = ("network", "average", "optimizer", "random")
_MAY_CHANGE: Final = frozenset({"max_steps", "max_minutes"})


class Resumable(Protocol):
    """A training that can go on from its state: what of it is saved and restored."""

    config: TrainingConfig
    material: TrainingMaterial
    network: GroundingNetwork
    average: AveragedModel
    optimizer: AdamW
    random: torch.Generator
    step: int
    seconds: float
    validated_step: int
    best: ValidationResult | None
    calibrated: ValidationResult | None


def save_state(trainer: Resumable, path: Path) -> None:
    """Write weights, average, optimizer, random state, step and time, atomically."""
    buffer = io.BytesIO()
    torch.save(
        {
            "config": trainer.config.model_dump(mode="json"),
            "data": trainer.material.digest,
            "network": trainer.network.state_dict(),
            "average": trainer.average.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "random": trainer.random.get_state(),
            "step": trainer.step,
            "seconds": trainer.seconds,
            "validated_step": trainer.validated_step,
            "best": _document(trainer.best),
            "calibrated": _document(trainer.calibrated),
        },
        buffer,
    )
    write_bytes(path, buffer.getvalue())


@dataclass(frozen=True, slots=True)
class SavedState:
    """What a state file says.

    Attributes:
        data: Digest of the tiles; see :class:`TrainingMaterial`.
        step: Steps done.
        seconds: Seconds they took.
        validated_step: Step of the last validation, -1 if there was none.
        best: Validation of the best checkpoint; None if there was none.
        calibrated: The same once it was calibrated; None before.
        tensors: States of network, average, optimizer and random generator.
    """

    data: str
    step: int
    seconds: float
    validated_step: int
    best: ValidationResult | None
    calibrated: ValidationResult | None
    tensors: dict[str, Any]

    def is_finished(self, config: TrainingConfig) -> bool:
        """Whether nothing is left to do."""
        is_calibrated = self.calibrated is not None or not calibrated_parts(config)
        is_over = share_done(config, self.step, self.seconds) >= 1.0
        return is_over and is_calibrated and self.validated_step == self.step


def read_state(path: Path, config: TrainingConfig) -> SavedState | None:
    """Read the state in a file; None where there is no file.

    Raises:
        UsageError: The state was written with another configuration (its length may differ).
        CheckpointError: The file is damaged, or no state of a training.
    """
    if not path.is_file():
        return None
    current = config.model_dump(mode="json")
    try:
        document: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        stored = dict(document["config"])
        state = SavedState(
            data=str(document["data"]),
            step=int(document["step"]),
            seconds=float(document["seconds"]),
            validated_step=int(document["validated_step"]),
            best=_result(document["best"]),
            calibrated=_result(document["calibrated"]),
            tensors={name: document[name] for name in _TENSORS},
        )
    except Exception as error:  # a damaged file can make torch raise anything
        raise _unfit(path) from error
    changed = sorted(
        key
        for key in current.keys() | stored.keys()
        if key not in _MAY_CHANGE and current.get(key) != stored.get(key)
    )
    if changed:
        raise UsageError(
            f"The training run in {path.parent} has another configuration: {', '.join(changed)}.",
            hint="Give another --output-dir, or the configuration the run was started with.",
            path=path.parent,
        )
    return state


def share_done(config: TrainingConfig, step: int, seconds: float) -> float:
    """Share of training done, 0..1: by steps or by minutes, whichever is further."""
    if not config.takes_steps:
        return 1.0
    by_steps = step / config.max_steps
    if config.max_minutes is None:
        return by_steps
    return max(by_steps, seconds / (60 * config.max_minutes))


def load_state(trainer: Resumable, path: Path) -> None:
    """Bring a trainer to the state in a file; leaves it as it is where there is no file.

    Raises:
        UsageError: As for :func:`read_state`.
        CheckpointError: Likewise.
    """
    state = read_state(path, trainer.config)
    if state is None:
        return
    try:
        _restore(trainer, state)
    except Exception as error:  # whatever a foreign file holds in place of a state
        raise _unfit(path) from error


def _restore(trainer: Resumable, state: SavedState) -> None:
    trainer.network.load_state_dict(state.tensors["network"])
    trainer.average.load_state_dict(state.tensors["average"])
    trainer.optimizer.load_state_dict(state.tensors["optimizer"])
    trainer.random.set_state(state.tensors["random"])
    trainer.step = state.step
    trainer.seconds = state.seconds
    trainer.validated_step = state.validated_step
    trainer.best = state.best
    trainer.calibrated = state.calibrated


def _document(result: ValidationResult | None) -> dict[str, Any] | None:
    return None if result is None else result.as_document()


def _result(document: dict[str, Any] | None) -> ValidationResult | None:
    return None if document is None else ValidationResult.from_document(document)


def _unfit(path: Path) -> CheckpointError:
    return CheckpointError(
        f"The state {path} is damaged, or none that this version can go on from.",
        hint="Remove it to train anew, or give another --output-dir.",
        path=path,
    )
