"""Long work of ``axion-stage3 stats``, with its progress shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.runs.run_comparison import RunComparison, compare_runs
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.runs.run_statistics import RunStatistics, run_statistics

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.cli.output import Output


def describe_with_progress(
    output: Output,
    output_dir: Path,
    *,
    recompute: bool,
    opt_v2_dir: Path | None,
    s1_dir: Path | None,
    n_listed: int,
) -> RunStatistics:
    """`run_statistics`, with a bar where tiles are computed."""
    if not recompute:
        return run_statistics(output_dir, opt_v2_dir=opt_v2_dir, s1_dir=s1_dir, n_listed=n_listed)
    n_tiles = len(RunFolder(output_dir).tiles())
    with output.progress("Computing statistics", n_tiles) as progress:
        return run_statistics(
            output_dir,
            recompute=True,
            opt_v2_dir=opt_v2_dir,
            s1_dir=s1_dir,
            n_listed=n_listed,
            on_tile=progress.advance,
        )


def compare_with_progress(output: Output, output_dir: Path, against: Path) -> RunComparison:
    """`compare_runs`, with a bar."""
    n_tiles = len(RunFolder(output_dir).tiles())
    with output.progress("Comparing tiles", n_tiles) as progress:
        return compare_runs(output_dir, against, on_tile=progress.advance)
