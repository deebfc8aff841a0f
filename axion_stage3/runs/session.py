"""One start of a run on an output folder: lease, resume plan, manifest and journal in one order.

    lease > journals read > plan > orphans swept > journal > manifest "running" > skips journalled
    > ... > journal closed > manifest "finished" > lease released

A refusal (another run, another configuration) comes before anything but the lease is written.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from axion_stage3.atomic_write import sweep_orphans
from axion_stage3.errors import AxionError, OutputError
from axion_stage3.runs.fingerprint import RunFingerprint, changed_fields, hash_names
from axion_stage3.runs.journal import RUNS_FOLDER, Journal, JournalHeader
from axion_stage3.runs.journal_index import JournalIndex, read_journals
from axion_stage3.runs.lease import Lease
from axion_stage3.runs.manifest import (
    RunManifest,
    installed_versions,
    manifest_path,
    read_manifest,
    utc_now,
    write_manifest,
)
from axion_stage3.runs.no_lease import NoLease
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.output_links import refuse_links_outward
from axion_stage3.runs.parts import Part, Shard
from axion_stage3.runs.resume import ExistingPolicy, ResumePlan, plan_resume
from axion_stage3.runs.summary import build_summary, write_reports
from axion_stage3.runs.tile_recorder import TileRecorder
from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from axion_stage3.runs.journal import EndState
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import TilePair

_EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run before it starts.

    Attributes:
        command: The command line, for the manifest.
        configuration: The effective configuration (JSON values). ``timesteps`` and ``precision``
            must be resolved (never None or ``auto``): they are part of the fingerprint.
        checkpoint_sha256: Of the checkpoint file.
        device: The device that is used.
        seed: The run's seed.
        part: The part of the run, None for all of it.
        methods: How inputs are brought into the form the network needs, for the manifest.
    """

    command: tuple[str, ...]
    configuration: Mapping[str, Any]
    checkpoint_sha256: str
    device: str
    seed: int
    part: Part | None = None
    methods: Mapping[str, str] = field(default_factory=dict)


