"""inference_summary.json and the statistics of all tiles, made from the journals alone.

So a run that was killed and resumed ends with the same documents as one that was not (times
aside), and shards merge into one. The summary's size does not grow with the number of tiles, and
no more than one tile's statistics are in memory at a time.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.atomic_write import remove_outdated, write_bytes, write_json
from axion_stage3.statistics.accumulators import RunAggregate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from axion_stage3.runs.journal_index import JournalIndex
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.storage.locations import Location

SUMMARY_SCHEMA: Final = 1
SUMMARY_NAME: Final = "inference_summary.json"
STATISTICS_NAME: Final = "tile_statistics.json"
STATISTICS_LINES_NAME: Final = "tile_statistics.jsonl"

MAX_STATISTICS_LISTED: Final = 100_000
"""Up to so many tiles, their statistics are one JSON document, which readers load as a whole (about
100 MB). Those of more tiles are JSON Lines, which they can read one by one."""

MAX_FAILED_TILES: Final = 1000
"""Failed tiles that the summary lists, by name; the journals have them all."""


def build_summary(
    index: JournalIndex,
    configuration_digest: str,
    tiles: Collection[str] | None = None,
    *,
    n_expected: int = 0,
) -> dict[str, Any]:
    """The document of ``inference_summary.json``.

    The guide's fields come first. ``processed`` counts the tiles written with this configuration,
    ``failed`` those that failed or were invalid, ``skipped`` those whose older output was kept,
    ``pending`` the rest. A kept output of which an earlier journal of the folder has the statistics
    is described like the others; ``success_rate`` counts it, but none that nothing is known of.
    Processing time adds up the sessions of this configuration, so that the throughput of a resumed
    run is honest.

    Args:
        index: All journals of the output folder.
        configuration_digest: Outcomes of other configurations do not count.
        tiles: Names of the run's tiles; None for every tile with an outcome (merging shards).
        n_expected: How many tiles there are at least, if ``tiles`` is None: those that have no
            outcome yet are pending.

    Raises:
        OutputError: A journal cannot be read.
    """
    report = _Report(index, configuration_digest, tiles, n_expected)
    for outcome in report.outcomes():
        report.add(outcome)
    return report.document()


def write_reports(
    output_dir: Location,
    index: JournalIndex,
    configuration_digest: str,
    tiles: Collection[str] | None = None,
    *,
    n_expected: int = 0,
) -> dict[str, Any]:
    """Write ``inference_summary.json`` and the statistics of all tiles into ``output_dir``.

    The statistics are sorted by tile name and written one tile a line: ``tile_statistics.json``, a
    list, or ``tile_statistics.jsonl`` if there are more than ``MAX_STATISTICS_LISTED``. Arguments
    as for ``build_summary``, whose document is returned.

    Raises:
        OutputError: A journal cannot be read or a file cannot be written.
    """
    report = _Report(index, configuration_digest, tiles, n_expected)
    if report.n_outcomes <= MAX_STATISTICS_LISTED:
        name, outdated, lines = STATISTICS_NAME, STATISTICS_LINES_NAME, report.listed_statistics()
    else:
        name, outdated, lines = STATISTICS_LINES_NAME, STATISTICS_NAME, report.statistics_lines()
    write_bytes(output_dir / name, lines)
    remove_outdated(output_dir / outdated)
    summary = report.document()
    write_json(output_dir / SUMMARY_NAME, summary)
    return summary


def remove_reports(output_dir: Location) -> None:
    """Remove the reports of an older run, whose tiles are no longer those that are there.

    Raises:
        OutputError: A report cannot be removed.
    """
    for name in (SUMMARY_NAME, STATISTICS_NAME, STATISTICS_LINES_NAME):
        remove_outdated(output_dir / name)


def statistics_path(output_dir: Location) -> Location:
    """Where the statistics of all tiles stand, in one of the two forms."""
    lines = output_dir / STATISTICS_LINES_NAME
    try:
        return lines if lines.is_file() else output_dir / STATISTICS_NAME
    except OSError:  # the run is over; a folder that cannot be asked must not undo that
        return output_dir / STATISTICS_NAME


@dataclass(frozen=True, slots=True)
class FailedTileRecord:
    """A tile that was not written, and why.

    Attributes:
        tile_name: Name of the tile.
        outcome: failed, or invalid if the result failed the automatic validation.
        phase: Where it failed: read, compute, check or write.
        error_code: Stable code of the error.
        reason: What went wrong.
        hint: What to do about it; may be empty.
    """

    tile_name: str
    outcome: str
    phase: str
    error_code: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The document of inference_summary.json; the guide's fields come first.

    Attributes:
        total_tiles: Number of tiles of the run.
        processed: Tiles written with this configuration.
        failed: Tiles that failed, those that failed the automatic validation included.
        success_rate: Share of the tiles that were written, 0..1: processed, and those of skipped
            that the journals know as written.
        processing_time_seconds: Time of all sessions of this configuration, in seconds.
        tiles_per_second: processed / processing_time_seconds.
        aggregate_stats: Statistics over the tiles: opt_final_mean, opt_final_std, change_mean
            (means), change_max (greatest), n_tiles, and more; reflectance. Null without a tile.
        skipped: Tiles whose older output was kept; those that the journals of the folder know are
            in the statistics too.
        pending: Tiles that the run did not come to.
        failed_tiles: Those that failed, by name; at most 1000.
        failed_tiles_omitted: Number of failed tiles that are not listed.
        stage_seconds: Time by stage, over all tiles, in seconds.
        schema: Version of this layout.
    """

    total_tiles: int
    processed: int
    failed: int
    success_rate: float
    processing_time_seconds: float
    tiles_per_second: float
    aggregate_stats: dict[str, float | int | None]
    skipped: int
    pending: int
    failed_tiles: list[FailedTileRecord]
    failed_tiles_omitted: int
    stage_seconds: dict[str, float]
    schema: int


