"""Everything that can be said about one tile."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import TileReadError
from axion_stage3.inspection.band_statistics import BandStatistics, band_statistics
from axion_stage3.inspection.finding_record import FindingRecord, records_of
from axion_stage3.inspection.run_story import RunStory, read_outcome, tell_run_story
from axion_stage3.inspection.stored_tile import StoredTile, read_stored_tile
from axion_stage3.inspection.tile_checks import (
    ALIAS_KEY,
    CheckedTile,
    CheckOptions,
    check_input,
    check_output,
    check_pair,
)
from axion_stage3.inspection.tile_location import TileLocation, locate_tile, tile_name
from axion_stage3.inspection.validation_tasks import (
    outcome_findings,
    recorded_statistics_findings,
)
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.storage.locations import file_bytes
from axion_stage3.tiles.findings import Subject  # noqa: TC001  the JSON schema needs it
from axion_stage3.tiles.tile_loading import USABLE_RANGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.tiles.findings import Finding, Severity
    from axion_stage3.tiles.npz_reader import MemberHeader

INSPECTION_SCHEMA_VERSION: Final = 1
_ORDER: Final[tuple[Subject, ...]] = ("opt_v2", "s1", "opt_final")


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One array in the file.

    Attributes:
        key: Its key.
        shape: Its shape.
        dtype: Its type, as the file spells it.
        n_bytes: Size of the pixels in memory, in bytes.
        compressed_bytes: Size in the file, in bytes.
        is_used: Whether the bands are read from it.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int
    compressed_bytes: int
    is_used: bool


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of the tile.

    Attributes:
        subject: Which kind of tile it is: opt_v2, s1 or opt_final.
        path: The file.
        file_bytes: Its size in bytes; None if it is not there.
        layout: Name of the key layout; None if none was recognised.
        members: Its arrays; empty if it cannot be read.
        bands: Its bands in numbers, as stored; empty if they cannot be read.
    """

    subject: Subject
    path: str
    file_bytes: int | None
    layout: str | None
    members: tuple[MemberRecord, ...]
    bands: tuple[BandStatistics, ...]