class RunSession:
    """A run in progress on one output folder; made by ``open``, ended by ``close``.

    Use as a context manager: leaving it without ``close`` closes it as ``interrupted`` after a
    KeyboardInterrupt, as ``failed`` after any other exception, else as ``finished``.

    Attributes:
        output_dir: The output folder.
        plan: What is to do.
        part: The part of the run, None for all of it.
        header: First line of the session's journal, for those of its workers.
        manifest: What stands in the run manifest.
    """

    def __init__(
        self,
        output_dir: Location,
        plan: ResumePlan,
        manifest: RunManifest,
        *,
        tiles: Sequence[str],
        part: Part | None,
        fingerprint: RunFingerprint,
        lease: Lease | NoLease,
        journal: Journal,
        header: JournalHeader,
    ) -> None:
        self.output_dir = output_dir
        self.plan = plan
        self.part = part
        self.header = header
        self.manifest = manifest
        self._tiles = tiles
        self._manifest_path = manifest_path(output_dir / RUNS_FOLDER, part)
        self._fingerprint = fingerprint
        self._lease = lease
        self._journal = journal
        self._is_closed = False
        self._recorder = TileRecorder(journal, fingerprint, output_dir, plan.replaced, lease.check)

    @classmethod
    def open(
        cls,
        output_dir: Location,
        facts: RunFacts,
        pairs: Sequence[TilePair],
        *,
        existing: ExistingPolicy = "resume",
        retry_failed: bool = False,
    ) -> Self:
        """Take the lease, read the journals, plan, and begin.

        Makes the output folder if it is not there; in an object store there is nothing to make, and
        no lease to take. Tiles that are skipped on request are in the
        journal when this returns.

        Raises:
            RunConflictError: Another run is writing here, or outputs of another configuration are
                there and ``existing`` does not say what to do with them.
            OutputError: The output folder cannot be read or written, or has links that lead out.
        """
        tiles = [pair.name for pair in pairs]
        runs_folder = _prepare(output_dir, tiles)
        inputs_sha256 = hash_names(sorted(tiles))
        fingerprint = RunFingerprint.of(facts.configuration, facts.checkpoint_sha256)
        digest = fingerprint.configuration_digest
        lease = (
            NoLease(runs_folder)
            if isinstance(runs_folder, ObjectUrl)
            else Lease.acquire(runs_folder, configuration_digest=digest, part=facts.part)
        )
        try:
            index = read_journals(runs_folder)
            previous = read_manifest(manifest_path(runs_folder, facts.part))
            plan = plan_resume(
                pairs,
                index,
                fingerprint,
                output_dir,
                existing=existing,
                retry_failed=retry_failed,
                saves_statistics=facts.configuration.get("statistics") is True,
                changes=_changes(previous, facts),
            )
            # Only a whole run knows that no other is writing: parts leave temporary files alone.
            if isinstance(output_dir, Path) and facts.part is None and index.sessions:
                sweep_orphans(output_dir)
            header = JournalHeader(
                session=lease.session,
                worker=_worker(facts.part),
                configuration_digest=digest,
                granted=plan.granted,
                scope=_scope(inputs_sha256, retry_failed=retry_failed),
            )
            journal = Journal(runs_folder, header)
        except BaseException:
            lease.release()
            raise
        manifest = _manifest(facts, inputs_sha256, len(tiles), digest, lease.session)
        session = cls(
            output_dir,
            plan,
            manifest,
            tiles=tiles,
            part=facts.part,
            fingerprint=fingerprint,
            lease=lease,
            journal=journal,
            header=header,
        )
        try:
            session._begin(pairs, index)
        except BaseException as error:
            session.__exit__(type(error), error, None)
            raise
        return session

    def _begin(self, pairs: Sequence[TilePair], index: JournalIndex) -> None:
        write_manifest(self._manifest_path, self.manifest)
        skipped = frozenset(self.plan.newly_skipped)
        kept = {pair.name: pair for pair in pairs if pair.name in skipped} if skipped else {}
        known = [name for name in kept if name in self.plan.as_recorded]
        for earlier in index.outcomes(known):
            self._keep(kept.pop(earlier.tile), earlier)
        for pair in kept.values():
            self._keep(pair, None)
        if self._journal.is_buffered and self.plan.replaced:
            self._note_replaced()

    def _keep(self, pair: TilePair, earlier: TileOutcome | None) -> None:
        """Note that an older output is kept, with what an earlier session says of it."""
        self.record(
            TileOutcome(
                pair.name,
                "skipped",
                self.fingerprint(pair),
                output_bytes=0 if earlier is None else earlier.output_bytes,
                statistics=None if earlier is None else earlier.statistics,
            )
        )

    def _note_replaced(self) -> None:
        """Note at once that older outputs will be replaced, where a note per tile costs too much.

        Before the first of them is: killed in between, the run would leave records of files that
        are no longer the same.
        """
        for pair in self.plan.to_do:
            if pair.name in self.plan.replaced:
                fingerprint = self._fingerprint.of_pair(pair)
                self._journal.append(TileOutcome(pair.name, "replacing", fingerprint))
        self._journal.flush()

    def fingerprint(self, pair: TilePair) -> str:
        """Fingerprint of a pair, see :meth:`TileRecorder.fingerprint`."""
        return self._recorder.fingerprint(pair)

    def record(self, outcome: TileOutcome) -> None:
        """Add an outcome to the journal, see :meth:`TileRecorder.record`."""
        self._recorder.record(outcome)

    def give_up(self, outcome: TileOutcome) -> None:
        """Record that a tile's worker died with it, see :meth:`TileRecorder.give_up`."""
        self._recorder.give_up(outcome)

    @property
    def marker_name(self) -> str:
        """Name of a file in ``OUTPUT/runs`` that is there as long as this session is."""
        lease = self._lease
        return lease.path.name if isinstance(lease, Lease) else self._manifest_path.name

    def check(self) -> None:
        """Make sure that this session still holds the output folder.

        Raises:
            RunConflictError: Another run took it over.
        """
        self._lease.check()

    def summary(self) -> dict[str, Any]:
        """The document of ``inference_summary.json`` for the pairs of this run, from the journals.

        Raises:
            OutputError: A journal cannot be read.
        """
        index = self._read_journals()
        return build_summary(index, self._fingerprint.configuration_digest, self._tiles)

    def write_summary(self) -> dict[str, Any]:
        """Write ``inference_summary.json`` and the statistics of all tiles; returns the summary.

        Raises:
            OutputError: A journal cannot be read or a file cannot be written.
        """
        index = self._read_journals()
        digest = self._fingerprint.configuration_digest
        return write_reports(self.output_dir, index, digest, self._tiles)

    def _read_journals(self) -> JournalIndex:
        self._journal.flush()
        return read_journals(self.output_dir / RUNS_FOLDER)

    def close(self, state: EndState, exit_code: int) -> None:
        """Close the journal, write the manifest's end and release the lease.

        Call it last, whatever happened; harmless when closed already. The lease is released even
        if the rest cannot be written.

        Raises:
            OutputError: The journal or the manifest could not be written.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._journal.close(state)
            self.manifest = self.manifest.ended(state, exit_code)
            write_manifest(self._manifest_path, self.manifest)
        finally:
            self._lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close("finished", 0)
            return
        # What ended the run is what is to be reported, not that its end could not be noted.
        with suppress(OutputError):
            if isinstance(error, KeyboardInterrupt):
                self.close("interrupted", _EXIT_INTERRUPTED)
            else:
                self.close("failed", error.exit_code if isinstance(error, AxionError) else 1)


def _prepare(output_dir: Location, tiles: Sequence[str]) -> Location:
    """Make the folder of the records, where there are folders, and see that no link misleads."""
    runs_folder = output_dir / RUNS_FOLDER
    if isinstance(output_dir, ObjectUrl) or isinstance(runs_folder, ObjectUrl):
        return runs_folder
    try:
        runs_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The output folder {output_dir} cannot be made or written: {error.strerror or error}.",
            hint="Choose another --output-dir, or restore access to this one.",
            path=output_dir,
        ) from error
    refuse_links_outward(output_dir, {RUNS_FOLDER, *(name.rpartition("/")[0] for name in tiles)})
    return runs_folder


def _changes(previous: Mapping[str, Any] | None, facts: RunFacts) -> list[str]:
    """What differs from the run that stands in the manifest, in words."""
    if previous is None or not isinstance(previous.get("configuration"), dict):
        return []
    changes = changed_fields(previous["configuration"], facts.configuration)
    if previous.get("checkpoint_sha256") != facts.checkpoint_sha256:
        changes.append("another checkpoint")
    return changes


def _worker(part: Part | None) -> str:
    """Name of the one who writes the journal, in its file's name."""
    if part is None:
        return "main"
    return f"shard-{part.label}" if isinstance(part, Shard) else part.label


def _scope(inputs_sha256: str, *, retry_failed: bool) -> str:
    """Short name of the set of tiles that a session is about."""
    return inputs_sha256[:16] + ("-failed" if retry_failed else "")


def _manifest(
    facts: RunFacts, inputs_sha256: str, n_inputs: int, digest: str, session: int
) -> RunManifest:
    return RunManifest(
        command=facts.command,
        configuration=facts.configuration,
        configuration_digest=digest,
        checkpoint_sha256=facts.checkpoint_sha256,
        device=facts.device,
        seed=facts.seed,
        n_inputs=n_inputs,
        inputs_sha256=inputs_sha256,
        part=None if facts.part is None else str(facts.part),
        session=session,
        state="running",
        exit_code=None,
        started_at=utc_now(),
        finished_at=None,
        versions=installed_versions(),
        methods=facts.methods,
    )
