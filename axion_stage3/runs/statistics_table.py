"""The statistics of all tiles of a run as columns, read from what the run left or made anew."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from axion_stage3.errors import InputError, TileError
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.summary import (
    STATISTICS_LINES_NAME,
    STATISTICS_NAME,
    statistics_path,
)
from axion_stage3.statistics.accumulators import RunAggregate
from axion_stage3.statistics.tile_statistics import TILE_NAME, tile_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from axion_stage3.runs.journal_index import TileRecord
    from axion_stage3.runs.run_folder import RunFolder

    Row = Mapping[str, float | str]

Source = Literal["tile_statistics.json", "tile_statistics.jsonl", "journals", "outputs"]

_N_THREADS: Final = 2
_CHUNK: Final = 64
_RECOMPUTE_HINT: Final = "--recompute computes them from the output tiles."


@dataclass(frozen=True, slots=True)
class UnusableTile:
    """A tile that has no statistics.

    Attributes:
        tile_name: The tile.
        reason: Why it has none.
    """

    tile_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class StatisticsTable:
    """Statistics of the tiles of a run, about 250 bytes a tile.

    Attributes:
        names: Names of the tiles, sorted.
        columns: Field name to (tile,) float64 in the order of ``names``; NaN where a tile lacks the
            field. The fields are in the order of the first tile that has them.
        source: Where they came from.
        unusable: Tiles whose statistics are missing or not finite, sorted by name.
    """

    names: tuple[str, ...]
    columns: dict[str, NDArray[np.float64]]
    source: Source
    unusable: tuple[UnusableTile, ...] = ()

    def row(self, index: int) -> dict[str, float | str]:
        """The statistics of one tile, as ``tile_statistics`` made them."""
        values = {name: float(column[index]) for name, column in self.columns.items()}
        return {
            TILE_NAME: self.names[index],
            **{name: value for name, value in values.items() if not math.isnan(value)},
        }

    def aggregate(self, indices: Sequence[int] | None = None) -> RunAggregate:
        """Aggregate tiles exactly as a run does.

        Args:
            indices: The tiles, by their place in ``names``; None for all.
        """
        aggregate = RunAggregate()
        for index in range(len(self.names)) if indices is None else indices:
            aggregate.add(self.row(index))
        return aggregate


@dataclass(slots=True)
class _Collector:
    """Takes in rows one by one and turns them into columns."""

    names: list[str] = field(default_factory=list)
    columns: dict[str, list[float]] = field(default_factory=dict)
    unusable: list[UnusableTile] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        name = row.get(TILE_NAME)
        if not isinstance(name, str) or not name:
            raise ValueError(f"an entry has no {TILE_NAME!r}")
        values: dict[str, float] = {}
        for key, value in row.items():
            if key == TILE_NAME or isinstance(value, str):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise ValueError(f"{key!r} of {name!r} is not a number")
            # A number that JSON cannot say was written as null.
            values[key] = math.nan if value is None else float(value)
        broken = [key for key, value in values.items() if not math.isfinite(value)]
        if broken:
            self.unusable.append(UnusableTile(name, f"{', '.join(broken[:3])} is not finite"))
            return
        for key, value in values.items():
            self._column(key).append(value)
        self.names.append(name)
        for column in self.columns.values():
            if len(column) < len(self.names):
                column.append(math.nan)

    def _column(self, key: str) -> list[float]:
        if key not in self.columns:
            self.columns[key] = [math.nan] * len(self.names)
        return self.columns[key]

    def table(self, source: Source) -> StatisticsTable:
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        names = tuple(self.names[index] for index in order)
        for first, second in pairwise(names):
            if first == second:
                raise ValueError(f"{first!r} is there twice")
        return StatisticsTable(
            names,
            {key: np.array(column)[order] for key, column in self.columns.items()},
            source,
            tuple(sorted(self.unusable, key=lambda tile: tile.tile_name)),
        )


def read_statistics(folder: RunFolder) -> StatisticsTable:
    """Read the statistics that a run left: ``tile_statistics.json(l)``, or else its journals.

    Args:
        folder: The run.

    Raises:
        InputError: There are none, or the file holds something else.
        OutputError: A journal cannot be read.
    """
    path = Path(str(statistics_path(folder.output_dir)))
    if path.is_file():
        try:
            return _from_lines(path) if path.name == STATISTICS_LINES_NAME else _from_list(path)
        except (OSError, ValueError, RecursionError, OverflowError) as error:
            raise InputError(
                f"{path} does not hold the statistics of tiles: {error}.",
                hint=_RECOMPUTE_HINT,
                path=path,
            ) from error
    table = _from_journals(folder)
    if not table.names and not table.unusable:
        raise InputError(
            f"{folder.output_dir} holds no statistics: neither {STATISTICS_NAME} nor a journal "
            "with a finished tile.",
            hint=_RECOMPUTE_HINT if folder.tiles() else "Is this the output folder of a run?",
            path=folder.output_dir,
        )
    return table


def compute_statistics(
    folder: RunFolder, *, on_tile: Callable[[], object] | None = None
) -> StatisticsTable:
    """Compute the statistics of all output tiles anew, from their pixels.

    Tiles that cannot be read, or whose opt_v2 is not to be found, are listed as unusable.

    Args:
        folder: The run.
        on_tile: Called after each tile.

    Raises:
        InputError: The folder holds no tile.
    """
    names = list(folder.require_tiles())
    collector = _Collector()
    for row in _computed_rows(folder, names):
        if isinstance(row, UnusableTile):
            collector.unusable.append(row)
        else:
            collector.add(row)
        if on_tile is not None:
            on_tile()
    return collector.table("outputs")


def _from_list(path: Path) -> StatisticsTable:
    collector = _Collector()
    # Each entry becomes columns as soon as it is parsed: 100,000 dicts would fill memory.
    rest = json.loads(path.read_bytes(), object_pairs_hook=lambda row: _take(collector, row))
    if not isinstance(rest, list) or any(entry is not _TAKEN for entry in rest):
        raise ValueError("it is not a list of objects")
    return collector.table(STATISTICS_NAME)


def _from_lines(path: Path) -> StatisticsTable:
    collector = _Collector()
    with path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line is not an object")
            collector.add(row)
    return collector.table(STATISTICS_LINES_NAME)


_TAKEN: Final = object()


def _take(collector: _Collector, row: list[tuple[str, Any]]) -> object:
    collector.add(dict(row))
    return _TAKEN


def _from_journals(folder: RunFolder) -> StatisticsTable:
    index = read_journals(folder.output_dir / RUNS_FOLDER)
    digest = folder.manifest.get("configuration_digest")
    names = [name for name in index if _is_of(index.get(name), digest)]
    collector = _Collector()
    for outcome in index.outcomes(names):
        if outcome.statistics is not None:
            collector.add({**outcome.statistics, TILE_NAME: outcome.tile})
    return collector.table("journals")


def _is_of(record: TileRecord | None, digest: object) -> bool:
    """Whether a tile's latest outcome is of the configuration ``digest``, or of any if None."""
    return record is not None and digest in (None, record.configuration_digest)


def _computed_rows(folder: RunFolder, names: list[str]) -> Iterator[Row | UnusableTile]:
    # In chunks, so that no more than a few results wait to be taken, however many tiles there are.
    with ThreadPoolExecutor(_N_THREADS) as executor:
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            yield from executor.map(lambda name: _computed_row(folder, name), chunk)


def _computed_row(folder: RunFolder, name: str) -> Row | UnusableTile:
    try:
        tile = folder.load(name)
    except TileError as error:
        return UnusableTile(name, error.message)
    if tile.opt_v2 is None:
        return UnusableTile(name, "its opt_v2 was not found; --opt-v2-dir names its folder")
    return tile_statistics(name, tile.opt_final, tile.opt_v2, tile.s1)
