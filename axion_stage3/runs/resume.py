"""Which tiles are done, which are to do, and when a run must refuse to begin."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from axion_stage3.errors import OutputError, RunConflictError
from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from axion_stage3.runs.fingerprint import RunFingerprint
    from axion_stage3.runs.journal import GrantedPolicy
    from axion_stage3.runs.journal_index import JournalIndex, JournalSession, TileRecord
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import TilePair

ExistingPolicy = Literal["resume", "skip", "overwrite", "fail"]

_Policy = Literal["resume", "skip", "overwrite", "fail", "go_on_overwriting"]
_Verdict = Literal["do", "done", "failed_before", "keep", "kept", "conflict", "left_out"]

_N_NAMES_SHOWN: Final = 3
_TILE_SUFFIX: Final = ".npz"
_STATISTICS_SUFFIX: Final = ".json"
_NOT_THERE: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
)
_HINT: Final = (
    "Choose another --output-dir; or say what to do with what is there: --existing skip keeps it "
    "and makes only the tiles that are missing, --existing overwrite makes every tile again"
)
_REFUSING_HINT: Final = ", --existing fail refuses as soon as any output is there"


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What a run has to do.

    Attributes:
        to_do: Pairs to process, in the order given.
        n_done: Tiles whose output is there, made from the same input with the same configuration.
        n_failed_before: Tiles that failed before, with the same input and configuration, and are
            not tried again (``--retry-failed`` does).
        newly_skipped: Names of tiles whose output of another run is kept and not yet journalled.
        as_recorded: Names in ``newly_skipped`` whose output has the size that is on record, so that
            what the journals say of it holds.
        n_skipped: All tiles whose output of another run is kept.
        n_left_out: Tiles left for a later run, because only failed tiles are to be retried.
        n_without_statistics: Outputs that stay as they are and have no JSON of statistics beside
            them, although the run saves statistics.
        replaced: Names in ``to_do`` of which an output is there or on record, to be replaced.
        granted: What this session may do with outputs of another configuration; goes into the
            journal's first line.
    """

    to_do: tuple[TilePair, ...]
    n_done: int
    n_failed_before: int
    newly_skipped: tuple[str, ...]
    as_recorded: frozenset[str]
    n_skipped: int
    n_left_out: int
    n_without_statistics: int
    replaced: frozenset[str]
    granted: GrantedPolicy


def plan_resume(
    pairs: Sequence[TilePair],
    index: JournalIndex,
    fingerprint: RunFingerprint,
    output_dir: Location,
    *,
    existing: ExistingPolicy = "resume",
    retry_failed: bool = False,
    saves_statistics: bool = False,
    changes: Sequence[str] = (),
) -> ResumePlan:
    """Decide for each pair whether it is done, to do, or in conflict with what is there.

    A tile is *done* if its latest outcome is ``written``, its fingerprint (configuration,
    checkpoint, input identity) is the same and its output file has the recorded size. Policies:

    - ``resume``: done tiles are left alone, everything else is made. An output that was made with
      another configuration, or by something else, is a conflict. Two things are not: the output
      of a killed session of this configuration that has no journal line yet (it is made again),
      and what an unfinished ``overwrite`` of this configuration had still to replace.
    - ``skip``: whatever output is there is kept; only missing ones are made.
    - ``overwrite``: every tile is made again.
    - ``fail``: any output is a conflict.

    Args:
        pairs: The pairs of this run (of this shard).
        index: All journals of the output folder.
        fingerprint: Of this run's configuration and checkpoint.
        output_dir: The output folder.
        existing: The policy.
        retry_failed: Make only tiles whose latest outcome is ``failed`` or ``invalid``.
        saves_statistics: Look for the JSON of statistics beside each output that stays.
        changes: Options that differ from the last run, in words, for the message of a conflict.

    Raises:
        RunConflictError: The run would mix outputs of two configurations, or ``fail`` found one.
        OutputError: The disk does not say whether an output is there.
    """
    continued = _continued_policy(index, fingerprint)
    policy: _Policy = continued if existing == "resume" and continued is not None else existing
    file_size = _file_sizes(output_dir, with_statistics=saves_statistics)
    judge = _Judge(
        index,
        fingerprint,
        file_size,
        policy,
        is_continued=continued is not None,
        only_failed=retry_failed,
    )
    names: dict[_Verdict, list[str]] = {verdict: [] for verdict in get_args(_Verdict)}
    to_do: list[TilePair] = []
    for pair in pairs:
        verdict = judge.verdict(pair)
        if verdict == "do":
            to_do.append(pair)
        else:
            names[verdict].append(pair.name)
    conflicts = names["conflict"]
    if not conflicts and policy == "resume":
        conflicts = judge.outputs_of_other_configurations()
    if conflicts:
        raise _conflict(output_dir, conflicts, existing, changes)
    staying = (*names["done"], *names["keep"], *names["kept"]) if saves_statistics else ()
    return ResumePlan(
        to_do=tuple(to_do),
        n_done=len(names["done"]),
        n_failed_before=len(names["failed_before"]),
        newly_skipped=tuple(names["keep"]),
        as_recorded=frozenset(name for name in names["keep"] if judge.is_as_recorded(name)),
        n_skipped=len(names["keep"]) + len(names["kept"]),
        n_left_out=len(names["left_out"]),
        n_without_statistics=sum(file_size(_statistics_name(name)) is None for name in staying),
        replaced=frozenset(pair.name for pair in to_do if judge.has_older_output(pair.name)),
        granted=_granted(policy),
    )


