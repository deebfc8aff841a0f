"""Pictures of a run: a figure per tile, contact sheets and the report, in one folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import InputError, InputFolderError, TileError, TileLayoutError, UsageError
from axion_stage3.exporting.chosen_tiles import chosen_tiles
from axion_stage3.exporting.html_report import write_report
from axion_stage3.exporting.output_folder import make_folder, require_apart
from axion_stage3.exporting.plotting import require_matplotlib
from axion_stage3.exporting.report_content import (
    gather_report,
    known_statistics,
    measure_against_truth,
)
from axion_stage3.exporting.run_drawing import RunDrawing
from axion_stage3.exporting.run_pictures import require_truth
from axion_stage3.inspection.validation import validate_run
from axion_stage3.inspection.validation_summary import FindingCount, SummaryBuilder
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.progress import no_progress
from axion_stage3.runs.output_links import refuse_links_outward
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.statistics.spectral_indices import find_indices
from axion_stage3.tiles.layouts import OUTPUT_LAYOUTS, recognise
from axion_stage3.tiles.npz_reader import NpzArchive

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from axion_stage3.exporting.run_pictures import TruthScore
    from axion_stage3.progress import Progress
    from axion_stage3.runs.run_statistics import RunStatistics

PARTS: Final = ("report", "figures", "sheets")
VISUALS_FOLDER: Final = "visuals"
REPORT_NAME: Final = "report.html"
DEFAULT_LIMIT: Final = 48
VISUALIZATION_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class UndrawnTile:
    """A tile that could not be drawn.

    Attributes:
        tile_name: The tile.
        reason: Why.
    """

    tile_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Visualization:
    """What was drawn.

    Attributes:
        schema_version: Version of this layout.
        command: ``visualize``.
        output_dir: The run's output folder.
        n_tiles: Number of tiles that the run wrote.
        n_chosen: Number of them that figures and contact sheets show.
        report: The HTML report; null if it was not wanted.
        figures: The figures, in the order of the tiles.
        contact_sheets: The contact sheets, in their order.
        undrawn: Tiles that could not be drawn.
    """

    schema_version: int
    command: str
    output_dir: str
    n_tiles: int
    n_chosen: int
    report: str | None
    figures: tuple[str, ...]
    contact_sheets: tuple[str, ...]
    undrawn: tuple[UndrawnTile, ...]


def visualize_run(
    output_dir: AnyPath,
    *,
    into: AnyPath | None = None,
    parts: Collection[str] = frozenset(PARTS),
    tiles: Sequence[str] = (),
    limit: int = DEFAULT_LIMIT,
    truth_dir: AnyPath | None = None,
    opt_v2_dir: AnyPath | None = None,
    s1_dir: AnyPath | None = None,
    with_findings: bool = True,
    indices: str | None = None,
    n_workers: int = 1,
    progress: Progress = no_progress,
) -> Visualization:
    """Draw the tiles of a run and write its report.

    Args:
        output_dir: The output folder.
        into: Where pictures and report go; ``visuals`` in the output folder if None.
        parts: What is made: ``report`` (report.html, needs no extra), ``figures``
            (figures/NAME.png) and ``sheets`` (sheet-001.png, ...).
        tiles: Names of the tiles for figures and sheets, with or without ``.npz``; empty for the
            most changed ones.
        limit: Most tiles that are chosen if none is named; 0 for all.
        truth_dir: Folder of truth tiles, matched by name; None if there are none.
        opt_v2_dir: Folder of opt_v2 tiles; None for the one the run recorded.
        s1_dir: Folder of s1 tiles; None for the one the run recorded.
        with_findings: Whether all tiles are checked for the report.
        indices: Spectral indices that the figures show, such as ``EVI2,NDWI``; None for NDVI.
        n_workers: Processes that check tiles.
        progress: Shows how far the work is.

    Raises:
        UsageError: There is no such part, or no such index, the limit is below 0, or ``into`` lies
            in an input folder.
        InputFolderError: A folder is not there.
        InputError: The output folder holds no tile, none that ``infer`` wrote, or none of a name
            that was given; or no tile has a truth in ``truth_dir``.
        MissingExtraError: Figures or sheets are wanted and matplotlib is not installed.
        OutputError: A file cannot be written, or ``visuals`` is a link out of the output folder.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise UsageError(
            f"There is no part {unknown[0]!r} to make.", hint=f"Parts: {', '.join(PARTS)}."
        )
    if limit < 0:
        raise UsageError(
            f"The limit is {limit}.", hint="Give 0 for all tiles, or a number of them."
        )
    truth_dir, output_dir = path_or_none(truth_dir), Path(output_dir)
    shown = find_indices(indices)
    if truth_dir is not None and not truth_dir.is_dir():
        raise InputFolderError(
            f"The folder {truth_dir} does not exist.", hint="Check the path.", path=truth_dir
        )
    folder = RunFolder(output_dir, opt_v2_dir=path_or_none(opt_v2_dir), s1_dir=path_or_none(s1_dir))
    require_apart(folder, path_or_none(into), truth_dir=truth_dir)
    target = path_or_none(into) or output_dir / VISUALS_FOLDER
    if into is None:
        refuse_links_outward(output_dir, (VISUALS_FOLDER,))
    names, wanted = chosen_tiles(folder, tiles)
    _require_output(folder, names[0])
    if truth_dir is not None:
        require_truth(folder, wanted or names, truth_dir)
    if set(parts) != {"report"}:
        require_matplotlib()
    statistics = known_statistics(folder)
    changes = _changes(statistics)
    chosen = wanted or _most_changed(names, changes, limit)
    make_folder(target)
    report: Path | None = None
    if "report" in parts:
        report = target / REPORT_NAME
        findings = _findings(folder, n_workers, progress) if with_findings else None
        scores = _scores(folder, names, truth_dir, progress)
        content = gather_report(
            folder,
            statistics,
            truth_dir=truth_dir,
            scores=scores,
            n_unscored=0 if truth_dir is None else len(names) - len(scores),
            findings=findings,
        )
        write_report(report, content)
    drawing = RunDrawing(folder, target, truth_dir, progress, shown)
    figures = drawing.figures(chosen) if "figures" in parts else []
    sheets = drawing.sheets(chosen, changes) if "sheets" in parts else []
    return Visualization(
        schema_version=VISUALIZATION_SCHEMA,
        command="visualize",
        output_dir=str(output_dir),
        n_tiles=len(names),
        n_chosen=len(chosen),
        report=None if report is None else str(report),
        figures=tuple(map(str, figures)),
        contact_sheets=tuple(map(str, sheets)),
        undrawn=tuple(
            UndrawnTile(name, reason) for name, reason in sorted(drawing.undrawn.items())
        ),
    )


