"""What ``infer --plan`` shows, as lines of text no wider than 80 columns."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from axion_stage3.cli.output import Output
    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.run_plan import RunPlan, ShardPlan

MAX_LISTED: Final = 64
_UNKNOWN: Final = "not known"


def show_plan(config: InferenceConfig, output: Output, *, as_json: bool) -> None:
    """Make the plan of a run and write it to standard output.

    Args:
        config: The run.
        output: The sink.
        as_json: Whether to write one JSON document, with all shards, instead of a table.

    Raises:
        AxionError: The run could not begin.
    """
    from axion_stage3.inference.run_plan import plan_run

    plan = plan_run(config)
    if as_json:
        output.document(asdict(plan))
    else:
        output.data("\n".join(plan_lines(plan)))


def plan_lines(plan: RunPlan) -> list[str]:
    """The whole plan."""
    facts = {
        "Pairs found": f"{plan.n_pairs:,}",
        "In this run": f"{plan.n_tiles:,}",
        "To do": f"{plan.n_to_do:,}",
        "Time per tile": _time_per_tile(plan),
        "Output per tile": _output_per_tile(plan),
        "Free space": _UNKNOWN if plan.free_bytes is None else size_text(plan.free_bytes),
    }
    lines = [f"Plan for {plan.output_dir}", *(f"  {k:<18}{v}" for k, v in facts.items())]
    lines += ["", _row("shard", "tiles", "to do", "time", "output")]
    shown = plan.shards if len(plan.shards) <= MAX_LISTED else plan.shards[:MAX_LISTED]
    lines += [_shard_line(shard) for shard in shown]
    if len(plan.shards) > len(shown):
        lines.append(f"  ... and {len(plan.shards) - len(shown):,} more (--json lists them all)")
    if len(plan.shards) > 1:
        longest = max(plan.shards, key=lambda shard: shard.n_to_do)
        lines.append(_shard_line(longest, "largest"))
        lines.append(
            _row(
                "all",
                f"{plan.n_tiles:,}",
                f"{plan.n_to_do:,}",
                duration_text(_times(plan.seconds_per_tile, plan.n_to_do)),
                size_text(plan.bytes_per_tile * plan.n_to_do),
            )
        )
    return lines


def duration_text(seconds: float | None) -> str:
    """A duration in the two units that say most, such as ``3 h 12 min``."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def size_text(n_bytes: float) -> str:
    """A size with three digits, such as ``1.23 GB`` (10^9 bytes)."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} EB" if n_bytes < 999.5 else f"{n_bytes:,.0f} EB"


def _time_per_tile(plan: RunPlan) -> str:
    if plan.seconds_per_tile is None:
        return "not measured yet; run some tiles (--tiles) and plan again"
    measured = f"one worker, measured over {plan.n_measured:,} tiles"
    return f"{duration_text(plan.seconds_per_tile)} ({measured})"


def _output_per_tile(plan: RunPlan) -> str:
    how = "measured" if plan.n_measured else "guessed from the inputs' sizes"
    return f"{size_text(plan.bytes_per_tile)} ({how})"


def _shard_line(shard: ShardPlan, name: str = "") -> str:
    return _row(
        name or shard.shard,
        f"{shard.n_tiles:,}",
        f"{shard.n_to_do:,}",
        duration_text(shard.seconds),
        size_text(shard.output_bytes),
    )


def _row(shard: str, tiles: str, to_do: str, time: str, output: str) -> str:
    return f"  {shard:<18}{tiles:>14}{to_do:>14}{time:>16}{output:>12}"


def _times(seconds: float | None, n: int) -> float | None:
    return None if seconds is None else seconds * n
