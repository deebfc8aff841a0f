"""What the tiles of a run come to: aggregate, distributions, folders, extremes and outliers."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import UsageError
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.runs.statistics_table import (
    StatisticsTable,
    compute_statistics,
    read_statistics,
)
from axion_stage3.statistics.accumulators import RunAggregate
from axion_stage3.statistics.distributions import (
    OUTLIER_THRESHOLD,
    Distribution,
    distribution,
    robust_z_scores,
)
from axion_stage3.tiles.bands import OPTICAL_BANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from axion_stage3.runs.statistics_table import Source

RANKED_BY: Final = "change_mean"
"""Field by which tiles are called most and least changed."""

OUTLIER_FIELDS: Final = (
    "opt_final_mean",
    "opt_final_std",
    "change_mean",
    "change_max",
    *(f"{band}_mean" for band in OPTICAL_BANDS),
    "ndvi_mean",
)
"""Fields in which a tile can be an outlier: extremes of single pixels say too little of a tile."""

DEFAULT_LISTED: Final = 10

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class RankedTile:
    """A tile among the most or the least changed.

    Attributes:
        tile_name: The tile.
        change_mean: Mean of |opt_final - opt_v2|, reflectance.
        change_max: Largest |opt_final - opt_v2|, reflectance; None if the run did not say.
    """

    tile_name: str
    change_mean: float
    change_max: float | None


@dataclass(frozen=True, slots=True)
class Outlier:
    """A tile that stands out from the others.

    Attributes:
        tile_name: The tile.
        field: The field in which it stands out most.
        value: Its value there.
        median: Median of that field over all tiles.
        robust_z: Distance from the median in robust standard deviations; negative below it.
        n_fields: Number of fields in which the tile is an outlier.
    """

    tile_name: str
    field: str
    value: float
    median: float
    robust_z: float
    n_fields: int


@dataclass(frozen=True, slots=True)
class FolderStatistics:
    """The tiles of one folder.

    Attributes:
        folder: Posix path below the output folder; ``.`` is the output folder itself.
        aggregate_stats: As in the run summary, for these tiles alone.
    """

    folder: str
    aggregate_stats: dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """Everything that ``axion-stage3 stats`` says about one run.

    Attributes:
        output_dir: The run's output folder.
        table: The statistics of every tile.
        aggregate_stats: As in the run summary.
        agrees_with_summary: Whether ``inference_summary.json`` says exactly the same; None if it
            is not there or says nothing of it. Of recomputed tiles, only the fields that were
            computed are compared, to rounding: not the grounding score, nor indices but NDVI.
        distributions: By field.
        folders: Per folder of tiles, sorted; a single entry if there are no sub-folders.
        most_changed: The largest ``change_mean`` first.
        least_changed: The smallest ``change_mean`` first.
        outliers: The largest |robust z| first, cut to the number asked for.
        n_outliers: Number of tiles that are outliers in at least one field.
    """

    output_dir: Path
    table: StatisticsTable
    aggregate_stats: Mapping[str, float | int | None]
    agrees_with_summary: bool | None
    distributions: Mapping[str, Distribution]
    folders: tuple[FolderStatistics, ...]
    most_changed: tuple[RankedTile, ...]
    least_changed: tuple[RankedTile, ...]
    outliers: tuple[Outlier, ...]
    n_outliers: int


def run_statistics(
    output_dir: AnyPath,
    *,
    recompute: bool = False,
    opt_v2_dir: AnyPath | None = None,
    s1_dir: AnyPath | None = None,
    n_listed: int = DEFAULT_LISTED,
    on_tile: Callable[[], object] | None = None,
) -> RunStatistics:
    """Describe the tiles of a run.

    Args:
        output_dir: The output folder.
        recompute: Compute the tiles' statistics from their pixels instead of reading them.
        opt_v2_dir: Folder of opt_v2 tiles for ``recompute``; None for the one the run recorded.
        s1_dir: Folder of s1 tiles for ``recompute``; None for the one the run recorded.
        n_listed: Longest list of tiles by name.
        on_tile: Called after each tile that was recomputed.

    Raises:
        UsageError: An input folder is given without ``recompute``.
        InputFolderError: A folder is not there.
        InputError: There are no statistics, or no tiles to compute them from.
        OutputError: A journal cannot be read.
    """
    if not recompute and (opt_v2_dir or s1_dir):
        raise UsageError(
            "Input folders are read only where statistics are computed anew.",
            hint="Add --recompute, or leave --opt-v2-dir and --s1-dir out.",
        )
    folder = RunFolder(
        Path(output_dir), opt_v2_dir=path_or_none(opt_v2_dir), s1_dir=path_or_none(s1_dir)
    )
    table = compute_statistics(folder, on_tile=on_tile) if recompute else read_statistics(folder)
    return describe_run(folder, table, n_listed=n_listed)


def describe_run(
    folder: RunFolder, table: StatisticsTable, *, n_listed: int = DEFAULT_LISTED
) -> RunStatistics:
    """Describe tiles whose statistics are known.

    Args:
        folder: The run.
        table: Its statistics.
        n_listed: Longest list of tiles by name.
    """
    by_folder = _by_folder(table)
    whole = RunAggregate()
    for part in by_folder.values():
        whole.merge(part)
    aggregate = whole.result()
    spreads = {name: distribution(values) for name, values in table.columns.items()}
    outliers = _outliers(table)
    return RunStatistics(
        output_dir=folder.output_dir,
        table=table,
        aggregate_stats=aggregate,
        agrees_with_summary=_agrees(aggregate, folder.summary(), table.source),
        distributions={name: spread for name, spread in spreads.items() if spread is not None},
        folders=tuple(FolderStatistics(name, part.result()) for name, part in by_folder.items()),
        most_changed=_ranked(table, n_listed, largest_first=True),
        least_changed=_ranked(table, n_listed, largest_first=False),
        outliers=tuple(outliers[:n_listed]),
        n_outliers=len(outliers),
    )


def _agrees(
    aggregate: Mapping[str, float | int | None], summary: Mapping[str, Any] | None, source: Source
) -> bool | None:
    recorded = None if summary is None else summary.get("aggregate_stats")
    if not isinstance(recorded, dict) or not recorded:
        return None
    if source != "outputs":
        return all(name in aggregate and aggregate[name] == recorded[name] for name in recorded)
    # What is not computed anew (the grounding score, further indices) cannot disagree.
    names = recorded.keys() & aggregate.keys()
    return all(_is_near(aggregate[name], recorded[name]) for name in names)


def _is_near(computed: float | None, recorded: object) -> bool:
    """Whether two aggregates differ by rounding alone: devices sum in an order of their own."""
    if computed is None or not isinstance(recorded, int | float):
        return computed is recorded
    return math.isclose(computed, recorded, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _by_folder(table: StatisticsTable) -> dict[str, RunAggregate]:
    """Aggregates of the folders, sorted; merged in any order they are that of the run."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(table.names):
        members[name.rpartition("/")[0] or "."].append(index)
    return {folder: table.aggregate(members[folder]) for folder in sorted(members)}