class _Report:
    """Takes in outcomes by tile name and says what they come to."""

    def __init__(
        self,
        index: JournalIndex,
        configuration_digest: str,
        tiles: Collection[str] | None,
        n_expected: int,
    ) -> None:
        self._index = index
        self._digest = configuration_digest
        names = index if tiles is None else tiles
        self._tiles = sorted(name for name in names if self._counts(name))
        self._n_total = max(len(self._tiles), n_expected) if tiles is None else len(tiles)
        self._n_outcomes: Counter[str] = Counter()
        self._n_known_skipped = 0
        self._aggregate = RunAggregate()
        self._stage_seconds: Counter[str] = Counter()
        self._failed: list[FailedTileRecord] = []

    @property
    def n_outcomes(self) -> int:
        return len(self._tiles)

    def outcomes(self) -> Iterator[TileOutcome]:
        return self._index.outcomes(self._tiles)

    def add(self, outcome: TileOutcome) -> None:
        self._n_outcomes[outcome.outcome] += 1
        for stage, seconds in outcome.stage_seconds.items():
            self._stage_seconds[stage] += seconds  # type: ignore[assignment]
        if outcome.phase is not None and len(self._failed) < MAX_FAILED_TILES:
            self._failed.append(_failure(outcome))
        statistics = outcome.statistics
        self._n_known_skipped += outcome.outcome == "skipped" and statistics is not None
        # A value that JSON could not say (NaN, Inf) became null: such a tile is not aggregated.
        if statistics is not None and None not in statistics.values():
            self._aggregate.add(statistics)  # type: ignore[arg-type]

    def listed_statistics(self) -> Iterator[bytes]:
        yield b"["
        separator = b"\n  "
        for line in self.statistics_lines():
            yield separator + line.removesuffix(b"\n")
            separator = b",\n  "
        yield b"\n]\n"

    def statistics_lines(self) -> Iterator[bytes]:
        for outcome in self.outcomes():
            self.add(outcome)
            if outcome.statistics is not None:
                text = json.dumps(outcome.statistics, ensure_ascii=False)
                # A lone surrogate is spelled backslash-u, which is its spelling in JSON too.
                yield text.encode("utf-8", "backslashreplace") + b"\n"

    def document(self) -> dict[str, Any]:
        n_processed, n_skipped = self._n_outcomes["written"], self._n_outcomes["skipped"]
        n_failed = self._n_outcomes["failed"] + self._n_outcomes["invalid"]
        seconds = self._processing_time_seconds()
        summary = RunSummary(
            total_tiles=self._n_total,
            processed=n_processed,
            failed=n_failed,
            success_rate=_ratio(n_processed + self._n_known_skipped, self._n_total),
            processing_time_seconds=round(seconds, 3),
            tiles_per_second=round(_ratio(n_processed, seconds), 4),
            aggregate_stats=self._aggregate.result(),
            skipped=n_skipped,
            pending=self._n_total - n_processed - n_failed - n_skipped,
            failed_tiles=self._failed,
            failed_tiles_omitted=n_failed - len(self._failed),
            stage_seconds={
                stage: round(self._stage_seconds[stage], 3) for stage in sorted(self._stage_seconds)
            },
            schema=SUMMARY_SCHEMA,
        )
        return asdict(summary)

    def _counts(self, name: str) -> bool:
        record = self._index.get(name)
        return record is not None and record.configuration_digest == self._digest

    def _processing_time_seconds(self) -> float:
        # Without leases, parts that begin together have one number; their leaders differ.
        longest: dict[tuple[int, str], float] = {}
        for session in self._index.sessions:
            if session.configuration_digest == self._digest:
                key = session.session, session.leader or session.worker
                longest[key] = max(longest.get(key, 0.0), session.elapsed_seconds)
        return sum(longest.values())


def _failure(outcome: TileOutcome) -> FailedTileRecord:
    assert outcome.phase is not None, "only failed tiles have a phase"
    return FailedTileRecord(
        tile_name=outcome.tile,
        outcome=outcome.outcome,
        phase=outcome.phase,
        error_code=outcome.error_code,
        reason=outcome.message,
        hint=outcome.hint,
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
