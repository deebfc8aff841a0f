"""What ``infer`` shows while it runs and when it is done, in the order of the Stage 3 guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from axion_stage3.cli import infer_report as report
from axion_stage3.inference.run_observer import RunObserver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from axion_stage3.cli.output import Output, Tone
    from axion_stage3.cli.progress import TileProgress
    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.inference.run_observer import ModelFacts
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.resume import ResumePlan
    from axion_stage3.tiles.pairing import Pairing

_SCENE_STEPS = 10


class InferConsole(RunObserver):
    """Tells a person how a run goes on.

    Use as a context manager around the run, so that the progress bar is always ended.

    Args:
        output: The sink.
        config: The effective configuration.
    """

    def __init__(self, output: Output, config: InferenceConfig) -> None:
        self._output = output
        self._config = config
        self._progress: TileProgress | None = None
        self._scene = [0, 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.__exit__(kind, error, traceback)

    def model_loading(self, device: str, timesteps: int) -> None:
        """Show the configuration; the device takes a moment."""
        self._write(report.heading_lines("Stage 3 Inference: SAR Grounding"), "strong")
        self._write(["", *report.configuration_lines(self._config, device, timesteps)])
        self._write(["", "Loading Stage 3 model..."])

    def model_loaded(self, model: ModelFacts) -> None:
        """Show the model."""
        name = report.BUNDLED_NAME if model.is_bundled else str(model.path)
        self._write_done(report.model_lines(name, model.epoch, model.timesteps))
        self._output.detail(f"  Precision: {model.precision}")
        self._output.detail(f"  SHA-256: {model.sha256}")
        self._write(["", "Finding tile pairs..."])

    def pairs_found(self, pairing: Pairing) -> None:
        """Show how many pairs there are."""
        unmatched = (len(pairing.unmatched_opt_v2), len(pairing.unmatched_s1))
        self._write_done(report.pairs_lines(len(pairing.pairs), *unmatched, pairing.refused))
        for name in pairing.unmatched_opt_v2:
            self._output.detail(f"  {name}: no S1 tile of this name")
        for name in pairing.unmatched_s1:
            self._output.detail(f"  {name}: no opt_v2 tile of this name")

    def tiles_selected(self, n_selected: int, n_pairs: int) -> None:
        """Show how many of the pairs this run is about."""
        self._write([f"  In this run: {n_selected} of {n_pairs}"])

    def tiles_planned(self, plan: ResumePlan) -> None:
        """Show what earlier runs have done already, and start the progress bar."""
        self._write(report.plan_lines(plan))
        self._write([""])
        if plan.to_do:
            self._progress = self._output.progress("Processing tiles", len(plan.to_do))
            self._progress.__enter__()

    def tile_done(self, outcome: TileOutcome) -> None:
        """Move the progress bar."""
        assert self._progress is not None, "tiles are planned before they are done"
        self._progress.advance()
        self._output.detail(report.outcome_line(outcome))

    def scene_begun(self, name: str, n_windows: int, methods: Mapping[str, str]) -> None:
        """Say how a scene is read."""
        self._write([f"Scene {name}", *(f"  {key}: {text}" for key, text in methods.items())])
        self._scene = [0, n_windows]

    def scene_advanced(self, n_windows: int) -> None:
        """Say every tenth of the scene; a second bar beside that of the tiles cannot be drawn."""
        before, total = self._scene
        self._scene[0] += n_windows
        if self._scene[0] * _SCENE_STEPS // total > before * _SCENE_STEPS // total:
            self._write([f"  {self._scene[0] / total:.0%} ({self._scene[0]}/{total} windows)"])

    def warned(self, message: str) -> None:
        """Show a warning of the run."""
        self._write([f"⚠ Warning: {message}"], "warning")

    def run_done(self, result: RunResult) -> None:
        """Show what came of it. Failed tiles are shown even when quiet."""
        if self._progress is not None:
            self._write([""])
        self._write(report.heading_lines(report.closing_title(result)), "strong")
        self._write(["", *report.result_lines(result.summary)])
        self._write(
            [
                "",
                *report.location_lines(
                    result.output_dir, result.summary_path, result.statistics_path
                ),
                *report.part_lines(result, self._config),
            ]
        )
        n_failed = result.summary["failed"]
        if n_failed:
            self._write([""])
        report.warn_of_failures(self._output, result.failed_tiles, n_failed)
        self._write(["", report.RULE], "strong")

    def _write(self, lines: list[str], tone: Tone = "plain") -> None:
        for line in lines:
            self._output.note(line, tone)

    def _write_done(self, lines: list[str]) -> None:
        self._write(lines[:1], "good")
        self._write(lines[1:])
