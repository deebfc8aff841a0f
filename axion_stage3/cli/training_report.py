"""What ``train`` shows while it works and when it is done."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from axion_stage3.atomic_write import write_bytes
from axion_stage3.exporting.output_folder import make_folder
from axion_stage3.exporting.validation_pictures import validation_picture

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.cli.output import Output
    from axion_stage3.training.trainer import TrainingResult
    from axion_stage3.training.training_observer import FittedPart
    from axion_stage3.training.validation import ValidationResult


class TrainingConsole:
    """Progress of a training: bars on a terminal, a line and a picture per validation everywhere.

    Args:
        output: The sink.
        picture_dir: Where each validation leaves a picture of the same held-out tiles.
    """

    def __init__(self, output: Output, picture_dir: Path) -> None:
        self._output = output
        self._picture_dir = picture_dir
        self._bar = Progress(
            TextColumn("{task.description}: {task.percentage:>3.0f}%"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=Console(stderr=True),
            disable=not output.has_bars,
        )
        self._stage = ""
        self._generators = self._bar.add_task("Surrogate generators", total=1.0, losses="")
        self._fitting = self._bar.add_task("Fitting", total=1.0, losses="", visible=False)
        self._training = self._bar.add_task("Training", total=1.0, losses="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._bar.stop()

    def generator_step(self, progress: float) -> None:
        """Advance the bar of the generators."""
        self._begin("Training the surrogate generators")
        self._bar.update(self._generators, completed=progress)

    def fitting_step(self, part: FittedPart, progress: float) -> None:
        """Advance the bar of what is fitted."""
        title = f"Fitting the {part}"
        self._begin(title)
        for task in (self._generators, self._training):
            self._bar.update(task, completed=1.0, visible=False)
        self._bar.update(self._fitting, description=title, completed=progress, visible=True)

    def step(self, step: int, progress: float, losses: dict[str, float]) -> None:
        """Advance the bar of the training."""
        self._begin("Training")
        for task in (self._generators, self._fitting):
            self._bar.update(task, completed=1.0, visible=False)
        text = f"step {step}, mean {losses['mean']:.4f}, detail {losses['detail']:.3f}"
        self._bar.update(self._training, completed=progress, losses=text, visible=True)
        self._output.detail(
            text[:1].upper() + text[1:], step=step, progress=progress, losses=losses
        )

    def validated(self, step: int, result: ValidationResult) -> None:
        """Write the gain over opt_v2 for each family, and draw a few tiles.

        Raises:
            OutputError: The picture cannot be written.
        """
        self._report(f"Step {step}", step, result)

    def calibrated(self, step: int, result: ValidationResult) -> None:
        """The same of the calibrated checkpoint, whose picture takes the place of the other.

        Raises:
            OutputError: The picture cannot be written.
        """
        self._report(f"Step {step}, calibrated", step, result)

    def _begin(self, stage: str) -> None:
        """Say that another stage begins: it may take minutes, and not everyone sees a bar."""
        if stage != self._stage:
            self._stage = stage
            self._output.note(f"{stage}.", stage=stage)

    def _report(self, title: str, step: int, result: ValidationResult) -> None:
        gains = ", ".join(f"{name} {family.gain:+.2f}" for name, family in result.families.items())
        self._output.note(
            f"{title}: PSNR gain over opt_v2 in dB: {gains}",
            step=step,
            gains_db={name: family.gain for name, family in result.families.items()},
        )
        if result.tiles:
            make_folder(self._picture_dir)
            write_bytes(
                self._picture_dir / f"step_{step:07d}.png", validation_picture(result.tiles)
            )


def result_lines(result: TrainingResult) -> list[str]:
    """What was reached and where the checkpoints are."""
    lines = ["", f"Steps: {result.steps}"]
    if result.was_finished:
        lines.append("Training was finished before: nothing is changed. A larger --max-steps or")
        lines.append("--max-minutes goes on from here.")
    if result.best is not None:
        lines.append("Best validation (PSNR in dB, mean over groups):")
        lines += [
            f"  {name:<10} opt_v2 {family.psnr_opt_v2:6.2f}  opt_final {family.psnr_opt_final:6.2f}"
            f"  gain {family.gain:+.2f}, {family.share_improved:.0%} of groups improved"
            for name, family in result.best.families.items()
        ]
        lines.append(f"Best checkpoint: {result.best_path}")
    lines.append(f"Last checkpoint: {result.last_path}")
    if result.exit_code:
        lines.append("Stopped by a signal; the same command goes on from here.")
    return lines