def _ranked(
    table: StatisticsTable, n_listed: int, *, largest_first: bool
) -> tuple[RankedTile, ...]:
    changes = table.columns.get(RANKED_BY)
    if changes is None:
        return ()
    order = _order(-changes if largest_first else changes)
    highest = table.columns.get("change_max")
    return tuple(
        RankedTile(
            table.names[index],
            float(changes[index]),
            None if highest is None or np.isnan(highest[index]) else float(highest[index]),
        )
        for index in order[:n_listed]
        if not np.isnan(changes[index])
    )


def _order(keys: NDArray[np.float64]) -> list[int]:
    """Places in ascending order, NaN last, equal ones in the order of their names."""
    return [int(index) for index in np.argsort(keys, kind="stable")]


def _outliers(table: StatisticsTable) -> list[Outlier]:
    """All tiles that stand out in at least one field, the farthest first."""
    fields = [name for name in OUTLIER_FIELDS if name in table.columns]
    if not fields:
        return []
    scores = np.stack([robust_z_scores(table.columns[name]) for name in fields])
    is_out = np.abs(scores) > OUTLIER_THRESHOLD
    strongest = np.abs(scores).argmax(axis=0)
    found = []
    for index in np.flatnonzero(is_out.any(axis=0)):
        name = fields[strongest[index]]
        column = table.columns[name]
        found.append(
            Outlier(
                tile_name=table.names[index],
                field=name,
                value=float(column[index]),
                median=float(np.nanmedian(column)),
                robust_z=float(scores[strongest[index], index]),
                n_fields=int(is_out[:, index].sum()),
            )
        )
    return sorted(found, key=lambda outlier: (-abs(outlier.robust_z), outlier.tile_name))