class _Judge:
    """Judges single pairs against the journals and the output folder."""

    def __init__(
        self,
        index: JournalIndex,
        fingerprint: RunFingerprint,
        output_size: Callable[[str], int | None],
        policy: _Policy,
        *,
        is_continued: bool,
        only_failed: bool,
    ) -> None:
        self._index = index
        self._fingerprint = fingerprint
        self._output_size = output_size
        self._policy = policy
        self._is_continued = is_continued
        self._only_failed = only_failed

    def verdict(self, pair: TilePair) -> _Verdict:
        verdict = self._verdict(pair)
        if self._only_failed and verdict in ("do", "failed_before"):
            record = self._index.get(pair.name)
            has_failed = record is not None and record.outcome in ("failed", "invalid")
            return "do" if has_failed else "left_out"
        return verdict

    def _verdict(self, pair: TilePair) -> _Verdict:
        if self._policy == "overwrite":
            return "do"
        record = self._index.get(pair.name)
        if self._policy == "fail" and self._output_size(pair.name) is not None:
            return "conflict"
        if record is not None and self._is_own(record):
            return self._verdict_on_own(pair, record)
        return self._verdict_on_other(pair)

    def has_older_output(self, name: str) -> bool:
        """Whether an output of the tile is in the folder or on record."""
        record = self._index.get(name)
        is_recorded = record is not None and record.outcome == "written"
        return is_recorded or self._output_size(name) is not None

    def is_as_recorded(self, name: str) -> bool:
        """Whether the output that is there is the one that the journals describe."""
        record = self._index.get(name)
        return (
            record is not None
            and record.outcome in ("written", "skipped")
            and record.output_bytes == self._output_size(name)
        )

    def outputs_of_other_configurations(self) -> list[str]:
        """Outputs of another configuration anywhere in the folder, unless mixing was allowed."""
        own = self._fingerprint.configuration_digest
        sessions = self._index.sessions
        if all(session.configuration_digest == own for session in sessions) or any(
            session.configuration_digest == own and session.granted != "resume"
            for session in sessions
        ):
            return []
        return [name for name in self._index if self._is_output_of_other(name)]

    def _is_output_of_other(self, name: str) -> bool:
        record = self._index.get(name)
        if record is None or self._is_own(record):
            return False
        size = self._output_size(name)
        if record.outcome == "replacing":
            return size is not None
        return record.outcome == "written" and size == record.output_bytes

    def _is_own(self, record: TileRecord) -> bool:
        return record.configuration_digest == self._fingerprint.configuration_digest

    def _verdict_on_own(self, pair: TilePair, record: TileRecord) -> _Verdict:
        """The latest outcome is of this configuration."""
        size = self._output_size(pair.name)
        is_same = self._fingerprint.of_pair(pair) == record.fingerprint
        if record.outcome in ("written", "replacing"):
            if record.outcome == "written" and is_same and size == record.output_bytes:
                return "done"
            return "keep" if self._policy == "skip" and size is not None else "do"
        if record.outcome == "skipped":
            if size is None:
                return "do"
            return "kept" if record.output_bytes in (0, size) else "keep"
        # An output beside a failure: a session was killed before it could write its journal line,
        # one that tried again, or one of another configuration.
        if size is not None:
            return self._verdict_on_other(pair)
        return "failed_before" if is_same else "do"

    def _verdict_on_other(self, pair: TilePair) -> _Verdict:
        """There is no outcome of this configuration: whose is the output, if there is one?"""
        size = self._output_size(pair.name)
        if size is None or self._policy == "go_on_overwriting":
            return "do"
        if self._policy == "skip":
            return "keep"
        # Beside a session that was cut short: killed between output and journal line. What others
        # have recorded is found by the search over the whole folder.
        return "do" if self._is_continued else "conflict"


