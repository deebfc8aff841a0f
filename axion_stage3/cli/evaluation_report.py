"""The table, CSV and Parquet of ``axion-stage3 evaluate``."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from axion_stage3.atomic_write import real_path, write_bytes
from axion_stage3.cli.text_layout import indented
from axion_stage3.exporting.statistics_files import require_pyarrow
from axion_stage3.exporting.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from axion_stage3.cli.output import Output
    from axion_stage3.training.evaluation import Evaluation, FamilySummary, MetricSummary

_SHOWN: Final = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "sam_degrees": "SAM, degrees",
    "mae": "MAE",
    "rmse": "RMSE",
    "hf_power_ratio": "Detail power",
    "grounding": "Grounding",
}
_MAX_LISTED: Final = 20
_MAX_NAMES: Final = 3
_GAUSSIAN_SHARES: Final = {1: 0.683, 2: 0.954, 3: 0.997}
_HEADING: Final = (
    f"  {'':<14}{'opt_v2':>9}{'opt_final':>11}{'change':>10}{'95 % interval':>20}{'better':>9}"
)


def evaluation_table(evaluation: Evaluation) -> str:
    """Return a block per family: means over groups, change, interval, share improved."""
    return "\n\n".join(_family_block(family) for family in evaluation.families)


def say_what_is_missing(evaluation: Evaluation, output: Output) -> None:
    """Name the tiles that no figure counts, and say why."""
    if evaluation.without_truth:
        output.note(_without_truth_line(evaluation.without_truth), tiles=evaluation.without_truth)
    if not evaluation.left_out:
        return
    if output.is_json:
        for tile in evaluation.left_out:
            output.warn("tile left out", tile=tile.tile, reason=tile.reason)
        return
    for line in _left_out_lines(evaluation):
        output.warn(line)


def _without_truth_line(names: Sequence[str]) -> str:
    shown = printable(", ".join(names[:_MAX_NAMES]))
    if len(names) > _MAX_NAMES:
        shown += f" and {len(names) - _MAX_NAMES} more"
    if len(names) == 1:
        return f"1 tile has no truth of its name: {shown}"
    return f"{len(names)} tiles have no truth of their name: {shown}"


def _left_out_lines(evaluation: Evaluation) -> list[str]:
    n_tiles = len(evaluation.left_out)
    lines = [f"⚠ Warning: {n_tiles} {'tile' if n_tiles == 1 else 'tiles'} left out:"]
    for tile in evaluation.left_out[:_MAX_LISTED]:
        lines += [f"  - {tile.tile}", *indented(tile.reason, 6)]
    if n_tiles > _MAX_LISTED:
        lines.append(f"  ... and {n_tiles - _MAX_LISTED} more")
    return lines


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one line per tile with every metric before and after, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    columns = _columns(evaluation)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    write_bytes(real_path(path), text.getvalue().encode())


def write_parquet(evaluation: Evaluation, path: Path) -> None:
    """Write the same table as :func:`write_csv` as Parquet; null where a figure is lacking.

    Raises:
        MissingExtraError: pyarrow is not installed.
        OutputError: The file cannot be written.
    """
    pyarrow, parquet = require_pyarrow()
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(_columns(evaluation)), buffer)
    write_bytes(real_path(path), buffer.getvalue())


def _columns(evaluation: Evaluation) -> dict[str, list[str] | list[float | None]]:
    tiles = evaluation.tiles
    columns: dict[str, list[str] | list[float | None]] = {
        key: [str(getattr(tile, key)) for tile in tiles] for key in ("tile", "group", "family")
    }
    for side in ("opt_v2", "opt_final"):
        for name in sorted(set().union(*(getattr(tile, side) for tile in tiles))):
            columns[f"{side}_{name}"] = [getattr(tile, side).get(name) for tile in tiles]
    columns["truth_grounding"] = [tile.truth_grounding for tile in tiles]
    return columns


def _family_block(family: FamilySummary) -> str:
    lines = [f"{family.family}: {family.n_tiles} tiles in {family.n_groups} groups", _HEADING]
    lines += [
        _metric_line(title, family.metrics[name])
        for name, title in _SHOWN.items()
        if name in family.metrics
    ]
    if family.grounding_accuracy is not None:
        lines.append(
            f"  The truth has a higher grounding score than opt_v2 in"
            f" {family.grounding_accuracy:.0%} of tiles"
        )
    if family.draws is not None:
        shares = ", ".join(f"{family.draws[f'within_{k}_std']:.3f}" for k in _GAUSSIAN_SHARES)
        right = ", ".join(f"{share:.3f}" for share in _GAUSSIAN_SHARES.values())
        lines += [
            f"  PSNR of the mean of the draws: {family.draws['psnr_of_mean']:.3f} dB",
            f"  True values within 1, 2, 3 spreads of it: {shares} (Gaussian: {right})",
        ]
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
