"""The document of ``axion-stage3 stats --json``; docs/schemas/stats.schema.json describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The JSON schema is made from these classes, so that their names must be there at run time:
# ruff: noqa: TC001
from axion_stage3.runs.run_comparison import RunComparison, TileDifference
from axion_stage3.runs.run_statistics import FolderStatistics, Outlier, RankedTile, RunStatistics
from axion_stage3.runs.statistics_table import Source, UnusableTile
from axion_stage3.statistics.distributions import Distribution

STATISTICS_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """What two runs have in common.

    Attributes:
        against: Output folder of the other run.
        n_equal: Number of tiles that are equal in every pixel.
        n_different: Number of tiles that differ.
        differences: Tiles that differ, the largest difference_max first.
        only_here: Names of tiles that only this run has.
        only_there: Names of tiles that only the other run has.
        not_comparable: Tiles that cannot be read, or have another size in the other run.
    """

    against: str
    n_equal: int
    n_different: int
    differences: tuple[TileDifference, ...]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    not_comparable: tuple[UnusableTile, ...]


@dataclass(frozen=True, slots=True)
class StatisticsDocument:
    """What the tiles of a run come to.

    Attributes:
        schema_version: Version of this layout.
        command: ``stats``.
        output_dir: The run's output folder.
        source: Where the statistics of the tiles came from; ``outputs`` if they were recomputed.
        n_tiles: Number of tiles with statistics.
        aggregate_stats: As in inference_summary.json: greatest over the tiles for *_max, smallest
            for *_min, mean for all else.
        agrees_with_summary: Whether inference_summary.json says exactly the same; null if it is
            not there or says nothing of it. With source outputs, only the fields that were computed
            are compared, to rounding: not the grounding score, nor indices but NDVI.
        fields: Distribution over the tiles, by field.
        folders: Aggregate per folder of tiles.
        most_changed: The largest change_mean first.
        least_changed: The smallest change_mean first.
        n_outliers: Number of tiles that are outliers in at least one field.
        outliers: The farthest outliers.
        unusable: Tiles without statistics.
        comparison: How another run differs; null if none was given.
    """

    schema_version: int
    command: str
    output_dir: str
    source: Source
    n_tiles: int
    aggregate_stats: dict[str, float | int | None]
    agrees_with_summary: bool | None
    fields: dict[str, Distribution]
    folders: tuple[FolderStatistics, ...]
    most_changed: tuple[RankedTile, ...]
    least_changed: tuple[RankedTile, ...]
    n_outliers: int
    outliers: tuple[Outlier, ...]
    unusable: tuple[UnusableTile, ...]
    comparison: ComparisonRecord | None


def statistics_document(
    statistics: RunStatistics, comparison: RunComparison | None = None
) -> StatisticsDocument:
    """Make the document of a run, and of its comparison with another one."""
    return StatisticsDocument(
        schema_version=STATISTICS_SCHEMA,
        command="stats",
        output_dir=str(statistics.output_dir),
        source=statistics.table.source,
        n_tiles=len(statistics.table.names),
        aggregate_stats=dict(statistics.aggregate_stats),
        agrees_with_summary=statistics.agrees_with_summary,
        fields=dict(statistics.distributions),
        folders=statistics.folders,
        most_changed=statistics.most_changed,
        least_changed=statistics.least_changed,
        n_outliers=statistics.n_outliers,
        outliers=statistics.outliers,
        unusable=statistics.table.unusable,
        comparison=None if comparison is None else _record(comparison),
    )


def _record(comparison: RunComparison) -> ComparisonRecord:
    return ComparisonRecord(
        against=str(comparison.second),
        n_equal=comparison.n_equal,
        n_different=len(comparison.differences),
        differences=comparison.differences,
        only_here=comparison.only_first,
        only_there=comparison.only_second,
        not_comparable=comparison.not_comparable,
    )
