"""A worker that does leases: one network on one device, and a journal."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Final

import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import AxionError, CheckpointError, InputFolderError, OutputError
from axion_stage3.inference.tile_work import TileWork
from axion_stage3.runs.fingerprint import RunFingerprint
from axion_stage3.runs.journal import RUNS_FOLDER, Journal, JournalHeader
from axion_stage3.runs.tile_recorder import TileRecorder

if TYPE_CHECKING:
    from axion_stage3.config import InferenceConfig
    from axion_stage3.runs.journal import EndState
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.scaling.leases import TileLease
    from axion_stage3.storage.locations import Location

_SIGHT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """What all workers of a run are told.

    Attributes:
        config: The run.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        checkpoint_sha256: Of the driver's checkpoint.
        header: First line of the driver's journal.
        marker_name: File in ``OUTPUT/runs`` by which the output folder of this run is known.
        folder: The folder the driver was started in; relative paths begin there.
        n_tiles: Number of pairs in the folders.
    """

    config: InferenceConfig
    device: str
    checkpoint_sha256: str
    header: JournalHeader
    marker_name: str
    folder: str
    n_tiles: int


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """What became of a lease.

    Attributes:
        outcomes: Of its tiles; statistics are in the worker's journal only.
        seconds: How long it took.
        notes: Why something that makes runs fast does not work there.
        error: What ends the run, None if it goes on.
    """

    outcomes: tuple[TileOutcome, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    error: AxionError | None = None


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A worker that has begun, or could not.

    Attributes:
        node: Name of the machine it is on.
        error: Why it could not begin, None if it has.
    """

    node: str
    error: AxionError | None = None


class LeaseWorker:
    """A worker; its methods are called from elsewhere, ``stop`` while ``process`` is at work."""

    def __init__(self) -> None:
        self._stop = Event()
        self._orders: WorkerOrders | None = None
        self._work: TileWork | None = None
        self._journal: Journal | None = None
        self._notes: list[str] = []

    def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
        """Load the network and open the journal.

        Args:
            orders: What is to be done.
            name: Name of the worker, in its journal's name.
        """
        try:
            self._begin(orders, name)
        except AxionError as error:
            return WorkerFacts(self.node(), error)
        return WorkerFacts(self.node())

    def node(self) -> str:
        """Name of the machine, as :class:`Crew` knows it."""
        return platform.node()

    def _begin(self, orders: WorkerOrders, name: str) -> None:
        if os.path.isdir(orders.folder):  # noqa: PTH112 - never raises
            os.chdir(orders.folder)
        config = orders.config
        runs_folder = config.output_dir / RUNS_FOLDER
        _require_sight(runs_folder / orders.marker_name, config)
        checkpoint = load_checkpoint(config.checkpoint)
        if checkpoint.sha256 != orders.checkpoint_sha256:
            raise CheckpointError(
                f"The checkpoint {checkpoint.path} on {platform.node()} is not the driver's.",
                hint="Give all machines the same file, or put it on a shared file system.",
                path=checkpoint.path,
            )
        torch.set_num_threads(1)  # a slot is one core, whatever the environment says
        self._orders = orders
        device = torch.device(orders.device)
        self._work = TileWork(config, checkpoint, device, self._stop, self._notes.append)
        self._journal = Journal(runs_folder, orders.header.led(name))

    def process(self, lease: TileLease, n_may_fail: int | None = None) -> LeaseReport:
        """Process the tiles of a lease with the code of a local run, and journal them.

        Args:
            lease: The tiles.
            n_may_fail: How many of them may fail before the run is to stop; None: all of them.
        """
        assert self._orders is not None, "begun before"
        assert self._journal is not None, "begun before"
        assert self._work is not None, "begun before"
        outcomes: list[TileOutcome] = []
        recorder = TileRecorder(
            self._journal,
            RunFingerprint(self._orders.header.configuration_digest),
            self._orders.config.output_dir,
            lease.replaced,
        )

        failed: list[str] = []

        def report(outcome: TileOutcome) -> None:
            recorder.record(outcome)
            outcomes.append(replace(outcome, statistics=None))
            if outcome.outcome != "written":
                failed.append(outcome.tile)
                if n_may_fail is not None and len(failed) > n_may_fail:
                    self._stop.set()

        began = time.perf_counter()
        error = None
        try:
            self._work.run(lease.pairs, recorder.fingerprint, report, self._orders.n_tiles)
            self._journal.flush()  # what the driver counts must outlive this worker
        except AxionError as fault:
            error = fault
        notes = tuple(self._notes)
        self._notes.clear()
        return LeaseReport(tuple(outcomes), time.perf_counter() - began, notes, error)

    def stop(self) -> None:
        """Begin no more tiles, and drop the batch in flight."""
        self._stop.set()

    def finish(self, state: EndState) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close(state)


def _require_sight(marker: Location, config: InferenceConfig) -> None:
    """Make sure that this machine sees the folders of the run under the same paths."""
    deadline = time.monotonic() + _SIGHT_SECONDS
    # A network file system may take a while to show what another machine has just made.
    while not marker.is_file():
        if time.monotonic() > deadline:
            raise OutputError(
                f"The machine {platform.node()} does not see the output folder "
                f"{config.output_dir} of this run.",
                hint="Workers on several machines need a file system that all of them share, "
                "under the same path.",
                path=config.output_dir,
            )
        time.sleep(0.2)
    for folder in (config.opt_v2_dir, config.s1_dir):
        if not folder.is_dir():
            raise InputFolderError(
                f"The machine {platform.node()} does not see the folder {folder}.",
                hint="Workers on several machines need a file system that all of them share, "
                "under the same path.",
                path=folder,
            )
