"""Checking whole folders: as a stream of results, in parallel, with flat memory.

Tiles are checked in chunks by worker processes. Only a few chunks are under way at a time, and
results come in the order of the tile names, so neither the number of tiles nor that of findings
costs memory.
"""

from __future__ import annotations

import bisect
import itertools
import signal
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from axion_stage3.errors import InputFolderError, NoTilePairsError, ResourceError, UsageError
from axion_stage3.inspection.finding_record import TileFindings, records_of
from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.validation_tasks import InputTask, OutputTask, Task, run_tasks
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import JournalIndex, read_journals
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.tiles.checks_output import NOT_RECORDED
from axion_stage3.tiles.checks_structure import NO_PARTNER, UNUSED_FILE
from axion_stage3.tiles.findings import Severity, Subject
from axion_stage3.tiles.pairing import Pairing, find_pairs, find_tiles
from axion_stage3.tiles.tile_names import nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK_TILES: Final = 16
MIN_PARALLEL_TILES: Final = 64
"""Fewer tiles are checked before worker processes would have started."""

_CHUNKS_PER_WORKER: Final = 3
_COMPARED_NAMES: Final = 200
_MAX_NAMES_WITH_CANDIDATES: Final = 200

_NO_PAIRING: Final = Pairing((), (), ())


@dataclass(frozen=True)
class Validation:
    """A validation that is about to run; iterating over it runs it.

    Attributes:
        kind: ``inputs`` or ``run``.
        folders: The folders concerned, by role.
        n_tiles: Number of tiles whose pixels will be checked.
    """

    kind: Literal["inputs", "run"]
    folders: dict[str, str]
    n_tiles: int
    _start: Callable[[], Iterator[TileFindings]]

    def __iter__(self) -> Iterator[TileFindings]:
        """Check the tiles, in the order of their names; those only named come first."""
        return self._start()


def validate_inputs(
    opt_v2_dir: AnyPath | None,
    s1_dir: AnyPath | None,
    options: CheckOptions | None = None,
    *,
    n_workers: int = 1,
) -> Validation:
    """Check the inputs of a run, before it: pairing, files, units, pixels, agreement.

    With both folders the pairs are checked, and names without a partner are listed with their
    nearest candidates. With one folder its tiles are checked alone.

    Args:
        opt_v2_dir: Folder of opt_v2 tiles.
        s1_dir: Folder of s1 tiles.
        options: What the checks need to know; the defaults if left out.
        n_workers: Number of processes; 1 checks in this process. With more, a program must start
            from ``if __name__ == "__main__"``, as always with ``multiprocessing``.

    Raises:
        UsageError: No folder was given.
        InputFolderError: A folder is missing, unreadable, or holds no tile.
        TileCollisionError: Two tiles would be written to one output file.
    """
    opt_v2_dir, s1_dir = path_or_none(opt_v2_dir), path_or_none(s1_dir)
    folders = {
        role: folder
        for role, folder in (("opt_v2_dir", opt_v2_dir), ("s1_dir", s1_dir))
        if folder is not None
    }
    if not folders:
        raise UsageError(
            "There is nothing to validate.", hint="Give --opt-v2-dir, --s1-dir, or both."
        )
    if opt_v2_dir is not None and s1_dir is not None:
        pairing = _paired(opt_v2_dir, s1_dir)
        tasks = [InputTask(pair.name, pair.opt_v2_path, pair.s1_path) for pair in pairing.pairs]
    else:
        pairing = _NO_PAIRING
        tasks = _single_tasks(opt_v2_dir, s1_dir)
    return Validation(
        kind="inputs",
        folders={role: str(folder) for role, folder in folders.items()},
        n_tiles=len(tasks),
        _start=lambda: itertools.chain(
            _without_partner(pairing), _run(tasks, options or CheckOptions(), n_workers)
        ),
    )


def validate_run(
    output_dir: AnyPath,
    options: CheckOptions | None = None,
    *,
    opt_v2_dir: AnyPath | None = None,
    s1_dir: AnyPath | None = None,
    n_workers: int = 1,
) -> Validation:
    """Check the outputs of a run, after it: the automatic validation and the rest.

    Tiles that the run's journals know but that have no output are reported too. The inputs are
    found by what the run recorded.

    Args:
        output_dir: The output folder.
        options: How the inputs are read; as the run read them if left out.
        opt_v2_dir: Folder of opt_v2 tiles; None for the one that the run recorded.
        s1_dir: Folder of s1 tiles; None for the one that the run recorded.
        n_workers: As for `validate_inputs`.

    Raises:
        InputFolderError: A folder is missing or unreadable, or there is neither an output nor a
            journal.
        OutputError: A journal cannot be read.
    """
    output_dir = Path(output_dir)
    folder = RunFolder(output_dir, opt_v2_dir=path_or_none(opt_v2_dir), s1_dir=path_or_none(s1_dir))
    tiles = folder.tiles()
    index = read_journals(output_dir / RUNS_FOLDER)
    names = sorted(tiles.keys() | set(index))
    if not names:
        raise InputFolderError(
            f"{output_dir} holds no output tile and no journal of a run.",
            hint="Give the folder that `axion-stage3 infer` wrote to; for input tiles give "
            "--opt-v2-dir and --s1-dir.",
            path=output_dir,
        )
    how = CheckOptions(load=folder.load_options) if options is None else options
    return Validation(
        kind="run",
        folders={"output_dir": str(output_dir)},
        n_tiles=len(names),
        _start=lambda: _run(_output_tasks(folder, index, names), how, n_workers, len(names)),
    )


