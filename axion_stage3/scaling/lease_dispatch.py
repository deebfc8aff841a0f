"""The driver's side: hand leases to workers, count what they did, make up for those that are lost.

Nothing here is needed to know what is done: each worker's journal says that, and a lease that comes
back is checked against it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import ResourceError, TileCrashError
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.scaling.crew import WorkerLostError
from axion_stage3.scaling.lease_worker import LeaseWorker, WorkerOrders
from axion_stage3.scaling.leases import FIRST_SIZE, FIRST_SIZE_ON_A_GPU, LeaseBook

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.engine import OutcomeCounter
    from axion_stage3.runs.session import RunSession
    from axion_stage3.scaling.crew import Crew
    from axion_stage3.scaling.lease_worker import LeaseReport, WorkerFacts
    from axion_stage3.scaling.leases import TileLease
    from axion_stage3.tiles.pairing import TilePair

_TURN_SECONDS: Final = 0.2
_STOPPING_SECONDS: Final = 30.0
_CLOSING_SECONDS: Final = 10.0
_MAX_FAILED_STARTS: Final = 3


def dispatch(
    crew: Crew,
    n_workers: int,
    device: str,
    config: InferenceConfig,
    session: RunSession,
    count: OutcomeCounter,
    n_tiles: int,
    stop: Event,
    warn: Callable[[str], None],
) -> None:
    """Have workers process what a session has to do, and others where workers are lost.

    Args:
        crew: The workers.
        n_workers: How many are to be at work, at most one for each tile.
        device: What they compute on: ``cpu``, ``cuda`` or ``cuda:N``.
        config: The run.
        session: The run's session.
        count: Is called with every outcome.
        n_tiles: Number of pairs in the folders, done or not.
        stop: Once it is set, workers are stopped.
        warn: Is told once what several workers may have to say.

    Raises:
        OutputError: The output folder cannot be written, or is another run's by now.
        ResourceError: Workers cannot be started.
    """
    to_do = session.plan.to_do
    if not to_do:
        return
    orders = WorkerOrders(
        config=config,
        device=device,
        checkpoint_sha256=session.manifest.checkpoint_sha256,
        header=session.header,
        marker_name=session.marker_name,
        folder=os.getcwd(),  # noqa: PTH109 - travels as text
        n_tiles=n_tiles,
    )
    n_workers = min(n_workers, len(to_do))
    first_size = FIRST_SIZE if device == "cpu" else FIRST_SIZE_ON_A_GPU
    book = LeaseBook(to_do, session.plan.replaced, n_workers, first_size)
    _LeaseDispatch(crew, orders, book, session, count, stop, warn).run(n_workers)


@dataclass(slots=True)
class _Worker:
    """A worker, seen from the driver.

    Attributes:
        name: Name in its journal's name.
        handle: What its crew knows it by.
        node: The machine it is on; empty until it has begun.
        lease: What it is at work on; None before its first lease, and between two.
    """

    name: str
    handle: Any
    node: str = ""
    lease: TileLease | None = None


class _LeaseDispatch:
    """One run of leases over workers.

    Args:
        crew: The workers.
        orders: What they are told.
        book: The tiles.
        session: The run.
        count: Is called with every outcome.
        stop: Once it is set, workers are stopped.
        warn: Is told once what workers say.
    """

    def __init__(
        self,
        crew: Crew,
        orders: WorkerOrders,
        book: LeaseBook,
        session: RunSession,
        count: OutcomeCounter,
        stop: Event,
        warn: Callable[[str], None],
    ) -> None:
        self._crew = crew
        self._orders = orders
        self._book = book
        self._session = session
        self._count = count
        self._stop = stop
        self._warn = warn
        self._said: set[str] = set()
        self._workers: list[_Worker] = []
        self._calls: dict[Any, _Worker] = {}
        self._n_started = 0
        self._n_failed_starts = 0

    def run(self, n_workers: int) -> None:
        """Process all tiles, or stop.

        Raises:
            OutputError: The output folder cannot be written, or is another run's by now.
            ResourceError: Workers cannot be started.
        """
        try:
            for _ in range(n_workers):
                self._start()
            while not (self._book.is_finished or self._stop.is_set()):
                self._turn(_TURN_SECONDS)
            if self._stop.is_set():
                self._halt()
        finally:
            self._dismiss()

    def _turn(self, seconds: float) -> None:
        """Wait for some call to end, and see to those that have."""
        for call in self._crew.wait(self._calls, 1, seconds):
            self._settle(call)
        self._session.check()
        if not self._stop.is_set():
            self._hand_out()

    def _start(self) -> None:
        self._n_started += 1
        worker = _Worker(f"{self._crew.trade}-{self._n_started:05d}", self._crew.hire())
        self._workers.append(worker)
        self._calls[
            self._crew.call(worker.handle, LeaseWorker.begin, self._orders, worker.name)
        ] = worker

    def _hand_out(self) -> None:
        """Give every worker that waits a lease, as far as there are any."""
        busy = {id(worker) for worker in self._calls.values()}
        for worker in self._workers:
            if id(worker) in busy:
                continue
            worker.lease = self._book.take()
            if worker.lease is None:
                return
            call = self._crew.call(
                worker.handle, LeaseWorker.process, worker.lease, self._count.n_may_fail
            )
            self._calls[call] = worker

    def _settle(self, call: Any) -> None:
        worker = self._calls.pop(call)
        try:
            answer = self._crew.result(call)
        except WorkerLostError as error:
            self._lose(worker, error)
            return
        if worker.lease is None:
            self._begun(worker, answer)
        else:
            self._done(worker, worker.lease, answer)

    def _begun(self, worker: _Worker, facts: WorkerFacts) -> None:
        if facts.error is not None:
            raise facts.error
        worker.node = facts.node
        self._n_failed_starts = 0

    def _done(self, worker: _Worker, lease: TileLease, report: LeaseReport) -> None:
        worker.lease = None
        for note in report.notes:
            if note not in self._said:
                self._said.add(note)
                self._warn(note)
        for outcome in report.outcomes:
            self._count(outcome)
        if report.error is not None:
            raise report.error
        self._book.settle(lease, report.seconds)

    def _lose(self, worker: _Worker, error: WorkerLostError) -> None:
        """Take back what a worker had that is gone, and start another in its place."""
        self._workers.remove(worker)
        self._crew.dismiss(worker.handle)  # it may only be out of reach
        is_node_lost = bool(worker.node) and self._crew.is_machine_lost(worker.node)
        lease, worker.lease = worker.lease, None
        if lease is not None:
            done = self._done_by(worker, lease)
            for outcome in done.values():
                self._count(outcome)
            for pair in self._book.lose(lease, done, is_node_lost=is_node_lost):
                self._give_up(pair)
        elif not worker.node:
            self._n_failed_starts += 1
            if self._n_failed_starts >= _MAX_FAILED_STARTS:
                raise ResourceError(
                    f"{_MAX_FAILED_STARTS} workers ({self._crew.trade}) in a row died before they "
                    f"could begin: {' '.join(str(error).split())[:300]}",
                    hint="Check the memory of the machine and, on others than this one, that "
                    "axion-stage3 is installed there in the same version.",
                ) from error
        if not (self._book.is_finished or self._stop.is_set()):
            self._start()

    def _done_by(self, worker: _Worker, lease: TileLease) -> dict[str, TileOutcome]:
        """What the journal of a lost worker says of a lease."""
        journal = self._orders.header.led(worker.name).file_name
        index = read_journals(self._session.output_dir / RUNS_FOLDER, named=journal)
        names = [pair.name for pair in lease.pairs]
        return {
            outcome.tile: outcome
            for outcome in index.outcomes(names)
            if outcome.outcome in ("written", "failed", "invalid")
        }

    def _give_up(self, pair: TilePair) -> None:
        error = TileCrashError(
            f"The worker that processed {pair.name} died, and so did the one that tried it again.",
            hint="Look at this tile; --retry-failed tries it once more.",
            tile_name=pair.name,
        )
        outcome = TileOutcome.of_error(
            pair.name,
            error,
            phase="compute",
            fingerprint=self._session.fingerprint(pair),
        )
        self._session.give_up(outcome)
        self._count(outcome)

    def _halt(self) -> None:
        """Ask all workers to stop, and count what they had done until then."""
        for worker in self._workers:
            self._crew.call(worker.handle, LeaseWorker.stop)
        busy = [call for call, worker in self._calls.items() if worker.lease is not None]
        for call in self._crew.wait(busy, len(busy), _STOPPING_SECONDS):
            self._settle(call)

    def _dismiss(self) -> None:
        """Have the workers that are at rest close their journals, and end all of them."""
        state = "interrupted" if self._stop.is_set() else "finished"
        busy = {id(worker) for worker in self._calls.values()}
        resting = [worker for worker in self._workers if id(worker) not in busy]
        closing = [self._crew.call(worker.handle, LeaseWorker.finish, state) for worker in resting]
        self._crew.wait(closing, len(closing), _CLOSING_SECONDS)
        self._crew.dismiss(*(worker.handle for worker in self._workers))