@dataclass(frozen=True, slots=True)
class InspectionReport:
    """Everything that was found out about one tile: the document of ``inspect-tile --json``.

    Attributes:
        schema_version: Version of this layout.
        command: ``inspect-tile``.
        tile: Name of the tile.
        files: Its files: opt_v2, s1, opt_final, as far as they are known.
        findings: What the checks found, the worst first.
        run: What the run recorded; None if no output folder was given.
    """

    schema_version: int
    command: str
    tile: str
    files: tuple[FileRecord, ...]
    findings: tuple[FindingRecord, ...]
    run: RunStory | None

    @property
    def worst(self) -> Severity | None:
        """The highest severity; None if nothing was found."""
        return max((finding.level for finding in self.findings), default=None)

    def as_document(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class TileInspection:
    """One tile, inspected.

    Attributes:
        report: Everything that can be said in words and numbers.
        pixels: By kind of tile: (band, y, x) float32 in reflectance or dB; NaN where no usable
            value is stored. A tile of which nothing is usable, or in wrong units, is left out.
        stored: Tiles in wrong units, as they are stored, otherwise likewise.
    """

    report: InspectionReport
    pixels: Mapping[Subject, NDArray[np.float32]]
    stored: Mapping[Subject, NDArray[np.float32]]


def inspect_tile(
    tile: AnyPath,
    *,
    opt_v2_dir: AnyPath | None = None,
    s1_dir: AnyPath | None = None,
    output_dir: AnyPath | None = None,
    options: CheckOptions | None = None,
) -> TileInspection:
    """Inspect a tile: its files, its pixels, and what a run made of it.

    Args:
        tile: Path of an NPZ file, or the name of a tile below the folders.
        opt_v2_dir: Folder of opt_v2 tiles.
        s1_dir: Folder of s1 tiles.
        output_dir: Output folder of a run; where its inputs are is then taken from its manifest.
        options: What the checks need to know; if left out, as the run read its tiles, else the
            defaults.

    Raises:
        InputFolderError: A folder is missing or unreadable.
        TileReadError: There is no such tile.
        OutputError: The run's journals cannot be read.
    """
    run = None
    given: dict[Subject, Path | None] = {
        "opt_v2": path_or_none(opt_v2_dir),
        "s1": path_or_none(s1_dir),
        "opt_final": path_or_none(output_dir),
    }
    if given["opt_final"] is not None:
        run = RunFolder(given["opt_final"], opt_v2_dir=given["opt_v2"], s1_dir=given["s1"])
        given["opt_v2"], given["s1"] = run.opt_v2_dir, run.s1_dir
    folders = {subject: folder for subject, folder in given.items() if folder is not None}
    if options is None:
        options = CheckOptions() if run is None else CheckOptions(load=run.load_options)
    location, outcome = _find(os.fspath(tile), folders, run)
    checked = _check_all(location, options)
    findings = [finding for each in checked.values() for finding in each.findings]
    if "opt_v2" in checked and "s1" in checked:
        findings += check_pair(checked["opt_v2"], checked["s1"], options)
    if run is not None:
        findings += _run_findings(run, location, outcome, checked)
    report = InspectionReport(
        schema_version=INSPECTION_SCHEMA_VERSION,
        command="inspect-tile",
        tile=location.name,
        files=tuple(_file_record(each.tile) for each in checked.values()),
        findings=tuple(records_of(findings, _paths(location, run))),
        run=None if run is None else tell_run_story(run, location.name, location.paths, outcome),
    )
    pixels = {
        subject: _with_gaps(each.values, each.tile.stored)
        for subject, each in checked.items()
        if each.values is not None and each.tile.stored is not None
    }
    stored = {
        subject: _with_gaps(each.tile.stored, each.tile.stored)
        for subject, each in checked.items()
        if each.values is None and each.tile.stored is not None
    }
    return TileInspection(report, pixels, stored)


def _find(
    tile: str, folders: Mapping[Subject, Path], run: RunFolder | None
) -> tuple[TileLocation, TileOutcome | None]:
    """The files of a tile and its outcome; the journal may be all that is left of it."""
    try:
        location = locate_tile(tile, folders)
    except TileReadError:
        outcome = None if run is None else read_outcome(run.output_dir, tile_name(tile))
        if outcome is None:
            raise
        return TileLocation(outcome.tile, {}), outcome
    return location, None if run is None else read_outcome(run.output_dir, location.name)


def _check_all(location: TileLocation, options: CheckOptions) -> dict[Subject, CheckedTile]:
    checked: dict[Subject, CheckedTile] = {}
    for subject in _ORDER:
        if subject not in location.paths:
            continue
        tile = read_stored_tile(location.paths[subject], subject, companions=(ALIAS_KEY,))
        if subject == "opt_final":
            source = checked["opt_v2"].values if "opt_v2" in checked else None
            checked[subject] = check_output(tile, source)
        else:
            checked[subject] = check_input(tile, options)
    return checked


def _with_gaps(values: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values of a tile, NaN where the checks had to fill them."""
    is_usable = (stored > USABLE_RANGE[0]) & (stored < USABLE_RANGE[1])
    return np.where(is_usable, values, np.float32(np.nan))


def _paths(location: TileLocation, run: RunFolder | None) -> dict[Subject, Path]:
    """The file that each kind of finding is about."""
    if run is None:
        return dict(location.paths)
    return {**location.paths, "run": run.path(location.name)}


def _run_findings(
    run: RunFolder,
    location: TileLocation,
    outcome: TileOutcome | None,
    checked: Mapping[Subject, CheckedTile],
) -> list[Finding]:
    findings = outcome_findings(outcome, run.path(location.name))
    output = checked.get("opt_final")
    if outcome is not None and output is not None and output.values is not None:
        source = checked["opt_v2"].values if "opt_v2" in checked else None
        findings += recorded_statistics_findings(outcome, output.values, source)
    return findings


def _file_record(tile: StoredTile) -> FileRecord:
    used = () if tile.layout is None else tile.layout.keys
    bands = () if tile.stored is None else zip(tile.bands, tile.stored, strict=True)
    return FileRecord(
        subject=tile.subject,
        path=str(tile.path),
        file_bytes=file_bytes(tile.path),
        layout=None if tile.layout is None else tile.layout.name,
        members=tuple(_member_record(header, used) for header in tile.headers.values()),
        bands=tuple(band_statistics(name, band) for name, band in bands),
    )


def _member_record(header: MemberHeader, used: tuple[str, ...]) -> MemberRecord:
    return MemberRecord(
        key=header.name,
        shape=header.shape,
        dtype=header.descr,
        n_bytes=header.n_bytes,
        compressed_bytes=header.compressed_bytes,
        is_used=header.name in used,
    )
