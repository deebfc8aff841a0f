"""The table and CSV of ``axion-stage3 evaluate``."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from axion_stage3.atomic_write import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.training.evaluation import Evaluation, FamilySummary, MetricSummary

_SHOWN: Final = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "sam_degrees": "SAM, degrees",
    "mae": "MAE",
    "rmse": "RMSE",
    "hf_power_ratio": "Detail power",
}
_HEADING: Final = (
    f"  {'':<14}{'opt_v2':>9}{'opt_final':>11}{'change':>10}{'95 % interval':>20}{'better':>9}"
)


def evaluation_table(evaluation: Evaluation) -> str:
    """Return a block per family: means over groups, change, interval, share improved."""
    return "\n\n".join(_family_block(family) for family in evaluation.families)


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one line per tile with every metric before and after, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    names = sorted(evaluation.tiles[0].opt_v2) if evaluation.tiles else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sides = ("opt_v2", "opt_final")
    writer.writerow(["tile", "group", "family", *(f"{s}_{n}" for s in sides for n in names)])
    for tile in evaluation.tiles:
        values = [getattr(tile, side).get(name, "") for side in sides for name in names]
        writer.writerow([tile.tile, tile.group, tile.family, *values])
    write_bytes(path, text.getvalue().encode())


def _family_block(family: FamilySummary) -> str:
    lines = [f"{family.family}: {family.n_tiles} tiles in {family.n_groups} groups", _HEADING]
    lines += [_metric_line(title, family.metrics[name]) for name, title in _SHOWN.items()]
    lines.append("  Least gained (PSNR):")
    lines += [f"    {name}" for name in family.worst]
    return "\n".join(lines)


def _metric_line(title: str, metric: MetricSummary) -> str:
    interval = f"[{metric.low:+.3f}, {metric.high:+.3f}]"
    better = "" if metric.groups_improved is None else f"{metric.groups_improved:.0%}"
    return (
        f"  {title:<14}{metric.opt_v2:>9.4f}{metric.opt_final:>11.4f}{metric.difference:>+10.4f}"
        f"{interval:>20}{better:>9}"
    )
