"""One summary of a run that was made in parts.

Parts write no reports while others are at work. The last shard to end, or the last list, makes
those of the whole folder; ``axion-stage3 merge`` makes them at any time, from what is there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import InputFolderError, OutputError
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.lease import is_in_use
from axion_stage3.runs.manifest import read_manifest
from axion_stage3.runs.parts import Part, Shard, TileList, parse_part
from axion_stage3.runs.summary import write_reports
from axion_stage3.storage.locations import Location, ObjectUrl, as_location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from axion_stage3.paths import AnyPath

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far the parts of a run are, as their manifests say.

    Attributes:
        n_inputs: Tiles that the parts which have begun were given.
        n_shards: Number of shards, None if the run is not sharded.
        missing: Shards that have not begun, counted from 1.
        unfinished: Shards that have begun and not come to their end, counted from 1.
    """

    n_inputs: int = 0
    n_shards: int | None = None
    missing: tuple[int, ...] = ()
    unfinished: tuple[int, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every shard has come to its end."""
        return not self.missing and not self.unfinished


@dataclass(frozen=True, slots=True)
class MergedRun:
    """What a merge made.

    Attributes:
        summary: The document of ``inference_summary.json``.
        progress: What was there to merge.
        n_unreadable_lines: Lines of the journals that were torn or damaged, and passed over.
    """

    summary: Mapping[str, Any]
    progress: RunProgress
    n_unreadable_lines: int


def merge_run(output_dir: AnyPath | ObjectUrl) -> MergedRun:
    """Write the reports of an output folder from all its journals.

    Only the configuration of the latest session counts. May be called while runs are writing.

    Args:
        output_dir: The output folder, or its URL.

    Raises:
        InputFolderError: There is no such folder, or no run has written into it.
        OutputError: A journal cannot be read or a report cannot be written.
    """
    output_dir = as_location(output_dir)
    index = read_journals(output_dir / RUNS_FOLDER)
    digests = [session.configuration_digest for session in index.sessions]
    known = [digest for digest in digests if digest]
    if not known:
        what = "holds no record of a run" if output_dir.is_dir() else "does not exist"
        raise InputFolderError(
            f"The folder {output_dir} {what}.",
            hint="Give the --output-dir of a run; its records are in the sub-folder runs.",
            path=output_dir,
        )
    progress = _read_progress(output_dir / RUNS_FOLDER, known[-1])
    summary = write_reports(output_dir, index, known[-1], n_expected=progress.n_inputs)
    return MergedRun(summary, progress, index.n_unreadable_lines)


def merge_if_last(output_dir: Location, part: Part, configuration_digest: str) -> bool:
    """Write the reports if a part that has just ended was the last one.

    Call it when the part has given its lease back. Of two parts that end at the same time, both
    may find themselves the last and write the same reports; never does neither.

    Returns:
        Whether the reports were written.

    Raises:
        OutputError: A journal cannot be read or a report cannot be written.
    """
    runs_folder = output_dir / RUNS_FOLDER
    progress = _read_progress(runs_folder, configuration_digest)
    is_last = (
        not _is_in_use(runs_folder, configuration_digest)
        if isinstance(part, TileList)
        else progress.is_complete
    )
    if is_last:
        index = read_journals(runs_folder)
        write_reports(output_dir, index, configuration_digest, n_expected=progress.n_inputs)
    return is_last


def _read_progress(runs_folder: Location, configuration_digest: str) -> RunProgress:
    """Read how far the shards of one configuration are.

    Runs with another number of shards, or without shards, count only if they came last.
    """
    begun = [
        (manifest, _part(manifest))
        for manifest in _manifests(runs_folder)
        if manifest.get("configuration_digest") == configuration_digest
        and isinstance(manifest.get("session"), int)
        and isinstance(manifest.get("n_inputs"), int)
    ]
    runs = [entry for entry in begun if not isinstance(entry[1], TileList)]
    if not runs:
        return RunProgress()
    latest, part = max(runs, key=lambda entry: entry[0]["session"])
    if not isinstance(part, Shard):
        return RunProgress(n_inputs=latest["n_inputs"])
    return _shard_progress(part.n, runs)


def _is_in_use(runs_folder: Location, configuration_digest: str) -> bool:
    """Whether another part is at work; in an object store only its manifest tells."""
    if not isinstance(runs_folder, ObjectUrl):
        return is_in_use(runs_folder)
    return any(
        manifest.get("state") == "running"
        for manifest in _manifests(runs_folder)
        if manifest.get("configuration_digest") == configuration_digest
    )


def _manifests(runs_folder: Location) -> list[Mapping[str, Any]]:
    """All manifests that can be read.

    Raises:
        OutputError: The store cannot be asked.
    """
    try:
        found = {path: read_manifest(path) for path in runs_folder.glob("run-manifest*.json")}
    except OSError as error:
        raise OutputError(
            f"{runs_folder} cannot be listed: {error.strerror or error}.",
            hint="Check the folder and its permissions, and run the same command again.",
            path=runs_folder,
        ) from error
    for path, manifest in sorted(found.items(), key=lambda entry: entry[0].name):
        state = "cannot be read" if manifest is None else str(manifest.get("state"))
        _log.debug("Read %s: %s", path.name, state)
    return [manifest for manifest in found.values() if manifest is not None]


def _shard_progress(
    n_shards: int, runs: Sequence[tuple[Mapping[str, Any], Part | None]]
) -> RunProgress:
    shards = {
        part.k: manifest
        for manifest, part in runs
        if isinstance(part, Shard) and part.n == n_shards
    }
    return RunProgress(
        n_inputs=sum(manifest["n_inputs"] for manifest in shards.values()),
        n_shards=n_shards,
        missing=tuple(k for k in range(1, n_shards + 1) if k not in shards),
        unfinished=tuple(k for k in sorted(shards) if shards[k].get("state") != "finished"),
    )


def _part(manifest: Mapping[str, Any]) -> Part | None:
    text = manifest.get("part")
    try:
        return parse_part(text) if isinstance(text, str) else None
    except ValueError:
        return None
