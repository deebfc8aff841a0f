"""The state from which interrupted training resumes bit for bit."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch

from axion_stage3.atomic_write import write_bytes
from axion_stage3.errors import UsageError
from axion_stage3.training.validation import ValidationResult

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.training.trainer import Trainer

_MAY_CHANGE = frozenset({"max_steps", "max_minutes"})


def save_state(trainer: Trainer, path: Path) -> None:
    """Write weights, average, optimizer, random state, step and time, atomically."""
    buffer = io.BytesIO()
    torch.save(
        {
            "config": trainer.config.model_dump(mode="json"),
            "network": trainer.network.state_dict(),
            "average": trainer.average.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "random": trainer.random.get_state(),
            "step": trainer.step,
            "seconds": trainer.seconds,
            "best": None if trainer.best is None else trainer.best.as_document(),
        },
        buffer,
    )
    write_bytes(path, buffer.getvalue())


def load_state(trainer: Trainer, path: Path) -> None:
    """Bring a trainer to the state in a file; leaves it as it is where there is no file.

    Raises:
        UsageError: The state was written with another configuration (its length may differ).
    """
    if not path.is_file():
        return
    state: dict[str, Any] = torch.load(path, map_location=trainer.device, weights_only=True)
    current = trainer.config.model_dump(mode="json")
    changed = sorted(
        key
        for key in current.keys() | state["config"].keys()
        if key not in _MAY_CHANGE and current.get(key) != state["config"].get(key)
    )
    if changed:
        raise UsageError(
            f"The training run in {path.parent} has another configuration: {', '.join(changed)}.",
            hint="Give another --output-dir, or the configuration the run was started with.",
            path=path.parent,
        )
    trainer.network.load_state_dict(state["network"])
    trainer.average.load_state_dict(state["average"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.random.set_state(state["random"].cpu())
    trainer.step = state["step"]
    trainer.seconds = state["seconds"]
    trainer.best = None if state["best"] is None else ValidationResult.from_document(state["best"])
