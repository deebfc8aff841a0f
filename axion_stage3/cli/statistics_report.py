"""The tables of ``axion-stage3 stats``, as lines of text no wider than 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.cli.text_layout import WIDTH
from axion_stage3.exporting.wording import counted, decimal, printable, shortened
from axion_stage3.runs.run_statistics import OUTLIER_FIELDS
from axion_stage3.statistics.accumulators import GUIDE_FIELDS
from axion_stage3.tiles.bands import OPTICAL_BANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from axion_stage3.runs.run_comparison import RunComparison
    from axion_stage3.runs.run_statistics import RankedTile, RunStatistics
    from axion_stage3.runs.statistics_table import UnusableTile


_POINTS: Final = ("min", "p05", "median", "p95", "max")
_MOST_FOLDERS: Final = 20
_MOST_UNUSABLE: Final = 10
_LABEL: Final = 30


def statistics_text(statistics: RunStatistics) -> str:
    """Everything about one run."""
    sections = [
        _overview(statistics),
        _bands(statistics),
        _spreads(statistics),
        _folders(statistics),
        _ranked("Most changed tiles", statistics.most_changed),
        _ranked("Least changed tiles", statistics.least_changed),
        _outliers(statistics),
        _reasons("Without statistics", statistics.table.unusable, _MOST_UNUSABLE),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def comparison_text(comparison: RunComparison, n_listed: int) -> str:
    """Which tiles differ between two runs, and by how much.

    Args:
        comparison: The two runs.
        n_listed: Longest list of tiles.
    """
    counts = {
        "Equal": comparison.n_equal,
        "Different": len(comparison.differences),
        "Only here": len(comparison.only_first),
        "Only there": len(comparison.only_second),
        "Not comparable": len(comparison.not_comparable),
    }
    lines = [
        f"Compared with {printable(str(comparison.second))}",
        *(f"  {word:<{_LABEL}}{count:>10,}" for word, count in counts.items()),
    ]
    differing = [
        (tile.tile_name, decimal(tile.difference_mean), decimal(tile.difference_max))
        for tile in comparison.differences[:n_listed]
    ]
    if differing:
        lines += ["", *_table(("Tiles that differ, the most first", "mean", "max"), differing)]
        lines += _more(len(comparison.differences) - n_listed)
    if comparison.not_comparable:
        lines += ["", *_reasons("Not comparable", comparison.not_comparable, n_listed)]
    return "\n".join(lines)


def _overview(statistics: RunStatistics) -> list[str]:
    aggregate = statistics.aggregate_stats
    is_recomputed = statistics.table.source == "outputs"
    yes = "yes, all that is recomputed" if is_recomputed else "yes, exactly"
    agrees = {True: yes, False: "NO", None: "there is no summary"}
    facts = {
        "Mean output value": decimal(aggregate["opt_final_mean"]),
        "Mean output std": decimal(aggregate["opt_final_std"]),
        "Mean change from Stage 2": decimal(aggregate["change_mean"]),
        "Max change from Stage 2": decimal(aggregate["change_max"]),
        "Read from": statistics.table.source,
        "Agrees with the summary": agrees[statistics.agrees_with_summary],
    }
    n_tiles = counted(len(statistics.table.names), "tile")
    return [
        f"{n_tiles} in {printable(str(statistics.output_dir))}",
        *(f"  {word:<{_LABEL}}{fact:>10}" for word, fact in facts.items()),
    ]


def _bands(statistics: RunStatistics) -> list[str]:
    aggregate = statistics.aggregate_stats
    quantities = {
        "mean": "mean", "std": "std", "min": "min", "max": "max", "change_mean": "change",
    }  # fmt: skip
    rows = [
        (band, *(decimal(aggregate.get(f"{band}_{quantity}")) for quantity in quantities))
        for band in OPTICAL_BANDS
        if f"{band}_mean" in aggregate
    ]
    return _table(("Bands", *quantities.values()), rows)


def _spreads(statistics: RunStatistics) -> list[str]:
    spreads = statistics.distributions
    rows = [
        (name, *(decimal(getattr(spreads[name], point)) for point in _POINTS))
        for name in OUTLIER_FIELDS
        if name in spreads
    ]
    return _table(("Over the tiles", *_POINTS), rows)


def _folders(statistics: RunStatistics) -> list[str]:
    if len(statistics.folders) < 2:
        return []
    rows = [
        (
            folder.folder,
            f"{folder.aggregate_stats['n_tiles']:,}",
            *(decimal(folder.aggregate_stats[name]) for name in GUIDE_FIELDS),
        )
        for folder in statistics.folders
    ]
    heading = ("Folders", "tiles", "mean", "std", "change", "max")
    return _table(heading, rows[:_MOST_FOLDERS]) + _more(len(rows) - _MOST_FOLDERS)


def _ranked(title: str, tiles: Iterable[RankedTile]) -> list[str]:
    rows = [(tile.tile_name, decimal(tile.change_mean), decimal(tile.change_max)) for tile in tiles]
    return _table((title, "mean", "max"), rows)


def _outliers(statistics: RunStatistics) -> list[str]:
    outliers = statistics.outliers
    if not outliers:
        return []
    rows = [
        (outlier.tile_name, outlier.field, decimal(outlier.value), f"{outlier.robust_z:+.1f}")
        for outlier in outliers
    ]
    heading = ("Outliers (robust |z| above 3.5)", "field", "value", "z")
    return _table(heading, rows, widths=(16, 10, 8)) + _more(statistics.n_outliers - len(outliers))


def _reasons(title: str, tiles: Sequence[UnusableTile], n_listed: int) -> list[str]:
    lines = [f"{title}: {counted(len(tiles), 'tile')}"] if tiles else []
    for tile in tiles[:n_listed]:
        lines += [f"  {printable(tile.tile_name)}", f"    {printable(tile.reason)}"]
    return lines + _more(len(tiles) - n_listed)


def _table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int] | None = None
) -> list[str]:
    """Lines of a table: names to the left, cut to what the width leaves them, cells to the right.

    Empty if there are no rows.
    """
    if not rows:
        return []
    widths = widths or [10] * (len(heading) - 1)
    room = WIDTH - sum(widths)
    names = [heading[0], *(f"  {shortened(printable(row[0]), room - 3)}" for row in rows)]
    longest = max(len(name) for name in names)
    return [
        f"{name:<{longest}}"
        + "".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        for name, row in zip(names, (heading, *rows), strict=True)
    ]


def _more(n_more: int) -> list[str]:
    return [f"  ... and {n_more:,} more"] if n_more > 0 else []
