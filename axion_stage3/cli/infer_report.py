"""The console report of ``axion-stage3 infer``, section by section, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axion_stage3.cli.text_layout import WIDTH, indented
from axion_stage3.storage.locations import as_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from axion_stage3.cli.output import Output
    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.resume import ResumePlan
    from axion_stage3.runs.summary import FailedTileRecord
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.folder_listing import RefusedFile

RULE: Final = "=" * WIDTH
BUNDLED_NAME: Final = "bundled reference checkpoint"
MAX_LISTED: Final = 20

# Tiles that are neither processed nor failed: field of the summary, words of the report.
_RESTS: Final = {"skipped": "Kept from another configuration", "pending": "Not processed"}

_STAGES: Final = {"read": "reading", "compute": "computing", "write": "writing"}
_NOTICEABLE_WAIT: Final = 0.1
"""Share of the computing time that the network may wait for files before they are the matter."""

# Entries that the configuration section always shows, or that say nothing about the tiles.
_SHOWN_BY_NAME: Final = frozenset(
    {"checkpoint", "opt_v2_dir", "s1_dir", "output_dir", "batch_size", "timesteps", "device"}
)


def heading_lines(title: str) -> list[str]:
    """A title between two rules."""
    return [RULE, title, RULE]


def configuration_lines(config: InferenceConfig, device: str, timesteps: int) -> list[str]:
    """What is about to be done; entries that are not the default are added at the end.

    Args:
        config: The effective configuration.
        device: The device that was chosen.
        timesteps: Network calls per tile of this run.
    """
    lines = [
        "Configuration:",
        f"  Checkpoint: {config.checkpoint or BUNDLED_NAME}",
        f"  opt_v2 directory: {as_folder(config.opt_v2_dir)}",
        f"  S1 directory: {as_folder(config.s1_dir)}",
        f"  Output directory: {as_folder(config.output_dir)}",
        f"  Batch size: {config.batch_size}",
        f"  Timesteps: {timesteps}",
        f"  Device: {device}",
    ]
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if name not in _SHOWN_BY_NAME and value != field.default:
            word = name.replace("_", " ").capitalize()
            lines.append(f"  {word}: {_as_word(value)}")
    return lines


def model_lines(name: str, epoch: int, timesteps: int) -> list[str]:
    """Which network computes.

    Args:
        name: Path of the checkpoint, or `BUNDLED_NAME`.
        epoch: Epoch at which it was saved.
        timesteps: Network calls per tile of this run.
    """
    return [f"✓ Model loaded from {name}", f"  Epoch: {epoch}", f"  Timesteps: {timesteps}"]


def pairs_lines(
    n_pairs: int,
    n_unmatched_opt_v2: int,
    n_unmatched_s1: int,
    refused: Sequence[RefusedFile] = (),
) -> list[str]:
    """How many pairs were found, how many tiles have no counterpart, and what is not used."""
    lines = [f"✓ Found {n_pairs} matching tile {'pair' if n_pairs == 1 else 'pairs'}"]
    if n_unmatched_opt_v2:
        lines.append(f"  Without an S1 tile: {n_unmatched_opt_v2}")
    if n_unmatched_s1:
        lines.append(f"  Without an opt_v2 tile: {n_unmatched_s1}")
    if refused:
        first = refused[0]
        lines.append(f"  Not used: {len(refused)}, such as {str(first.path)!r} ({first.reason})")
    return lines


def result_lines(summary: Mapping[str, Any]) -> list[str]:
    """Counts, time and aggregate statistics of a run summary."""
    lines = [
        "Results:",
        f"  Total tiles: {summary['total_tiles']}",
        f"  Processed: {summary['processed']}",
        f"  Failed: {summary['failed']}",
        f"  Success rate: {summary['success_rate']:.1%}",
        f"  Processing time: {summary['processing_time_seconds']:.2f}s",
        f"  Throughput: {summary['tiles_per_second']:.2f} tiles/s",
    ]
    for key, words in _RESTS.items():
        if summary.get(key):
            lines.append(f"  {words}: {summary[key]}")
    lines += stage_lines(summary.get("stage_seconds", {}))
    aggregate = summary["aggregate_stats"]
    if aggregate["opt_final_mean"] is not None:
        lines += [
            "",
            "Aggregate Statistics:",
            f"  Mean output value: {aggregate['opt_final_mean']:.4f}",
            f"  Mean output std: {aggregate['opt_final_std']:.4f}",
            f"  Mean change from Stage 2: {aggregate['change_mean']:.4f}",
            f"  Max change from Stage 2: {aggregate['change_max']:.4f}",
        ]
    if "grounding_gain" in aggregate:
        lines.append(
            f"  Mean grounding score: {aggregate['grounding_opt_v2']:.3f} (Stage 2) to"
            f" {aggregate['grounding_opt_final']:.3f}"
        )
    return lines


def stage_lines(stage_seconds: Mapping[str, float]) -> list[str]:
    """Where the time went, and what a run would have to do faster to be faster.

    Args:
        stage_seconds: Seconds by stage, added up over the threads of a run.
    """
    work = {stage: stage_seconds.get(stage, 0.0) for stage in _STAGES}
    if not any(work.values()):
        return []
    waits = {stage: stage_seconds.get(f"wait_for_{stage}", 0.0) for stage in ("read", "write")}
    longest = max(waits, key=waits.__getitem__)
    is_waiting = waits[longest] > _NOTICEABLE_WAIT * work["compute"]
    listed = ", ".join(f"{_STAGES[stage]} {seconds:.1f}s" for stage, seconds in work.items())
    return [
        f"  Time of all threads: {listed}",
        f"  Bottleneck: {_STAGES[longest if is_waiting else 'compute']}",
    ]


def location_lines(
    output_dir: Location, summary_path: Location | None, statistics_path: Location | None
) -> list[str]:
    """Where everything was written."""
    lines = [f"Output saved to: {as_folder(output_dir)}"]
    if summary_path is not None:
        lines.append(f"  Summary: {summary_path}")
    if statistics_path is not None:
        lines.append(f"  Statistics: {statistics_path}")
    return lines


def part_lines(result: RunResult, config: InferenceConfig) -> list[str]:
    """Where the reports of a part come from, if it was not the last one."""
    if result.summary_path is not None or not config.statistics:
        return []
    return [
        "  Summary and statistics: made by the last part, or by",
        f"    axion-stage3 merge {result.output_dir}",
    ]


def warn_of_failures(output: Output, failed: Sequence[FailedTileRecord], n_failed: int) -> None:
    """Say which tiles failed, why, and what to do; a record of each where programs read along.

    Args:
        output: The sink.
        failed: The tiles, in the order to list them; a person is shown the first.
        n_failed: How many failed altogether.
    """
    if output.is_json:
        for tile in failed:
            output.warn(
                f"tile {tile.outcome}",
                tile=tile.tile_name,
                phase=tile.phase,
                code=tile.error_code,
                reason=tile.reason,
                hint=tile.hint,
            )
        return
    for line in failure_lines(failed, n_failed):
        output.warn(line)


def failure_lines(failed: Sequence[FailedTileRecord], n_failed: int) -> list[str]:
    """The same as lines of text, for people."""
    if not n_failed:
        return []
    lines = [f"⚠ Warning: {n_failed} {'tile' if n_failed == 1 else 'tiles'} failed:"]
    for tile in failed[:MAX_LISTED]:
        lines += [f"  - {tile.tile_name}", *indented(tile.reason, 6)]
        if tile.hint:
            lines += indented(f"Hint: {tile.hint}", 6)
    if n_failed > MAX_LISTED:
        lines.append(f"  ... and {n_failed - MAX_LISTED} more")
    lines.append("  When the cause is mended, --retry-failed runs these again.")
    return lines


def outcome_line(outcome: TileOutcome) -> str:
    """What became of one tile."""
    words = f"{outcome.outcome} after {outcome.seconds:.3f} s"
    if outcome.phase is not None:
        words += f" ({outcome.phase}): {outcome.error_code} {outcome.message}"
    return f"{outcome.tile}: {words}"


def plan_lines(plan: ResumePlan) -> list[str]:
    """What earlier runs leave to this one; nothing on a first run."""
    counts = {
        "Already done": plan.n_done,
        "Failed before (--retry-failed tries them again)": plan.n_failed_before,
        "Kept from another configuration": plan.n_skipped,
        "Left for a later run": plan.n_left_out,
    }
    lines = [f"  {words}: {n}" for words, n in counts.items() if n]
    if plan.n_without_statistics:
        lines += [
            f"  Without statistics beside them: {plan.n_without_statistics}",
            "    They stay as they are; --existing overwrite makes them with statistics.",
        ]
    return lines


def closing_title(result: RunResult) -> str:
    """The headline above the results."""
    if result.is_interrupted:
        return "Inference Stopped (the same command goes on from here)"
    if result.is_over_failure_limit:
        return "Inference Stopped (too many tiles failed, see --max-failures)"
    if result.n_left_out:
        return f"Failed Tiles Retried ({result.n_left_out} left: run without --retry-failed)"
    return "Inference Complete!"


def _as_word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
