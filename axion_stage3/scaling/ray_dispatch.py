"""The driver's side: hand leases to actors, count what they did, make up for those that are lost.

Nothing here is needed to know what is done: each worker's journal says that, and a lease that comes
back is checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import ResourceError, TileCrashError
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.scaling.ray_access import is_node_alive

if TYPE_CHECKING:
    from threading import Event

    from axion_stage3.inference.engine import OutcomeCounter
    from axion_stage3.runs.session import RunSession
    from axion_stage3.scaling.leases import LeaseBook, TileLease
    from axion_stage3.scaling.ray_worker import LeaseReport, WorkerFacts, WorkerOrders
    from axion_stage3.tiles.pairing import TilePair

_TURN_SECONDS: Final = 0.2
_STOPPING_SECONDS: Final = 30.0
_CLOSING_SECONDS: Final = 10.0
_MAX_FAILED_STARTS: Final = 3


@dataclass(slots=True)
class _Worker:
    """An actor, seen from the driver.

    Attributes:
        name: Name in its journal's name.
        actor: Its handle.
        node: The machine it is on; empty until it has begun.
        lease: What it is at work on; None before its first lease, and between two.
    """

    name: str
    actor: Any
    node: str = ""
    lease: TileLease | None = None


class RayDispatch:
    """One run of leases over actors.

    Args:
        ray: The package.
        actor_class: Makes actors that are `RayWorker`s.
        orders: What they are told.
        book: The tiles.
        session: The run.
        count: Is called with every outcome.
        stop: Once it is set, workers are stopped.
    """

    def __init__(
        self,
        ray: Any,
        actor_class: Any,
        orders: WorkerOrders,
        book: LeaseBook,
        session: RunSession,
        count: OutcomeCounter,
        stop: Event,
    ) -> None:
        self._ray = ray
        self._actor_class = actor_class
        self._orders = orders
        self._book = book
        self._session = session
        self._count = count
        self._stop = stop
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
        ended, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        for call in ended:
            self._settle(call)
        self._session.check()
        if not self._stop.is_set():
            self._hand_out()

    def _start(self) -> None:
        self._n_started += 1
        worker = _Worker(f"ray-{self._n_started:05d}", self._actor_class.remote())
        self._workers.append(worker)
        self._calls[worker.actor.begin.remote(self._orders, worker.name)] = worker

    def _hand_out(self) -> None:
        """Give every worker that waits a lease, as far as there are any."""
        busy = {id(worker) for worker in self._calls.values()}
        for worker in self._workers:
            if id(worker) in busy:
                continue
            worker.lease = self._book.take()
            if worker.lease is None:
                return
            self._calls[worker.actor.process.remote(worker.lease)] = worker

    def _settle(self, call: Any) -> None:
        worker = self._calls.pop(call)
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayTaskError:
            raise  # a bug in the worker's code, not a loss
        except self._ray.exceptions.RayError as error:
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
        for outcome in report.outcomes:
            self._count(outcome)
        if report.error is not None:
            raise report.error
        self._book.settle(lease, report.seconds)

    def _lose(self, worker: _Worker, error: Exception) -> None:
        """Take back what a worker had that is gone, and start another in its place."""
        self._workers.remove(worker)
        self._ray.kill(worker.actor)  # it may only be out of reach
        is_node_lost = bool(worker.node) and not is_node_alive(self._ray, worker.node)
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
                    f"{_MAX_FAILED_STARTS} Ray workers in a row died before they could begin: "
                    f"{' '.join(str(error).split())[:300]}",
                    hint="Check the memory of the nodes, and that axion-stage3 is installed there "
                    "in the same version.",
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
            worker.actor.stop.remote()
        busy = [call for call, worker in self._calls.items() if worker.lease is not None]
        if busy:
            ended, _ = self._ray.wait(busy, num_returns=len(busy), timeout=_STOPPING_SECONDS)
            for call in ended:
                self._settle(call)

    def _dismiss(self) -> None:
        """Have the workers that are at rest close their journals, and end all of them."""
        state = "interrupted" if self._stop.is_set() else "finished"
        busy = {id(worker) for worker in self._calls.values()}
        resting = [worker for worker in self._workers if id(worker) not in busy]
        closing = [worker.actor.finish.remote(state) for worker in resting]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSING_SECONDS)
        for worker in self._workers:
            self._ray.kill(worker.actor)