def _statistics_name(tile: str) -> str:
    return tile.rpartition(".")[0] + _STATISTICS_SUFFIX


def _file_sizes(output_dir: Location, *, with_statistics: bool) -> Callable[[str], int | None]:
    """What says how large an output file is, in bytes, by its name; None if it is not there.

    In an object store all outputs are listed once: a request per tile would take as long as a tile.

    Args:
        output_dir: The output folder.
        with_statistics: Whether files of statistics are asked for too.

    Raises:
        OutputError: The store, or later the disk, does not say: an output that may be there is not
            replaced.
    """
    if isinstance(output_dir, ObjectUrl):
        suffixes = (_TILE_SUFFIX, _STATISTICS_SUFFIX) if with_statistics else (_TILE_SUFFIX,)
        try:
            sizes = {
                entry.name: entry.n_bytes
                for entry in output_dir.objects()
                if entry.name.endswith(suffixes)
            }
        except OSError as error:
            raise _unknown_output(output_dir, error) from error
        return sizes.get

    def size_on_disk(name: str) -> int | None:
        path = f"{output_dir}/{name}"
        try:
            return os.stat(path).st_size  # noqa: PTH116 - runs per tile
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise _unknown_output(path, error) from error

    return size_on_disk


def _unknown_output(place: object, error: OSError) -> OutputError:
    return OutputError(
        f"The output {place} cannot be looked at: {error.strerror or error}.",
        hint="Restore access to the output folder, or choose another --output-dir.",
        path=place,
    )


def _granted(policy: _Policy) -> GrantedPolicy:
    if policy == "skip":
        return "skip"
    return "overwrite" if policy in ("overwrite", "go_on_overwriting") else "resume"


def _continued_policy(index: JournalIndex, fingerprint: RunFingerprint) -> _Policy | None:
    """What the unfinished session that this run goes on with was granted; None if there is none.

    A session counts only while no session of another configuration, and no later session of the
    same worker and scope, came after it. For workers that are led, their leader speaks.
    """
    latest: dict[tuple[str, str], JournalSession] = {}
    for session in index.sessions:
        if session.leader:
            continue
        if session.configuration_digest == fingerprint.configuration_digest:
            latest[session.worker, session.scope] = session
        elif session.configuration_digest:
            latest.clear()
    unfinished = [session for session in latest.values() if session.closed != "finished"]
    if not unfinished:
        return None
    granted = max(unfinished, key=lambda session: session.session).granted
    return "go_on_overwriting" if granted == "overwrite" else granted


def _conflict(
    output_dir: Location, names: Sequence[str], existing: ExistingPolicy, changes: Sequence[str]
) -> RunConflictError:
    if existing == "fail":
        why = "and --existing fail refuses to go on when any is there"
    elif changes:
        why = f"made with another configuration ({'; '.join(changes)})"
    else:
        why = "made with another configuration or checkpoint, or by another program"
    shown = ", ".join(names[:_N_NAMES_SHOWN]) + (", ..." if len(names) > _N_NAMES_SHOWN else "")
    count = f"{len(names):,} output{'' if len(names) == 1 else 's'}"
    return RunConflictError(
        f"The output folder {output_dir} holds {count} ({shown}), {why}.",
        hint=f"{_HINT}{'' if existing == 'fail' else _REFUSING_HINT}.",
        path=output_dir,
    )
