"""What the report of a run says, gathered before a word of HTML is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import InputError, TileError
from axion_stage3.exporting.run_pictures import (
    Picture,
    TruthScore,
    brightest_change,
    load_truth,
    small_pictures,
    truth_score,
)
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.run_statistics import describe_run
from axion_stage3.runs.statistics_table import compute_statistics, read_statistics
from axion_stage3.runs.summary import build_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from axion_stage3.inspection.validation_summary import FindingCount
    from axion_stage3.runs.run_folder import RunFolder
    from axion_stage3.runs.run_statistics import RunStatistics

N_PICTURED: Final = 6
"""Tiles that each gallery of the report shows."""

_PICTURE_PX: Final = 132
_SUMMARY_NUMBERS: Final = (
    "total_tiles", "processed", "failed", "success_rate", "processing_time_seconds",
    "tiles_per_second",
)  # fmt: skip
_MORE_NUMBERS: Final = ("skipped", "pending", "failed_tiles_omitted")


@dataclass(frozen=True, slots=True)
class PicturedTile:
    """A tile in a gallery.

    Attributes:
        name: The tile.
        pictures: What it looks like; empty if it cannot be read.
        facts: Label and value of its numbers.
        trouble: Why it cannot be shown, else empty.
    """

    name: str
    pictures: tuple[Picture, ...]
    facts: tuple[tuple[str, float], ...]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """A few tiles that have something in common.

    Attributes:
        title: What they have in common.
        explanation: What to make of it.
        tiles: The tiles.
    """

    title: str
    explanation: str
    tiles: tuple[PicturedTile, ...]


@dataclass(frozen=True, slots=True)
class RunReport:
    """What the report says.

    Attributes:
        manifest: What the run recorded about itself; empty if nothing is there.
        summary: The run's summary, from the journals if the run did not end; empty if neither.
        statistics: Of its tiles.
        galleries: Tiles with pictures.
        scores: Distance to the truth by tile name; empty without truth.
        n_unscored: Number of tiles that could not be compared with the truth; 0 without truth.
        findings: What the checks found, the worst first; None if they were not run.
        brightest_change: Change that has the brightest colour in the pictures, reflectance.
    """

    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    statistics: RunStatistics
    galleries: tuple[Gallery, ...]
    scores: Mapping[str, TruthScore]
    n_unscored: int
    findings: tuple[FindingCount, ...] | None
    brightest_change: float


def known_statistics(folder: RunFolder) -> RunStatistics:
    """The statistics that a run left, or else those computed from its tiles.

    Raises:
        InputError: The folder holds neither statistics nor tiles.
        OutputError: A journal cannot be read.
    """
    try:
        table = read_statistics(folder)
    except InputError:
        table = compute_statistics(folder)
    return describe_run(folder, table, n_listed=N_PICTURED)


def measure_against_truth(
    folder: RunFolder,
    names: Iterable[str],
    truth_dir: Path,
    *,
    on_tile: Callable[[], object] | None = None,
) -> dict[str, TruthScore]:
    """Measure tiles against the truth; those without one, or unreadable, are left out.

    Args:
        folder: The run.
        names: The tiles.
        truth_dir: Folder of truth tiles.
        on_tile: Called after each tile.
    """
    scores = {}
    for name in names:
        try:
            tile = folder.load(name)
            truth = load_truth(folder, tile, truth_dir)
            if truth is not None:
                scores[name] = truth_score(tile, truth)
        except TileError:
            continue
        finally:
            if on_tile is not None:
                on_tile()
    return scores


def gather_report(
    folder: RunFolder,
    statistics: RunStatistics,
    *,
    truth_dir: Path | None = None,
    scores: Mapping[str, TruthScore] | None = None,
    n_unscored: int = 0,
    findings: Sequence[FindingCount] | None = None,
) -> RunReport:
    """Gather what the report says.

    Args:
        folder: The run.
        statistics: Of its tiles.
        truth_dir: Folder of truth tiles, for the pictures.
        scores: Distance to the truth by tile name.
        n_unscored: Number of tiles that could not be compared with the truth.
        findings: What the checks found; None if they were not run.

    Raises:
        OutputError: A journal cannot be read.
    """
    scores = scores or {}
    pick = _Picker(folder, statistics, truth_dir, scores)
    return RunReport(
        manifest=folder.manifest,
        summary=_summary(folder),
        statistics=statistics,
        galleries=tuple(gallery for gallery in pick.galleries() if gallery.tiles),
        scores=scores,
        n_unscored=n_unscored,
        findings=None if findings is None else tuple(findings),
        brightest_change=pick.brightest,
    )


class _Picker:
    """Chooses tiles worth a look and shows each of them once loaded."""

    def __init__(
        self,
        folder: RunFolder,
        statistics: RunStatistics,
        truth_dir: Path | None,
        scores: Mapping[str, TruthScore],
    ) -> None:
        self._folder = folder
        self._statistics = statistics
        self._truth_dir = truth_dir
        self._scores = scores
        changes = statistics.table.columns.get("change_mean")
        self.brightest = brightest_change(() if changes is None else changes.tolist())
        self._places = {name: place for place, name in enumerate(statistics.table.names)}

    def galleries(self) -> list[Gallery]:
        statistics = self._statistics
        galleries = []
        if self._scores:
            by_error = sorted(self._scores, key=lambda name: (-self._scores[name].opt_final, name))
            n_best = min(N_PICTURED, len(by_error) // 2)
            galleries += [
                self._gallery(
                    "Worst tiles",
                    "Farthest from the truth by the root mean square error of opt_final.",
                    by_error[:N_PICTURED],
                ),
                self._gallery(
                    "Best tiles",
                    "Nearest to the truth.",
                    by_error[::-1][:n_best],
                ),
            ]
        most = [tile.tile_name for tile in statistics.most_changed]
        least = [tile.tile_name for tile in statistics.least_changed if tile.tile_name not in most]
        outliers = [outlier.tile_name for outlier in statistics.outliers]
        galleries += [
            self._gallery(
                "Most changed tiles",
                "Where opt_final differs most from opt_v2. A large change is no fault in itself: "
                "look whether the radar supports it.",
                most,
            ),
            self._gallery("Least changed tiles", "Where opt_final is nearest to opt_v2.", least),
            self._gallery(
                "Outliers",
                "Tiles that stand out from the others in some statistic and are not shown above: "
                "often cloud, snow, water or a wrong input.",
                [name for name in outliers if name not in {*most, *least}],
            ),
        ]
        if not any(gallery.tiles for gallery in galleries):
            first = sorted(self._folder.tiles())[:N_PICTURED]
            galleries.append(self._gallery("Tiles", "The first tiles by name.", first))
        return galleries

    def _gallery(self, title: str, explanation: str, names: Sequence[str]) -> Gallery:
        shown = names[:N_PICTURED]
        return Gallery(title, explanation, tuple(self._pictured(name) for name in shown))

    def _pictured(self, name: str) -> PicturedTile:
        facts = self._facts(name)
        try:
            tile = self._folder.load(name)
            truth = load_truth(self._folder, tile, self._truth_dir)
        except TileError as error:
            return PicturedTile(name, (), facts, error.message)
        pictures = small_pictures(tile, truth, _PICTURE_PX, brightest=self.brightest)
        return PicturedTile(name, pictures, facts)

    def _facts(self, name: str) -> tuple[tuple[str, float], ...]:
        row: Mapping[str, float | str] = {}
        if name in self._places:
            row = self._statistics.table.row(self._places[name])
        labels = {"change_mean": "mean change", "change_max": "max change", "ndvi_mean": "NDVI"}
        facts = [(label, row[key]) for key, label in labels.items() if key in row]
        if name in self._scores:
            score = self._scores[name]
            facts.append(("RMSE", score.opt_final))
            if score.opt_v2 is not None:
                facts.append(("RMSE of opt_v2", score.opt_v2))
        return tuple((label, float(value)) for label, value in facts)


def _summary(folder: RunFolder) -> dict[str, Any]:
    """The summary that the run wrote, or else that of its journals; empty without both."""
    document = _checked(folder.summary())
    if document:
        return document
    index = read_journals(folder.output_dir / RUNS_FOLDER)
    digest = folder.manifest.get("configuration_digest")
    if not len(index) or not isinstance(digest, str):
        return {}
    return _checked(build_summary(index, digest))


def _checked(document: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entries of a summary that the report uses; empty if those of the guide are not there.

    A summary can come from another program that keeps the guide, or from an editor.
    """
    if document is None or not all(_is_number(document.get(name)) for name in _SUMMARY_NUMBERS):
        return {}
    failed = document.get("failed_tiles")
    seconds = document.get("stage_seconds")
    return {
        **{name: document[name] for name in _SUMMARY_NUMBERS},
        **{name: document[name] for name in _MORE_NUMBERS if _is_number(document.get(name))},
        "failed_tiles": [tile for tile in _list(failed) if isinstance(tile, dict)],
        "stage_seconds": {
            stage: value
            for stage, value in (seconds.items() if isinstance(seconds, dict) else ())
            if _is_number(value)
        },
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