def _paired(opt_v2_dir: Path, s1_dir: Path) -> Pairing:
    """The pairs; where there is none at all, the names that found no partner."""
    try:
        return find_pairs(opt_v2_dir, s1_dir)
    except NoTilePairsError:
        opt_v2, s1 = find_tiles(opt_v2_dir), find_tiles(s1_dir)
        if not opt_v2 or not s1:
            raise
        return Pairing((), tuple(opt_v2), tuple(s1))


def _single_tasks(opt_v2_dir: Path | None, s1_dir: Path | None) -> list[InputTask]:
    folder = opt_v2_dir or s1_dir
    assert folder is not None
    tiles = find_tiles(folder)
    if not tiles:
        raise InputFolderError(
            f"The folder {folder} holds no NPZ file.", hint="Check the path.", path=folder
        )
    if opt_v2_dir is not None:
        return [InputTask(name, opt_v2_path=path) for name, path in tiles.items()]
    return [InputTask(name, s1_path=path) for name, path in tiles.items()]


def _output_tasks(folder: RunFolder, index: JournalIndex, names: list[str]) -> Iterator[OutputTask]:
    for name in names:
        is_recorded = index.get(name) is not None
        unknown = NOT_RECORDED.found("run", "No journal of this folder knows the tile.")
        yield OutputTask(
            name,
            folder.path(name),
            opt_v2_path=folder.input_path(name, "opt_v2"),
            outcome=next(index.outcomes([name]), None) if is_recorded else None,
            extra=() if is_recorded or not len(index) else (unknown,),
        )


def _without_partner(pairing: Pairing) -> Iterator[TileFindings]:
    severity = Severity.WARNING if pairing.pairs else Severity.ERROR
    sides: tuple[tuple[Subject, Subject, tuple[str, ...], tuple[str, ...]], ...] = (
        ("opt_v2", "s1", pairing.unmatched_opt_v2, pairing.unmatched_s1),
        ("s1", "opt_v2", pairing.unmatched_s1, pairing.unmatched_opt_v2),
    )
    for subject, other, names, candidates in sides:
        for index, name in enumerate(names):
            near = _nearest(name, candidates) if index < _MAX_NAMES_WITH_CANDIDATES else []
            message = f"There is no {other} tile of this name."
            if near:
                message += f" Nearest without a partner: {', '.join(near)}."
            finding = NO_PARTNER.found(
                subject, message, figures={"nearest": ", ".join(near)}, severity=severity
            )
            yield TileFindings(name, tuple(records_of([finding], {})), is_checked=False)
    for refused in pairing.refused:
        finding = UNUSED_FILE.found("pair", f"It is not used: {refused.reason}.")
        records = records_of([finding], {"opt_v2": refused.path})
        yield TileFindings(repr(str(refused.path))[1:-1], tuple(records), is_checked=False)


def _nearest(name: str, candidates: tuple[str, ...]) -> list[str]:
    """The nearest of many sorted names: those around its place, where like names stand."""
    middle = bisect.bisect_left(candidates, name)
    start = max(0, middle - _COMPARED_NAMES // 2)
    return nearest_names(name, candidates[start : start + _COMPARED_NAMES])


def _run(
    tasks: Iterable[Task], options: CheckOptions, n_workers: int, n_tasks: int | None = None
) -> Iterator[TileFindings]:
    if n_tasks is None:
        n_tasks = len(tasks) if isinstance(tasks, list) else 0
    if n_workers <= 1 or n_tasks < MIN_PARALLEL_TILES:
        for task in tasks:
            yield task.run(options)
        return
    yield from _run_parallel(iter(tasks), options, n_workers)


def _run_parallel(
    tasks: Iterator[Task], options: CheckOptions, n_workers: int
) -> Iterator[TileFindings]:
    """Keep a few chunks under way, and hand their results out in order."""
    # Spawned processes inherit neither threads nor locks of whatever program this runs in.
    pool = ProcessPoolExecutor(
        n_workers, mp_context=get_context("spawn"), initializer=_leave_signals_to_parent
    )
    under_way: deque[Future[list[TileFindings]]] = deque()
    try:
        for chunk in iter(lambda: list(itertools.islice(tasks, CHUNK_TILES)), []):
            under_way.append(pool.submit(run_tasks, chunk, options))
            if len(under_way) >= _CHUNKS_PER_WORKER * n_workers:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    except BrokenProcessPool as error:
        raise ResourceError(
            "A process that checked tiles was ended from outside, as a rule for lack of memory.",
            hint="Give --workers 1, or free memory.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
