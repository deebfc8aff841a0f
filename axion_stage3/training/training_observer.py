"""Who watches a training, such as the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from axion_stage3.training.validation import ValidationResult

FittedPart = Literal["equalizer", "gate", "draw"]
"""A part of the network that is fitted from measured figures, not trained step by step."""


class TrainingObserver(Protocol):
    """Receives progress; the command line renders it."""

    def generator_step(self, progress: float) -> None:
        """Called after every step of the generators with the share of them done."""

    def fitting_step(self, part: FittedPart, progress: float) -> None:
        """Called while a part is fitted with the share of it done."""

    def step(self, step: int, progress: float, losses: dict[str, float]) -> None:
        """Called after every step with the share of training done."""

    def validated(self, step: int, result: ValidationResult) -> None:
        """Called after each validation."""

    def calibrated(self, step: int, result: ValidationResult) -> None:
        """Called with the validation of the best checkpoint once that is calibrated."""
