"""The checks of one tile as a piece of work that can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from axion_stage3.errors import TileError
from axion_stage3.inspection.finding_record import TileFindings, records_of
from axion_stage3.inspection.stored_tile import read_stored_tile
from axion_stage3.inspection.tile_checks import (
    ALIAS_KEY,
    SAVED_INPUT_KEY,
    check_input,
    check_output,
    check_pair,
)
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.storage.locations import file_bytes
from axion_stage3.tiles.checks_output import (
    TILE_FAILED,
    check_output_size,
    check_statistics,
)
from axion_stage3.tiles.tile_loading import load_optical

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from axion_stage3.inspection.stored_tile import StoredTile
    from axion_stage3.inspection.tile_checks import CheckOptions
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.findings import Finding, Subject


@dataclass(frozen=True, slots=True)
class InputTask:
    """Check a pair, or one tile where only one folder was given.

    Attributes:
        name: Name of the tile.
        opt_v2_path: File or URL of the opt_v2 tile.
        s1_path: File or URL of the s1 tile.
    """

    name: str
    opt_v2_path: Location | None = None
    s1_path: Location | None = None

    def run(self, options: CheckOptions) -> TileFindings:
        """Check the tiles."""
        findings: list[Finding] = []
        paths: dict[Subject, Location] = {}
        if self.opt_v2_path is not None:
            paths["opt_v2"] = self.opt_v2_path
        if self.s1_path is not None:
            paths["s1"] = self.s1_path
        checked = [
            check_input(read_stored_tile(path, subject), options) for subject, path in paths.items()
        ]
        for each in checked:
            findings += each.findings
        if len(checked) == 2:
            findings += check_pair(checked[0], checked[1], options)
        return TileFindings(self.name, tuple(records_of(findings, paths)))


@dataclass(frozen=True, slots=True)
class OutputTask:
    """Check an output and what the run recorded about it.

    Attributes:
        name: Name of the tile.
        path: File of the output.
        opt_v2_path: File of the opt_v2 tile it was made from; None if it is not known.
        outcome: The latest outcome in the journal; None if there is none.
        extra: What the parent process found already.
    """

    name: str
    path: Path
    opt_v2_path: Path | None = None
    outcome: TileOutcome | None = None
    extra: tuple[Finding, ...] = ()

    def run(self, options: CheckOptions) -> TileFindings:
        """Check the output."""
        findings = [*self.extra, *outcome_findings(self.outcome, self.path)]
        if self.path.is_file():
            tile = read_stored_tile(self.path, "opt_final", companions=(ALIAS_KEY, SAVED_INPUT_KEY))
            opt_v2 = _source(tile, self.opt_v2_path, options)
            checked = check_output(tile, opt_v2)
            findings += checked.findings
            if checked.values is not None and self.outcome is not None:
                findings += recorded_statistics_findings(self.outcome, checked.values, opt_v2)
        paths: dict[Subject, Path] = {"opt_final": self.path, "run": self.path}
        return TileFindings(self.name, tuple(records_of(findings, paths)))


Task: TypeAlias = InputTask | OutputTask


def run_tasks(tasks: Sequence[Task], options: CheckOptions) -> list[TileFindings]:
    """Run some tasks, in their order."""
    return [task.run(options) for task in tasks]


def outcome_findings(outcome: TileOutcome | None, output: Path) -> list[Finding]:
    """What the journal says about a tile, against what is on the disk.

    Args:
        outcome: The latest outcome; None if there is none.
        output: Where the output stands or would stand.
    """
    if outcome is None:
        return []
    if outcome.outcome in ("failed", "invalid"):
        message = (
            f"It failed in the phase {outcome.phase} ({outcome.error_code}): {outcome.message}"
        )
        figures = {"phase": outcome.phase or "", "error_code": outcome.error_code}
        return [TILE_FAILED.found("run", message, advice=outcome.hint, figures=figures)]
    if outcome.outcome == "skipped":
        return []
    return check_output_size(outcome.output_bytes, file_bytes(output))


def recorded_statistics_findings(
    outcome: TileOutcome, opt_final: NDArray[np.float32], opt_v2: NDArray[np.float32] | None
) -> list[Finding]:
    """Compare the statistics in the journal with those of the output.

    Args:
        outcome: The latest outcome.
        opt_final: (4, H, W) reflectance.
        opt_v2: (4, H, W) reflectance it was made from; None if it is not at hand.
    """
    if outcome.statistics is None or outcome.outcome == "skipped":
        return []
    recorded = dict(outcome.statistics)
    if opt_v2 is None or opt_v2.shape != opt_final.shape:
        recorded = {name: value for name, value in recorded.items() if "change" not in name}
        opt_v2 = opt_final
    return check_statistics(recorded, tile_statistics(outcome.tile, opt_final, opt_v2))


def _source(
    tile: StoredTile, opt_v2_path: Path | None, options: CheckOptions
) -> NDArray[np.float32] | None:
    """The opt_v2 an output was made from: saved beside it, or in the input folder."""
    saved = tile.companions.get(SAVED_INPUT_KEY)
    if saved is not None and saved.ndim == 3:
        return saved
    if opt_v2_path is None:
        return None
    try:
        return load_optical(opt_v2_path, options.load)
    except TileError:
        return None