def _require_output(folder: RunFolder, name: str) -> None:
    """Refuse a folder of input tiles; outputs may have been moved away from their run's records.

    Raises:
        InputError: No run was recorded there, and this tile is not an output.
    """
    if folder.manifest:
        return
    try:
        with NpzArchive(folder.path(name)) as archive:
            recognise(archive.names, OUTPUT_LAYOUTS)
    except TileLayoutError as error:
        raise InputError(
            f"{folder.output_dir} holds no output of infer: no run was recorded there, and {name} "
            "has no opt_final.",
            hint="Give the --output-dir of a run; is this a folder of input tiles?",
            path=folder.output_dir,
            tile_name=name,
        ) from error
    except TileError:
        return  # a damaged tile says nothing about the others, and is named when it is drawn


def _changes(statistics: RunStatistics) -> dict[str, float]:
    """Mean change by tile name, as far as it is known."""
    table = statistics.table
    values = table.columns.get("change_mean")
    if values is None:
        return {}
    pairs = zip(table.names, values.tolist(), strict=True)
    return {name: change for name, change in pairs if not math.isnan(change)}


def _most_changed(names: list[str], changes: dict[str, float], limit: int) -> list[str]:
    """At most ``limit`` names, the most changed, sorted by name; all if ``limit`` is 0."""
    if not limit or len(names) <= limit:
        return names
    ranked = sorted(names, key=lambda name: -changes.get(name, -math.inf))
    return sorted(ranked[:limit])


def _scores(
    folder: RunFolder, names: list[str], truth_dir: Path | None, progress: Progress
) -> dict[str, TruthScore]:
    if truth_dir is None:
        return {}
    with progress("Comparing with the truth", len(names)) as shown:
        return measure_against_truth(folder, names, truth_dir, on_tile=shown.advance)


def _findings(folder: RunFolder, n_workers: int, progress: Progress) -> tuple[FindingCount, ...]:
    validation = validate_run(
        folder.output_dir,
        opt_v2_dir=folder.opt_v2_dir,
        s1_dir=folder.s1_dir,
        n_workers=n_workers,
    )
    builder = SummaryBuilder()
    with progress("Checking tiles", validation.n_tiles) as shown:
        for result in validation:
            builder.add(result)
            shown.advance()
    return builder.summary().findings
