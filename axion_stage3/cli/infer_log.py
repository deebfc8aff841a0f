"""What ``infer --log-format json`` writes: an event a line, with its facts as fields."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from axion_stage3.cli.infer_report import closing_title, warn_of_failures
from axion_stage3.inference.run_observer import RunObserver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.cli.output import Output
    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.inference.run_observer import ModelFacts
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.resume import ResumePlan
    from axion_stage3.tiles.pairing import Pairing


class InferLog(RunObserver):
    """Tells a program how a run goes on; tiles that were written are told when verbose.

    Args:
        output: The sink, with the log format ``json``.
        config: The effective configuration.
    """

    def __init__(self, output: Output, config: InferenceConfig) -> None:
        self._output = output
        self._config = config
        self._failed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def model_loading(self, device: str, timesteps: int) -> None:
        """Log the configuration."""
        self._output.note(
            "run begun",
            device=device,
            timesteps=timesteps,
            configuration=self._config.model_dump(mode="json"),
        )

    def model_loaded(self, model: ModelFacts) -> None:
        """Log the model."""
        self._output.note("model loaded", **asdict(model))

    def pairs_found(self, pairing: Pairing) -> None:
        """Log how many pairs there are."""
        self._output.note(
            "pairs found",
            n_pairs=len(pairing.pairs),
            n_without_s1=len(pairing.unmatched_opt_v2),
            n_without_opt_v2=len(pairing.unmatched_s1),
            n_not_used=len(pairing.refused),
        )

    def tiles_selected(self, n_selected: int, n_pairs: int) -> None:
        """Log how many of the pairs this run is about."""
        self._output.note("tiles selected", n_selected=n_selected, n_pairs=n_pairs)

    def tiles_planned(self, plan: ResumePlan) -> None:
        """Log what there is to do."""
        self._output.note(
            "tiles planned",
            n_to_do=len(plan.to_do),
            n_done=plan.n_done,
            n_failed_before=plan.n_failed_before,
            n_skipped=plan.n_skipped,
            n_left_out=plan.n_left_out,
            n_without_statistics=plan.n_without_statistics,
        )

    def tile_done(self, outcome: TileOutcome) -> None:
        """Log what became of a tile; one that failed is a warning."""
        facts = {"tile": outcome.tile, "seconds": outcome.seconds}
        if outcome.phase is None:
            self._output.detail(f"tile {outcome.outcome}", **facts)
        else:
            self._failed.add(outcome.tile)
            facts |= {"phase": outcome.phase, "code": outcome.error_code}
            facts |= {"reason": outcome.message, "hint": outcome.hint}
            self._output.warn(f"tile {outcome.outcome}", **facts)

    def scene_begun(self, name: str, n_windows: int, methods: Mapping[str, str]) -> None:
        """Log how a scene is read."""
        self._output.note("scene begun", scene=name, n_windows=n_windows, methods=dict(methods))

    def scene_advanced(self, n_windows: int) -> None:
        """Log windows of a scene."""
        self._output.detail("windows done", n_windows=n_windows)

    def warned(self, message: str) -> None:
        """Log a warning of the run."""
        self._output.warn(message)

    def run_done(self, result: RunResult) -> None:
        """Log what came of it, and first the tiles that failed in an earlier session."""
        before = [tile for tile in result.failed_tiles if tile.tile_name not in self._failed]
        warn_of_failures(self._output, before, len(before))
        counts = {name: result.summary[name] for name in ("total_tiles", "processed", "failed")}
        self._output.note(
            closing_title(result),
            exit_code=result.exit_code,
            output_dir=result.output_dir,
            processing_time_seconds=result.summary["processing_time_seconds"],
            **counts,
        )
