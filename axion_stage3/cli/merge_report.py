"""What ``axion-stage3 merge`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.cli import infer_report as report
from axion_stage3.runs.summary import SUMMARY_NAME, FailedTileRecord, statistics_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.cli.output import Output
    from axion_stage3.runs.merging import MergedRun
    from axion_stage3.storage.locations import Location

_MAX_SHARDS: Final = 20


def show_merge(output: Output, output_dir: Location, merged: MergedRun) -> None:
    """Show what came of a merge. What is missing is shown even when quiet."""
    summary, progress = merged.summary, merged.progress
    for line in [
        *report.heading_lines("Merged Run"),
        "",
        *report.result_lines(summary),
        "",
        *report.location_lines(output_dir, output_dir / SUMMARY_NAME, statistics_path(output_dir)),
    ]:
        output.note(line)
    if n_lines := merged.n_unreadable_lines:
        output.warn(
            f"⚠ Warning: {n_lines} {'line' if n_lines == 1 else 'lines'} of the journals cannot be "
            "read: what they recorded counts as not done. A run that was killed leaves one at most."
        )
    if progress.missing:
        output.warn(f"⚠ Warning: not begun: {_shards(progress.missing, progress.n_shards)}")
    if progress.unfinished:
        output.warn(f"⚠ Warning: not at its end: {_shards(progress.unfinished, progress.n_shards)}")
    failed = [FailedTileRecord(**entry) for entry in summary["failed_tiles"]]
    report.warn_of_failures(output, failed, summary["failed"])


def _shards(numbers: Sequence[int], n_shards: int | None) -> str:
    n_more = len(numbers) - _MAX_SHARDS
    shown = ", ".join(f"{k}/{n_shards}" for k in numbers[:_MAX_SHARDS])
    return f"shard {shown}" + (f" and {n_more} more" if n_more > 0 else "")
