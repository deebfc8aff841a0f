"""What a run recorded about one tile, and how to run that tile again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.runs.fingerprint import RESULT_FIELDS
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import read_journals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.run_folder import RunFolder
    from axion_stage3.tiles.findings import Subject

RERUN_FOLDER: Final = "rerun"
"""Where the command that runs one tile again puts its copies and its output."""


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The latest outcome of the tile in the run's journals.

    Attributes:
        outcome: written, failed, invalid or skipped.
        phase: Where it failed: read, compute, check or write; None if it did not.
        error_code: Stable code of the error; empty if it did not fail.
        message: Why it failed.
        hint: What to do about it.
        seconds: Time spent on the tile, in seconds.
        output_bytes: Size of the output, in bytes; 0 unless written.
        stage_seconds: Time by stage, in seconds.
        statistics: Statistics of the tile; None unless written.
    """

    outcome: str
    phase: str | None
    error_code: str
    message: str
    hint: str
    seconds: float
    output_bytes: int
    stage_seconds: dict[str, float]
    statistics: dict[str, float | int | str | None] | None


@dataclass(frozen=True, slots=True)
class RunStory:
    """What a run recorded about one tile.

    Attributes:
        output_dir: The run's output folder.
        state: running, finished, interrupted or failed; None if the run left no manifest.
        started_at: UTC, ISO 8601; None if not known.
        command: The command line of the run; empty if not known.
        outcome: What became of the tile; None if the run did not reach it.
        rerun_command: Shell command that runs this one tile again, with the same options, into a
            folder of its own; empty if the input files are not known.
    """

    output_dir: str
    state: str | None
    started_at: str | None
    command: str
    outcome: OutcomeRecord | None
    rerun_command: str


def read_outcome(output_dir: Path, tile: str) -> TileOutcome | None:
    """Read the latest outcome of a tile from the journals; None if there is none.

    Raises:
        OutputError: A journal cannot be read.
    """
    index = read_journals(output_dir / RUNS_FOLDER, only=tile)
    return next(index.outcomes([tile]), None)


def tell_run_story(
    folder: RunFolder, tile: str, paths: Mapping[Subject, Path], outcome: TileOutcome | None
) -> RunStory:
    """Tell what a run recorded about one tile.

    Args:
        folder: The run.
        tile: Name of the tile.
        paths: Its input files, by kind of tile.
        outcome: Its latest outcome.
    """
    manifest = folder.manifest
    command = manifest.get("command")
    return RunStory(
        output_dir=str(folder.output_dir),
        state=_text(manifest.get("state")),
        started_at=_text(manifest.get("started_at")),
        command=shlex.join(map(str, command)) if isinstance(command, list) else "",
        outcome=None if outcome is None else _outcome_record(outcome),
        rerun_command=rerun_command(tile, paths, manifest.get("configuration")),
    )


def rerun_command(tile: str, paths: Mapping[Subject, Path], configuration: object) -> str:
    """The shell command that runs one tile again as the run did.

    The pair is copied to folders of its own, under the same name (the noise is drawn from it), and
    the result goes to a third, all below a folder that is named after the tile: nothing of the run
    is touched, and no other tile is run again.

    Args:
        tile: Name of the tile.
        paths: Its input files.
        configuration: The run's configuration from its manifest.

    Returns:
        One line for a POSIX shell; empty if an input file is not known.
    """
    if "opt_v2" not in paths or "s1" not in paths:
        return ""
    place = f"{RERUN_FOLDER}/{tile.removesuffix('.npz')}"
    copies = {"opt_v2": f"{place}/opt_v2/{tile}", "s1": f"{place}/s1/{tile}"}
    folders = [target.rpartition("/")[0] for target in copies.values()]
    steps = [shlex.join(["mkdir", "-p", *folders])]
    steps += [
        shlex.join(["cp", str(paths["opt_v2"]), copies["opt_v2"]]),
        shlex.join(["cp", str(paths["s1"]), copies["s1"]]),
    ]
    options = _options(configuration if isinstance(configuration, dict) else {})
    infer = ["axion-stage3", "infer", "--opt-v2-dir", f"{place}/opt_v2"]
    infer += ["--s1-dir", f"{place}/s1", "--output-dir", f"{place}/output", *options]
    return " && ".join([*steps, shlex.join([*infer, "--existing", "overwrite"])])


def _options(configuration: Mapping[str, Any]) -> list[str]:
    """The options that decide what stands in an output, as they were."""
    options: list[str] = []
    for name in ("checkpoint", "device", "georeference", *RESULT_FIELDS):
        value = configuration.get(name)
        option = f"--{name.replace('_', '-')}"
        if value is True:
            options.append(option)
        elif value is not None and value is not False:
            is_whole = isinstance(value, float) and value.is_integer()
            options += [option, str(int(value) if is_whole else value)]
    return options


def _outcome_record(outcome: TileOutcome) -> OutcomeRecord:
    return OutcomeRecord(
        outcome=outcome.outcome,
        phase=outcome.phase,
        error_code=outcome.error_code,
        message=outcome.message,
        hint=outcome.hint,
        seconds=outcome.seconds,
        output_bytes=outcome.output_bytes,
        stage_seconds=dict(outcome.stage_seconds),
        statistics=None if outcome.statistics is None else dict(outcome.statistics),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
