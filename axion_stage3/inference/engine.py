"""Who processes the tiles of a run: this process, or workers here or elsewhere.

An engine is chosen by name (``--engine``) and imported only then: some need optional dependencies.
"""

from __future__ import annotations

from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol, Self

from axion_stage3.errors import UsageError

if TYPE_CHECKING:
    from threading import Event
    from types import TracebackType

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.run_observer import ModelFacts, RunObserver
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.session import RunSession

_HOMES: Final = {
    "local": ("axion_stage3.inference.local_engine", "LocalEngine"),
    "processes": ("axion_stage3.scaling.process_engine", "ProcessEngine"),
    "ray": ("axion_stage3.scaling.ray_engine", "RayEngine"),
}
"""Name of an engine to its module and class, which is made with config, observer and stop."""


class OutcomeCounter:
    """Counts outcomes that a journal has taken note of, and passes them on; one thread at a time.

    Args:
        observer: Is told of each.
        limit: How many tiles may fail; None: all of them.
        stop: Is set when one more has failed.

    Attributes:
        n_done: Outcomes so far.
        n_failed: Those of them that were not written.
    """

    def __init__(self, observer: RunObserver, limit: int | None, stop: Event) -> None:
        self.n_done = 0
        self.n_failed = 0
        self._observer = observer
        self._limit = limit
        self._stop = stop
        self._lock = Lock()

    @property
    def is_over_limit(self) -> bool:
        """Whether more tiles have failed than may."""
        return self._limit is not None and self.n_failed > self._limit

    @property
    def n_may_fail(self) -> int | None:
        """How many more tiles may fail; None: all of them."""
        return None if self._limit is None else self._limit - self.n_failed

    def __call__(self, outcome: TileOutcome) -> None:
        """Count an outcome."""
        with self._lock:
            self.n_done += 1
            self.n_failed += outcome.outcome != "written"
            if self.is_over_limit:
                self._stop.set()
            self._observer.tile_done(outcome)


class Engine(Protocol):
    """Processes tiles. Used as a context manager; what it holds is freed when that is left.

    One that holds nothing has nothing to add to that.
    """

    def __enter__(self) -> Self:
        """Get ready; an engine that cannot work raises here."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free everything."""

    def prepare(self) -> ModelFacts:
        """Choose the device and read the checkpoint.

        Raises:
            CheckpointError: The checkpoint is missing or unfit.
            ResourceError: There is no such device.
        """
        ...

    def process(self, session: RunSession, count: OutcomeCounter, n_tiles: int) -> None:
        """Process the tiles that the session has to do, until all are done or the run is to stop.

        Args:
            session: The run; every outcome goes into one of its journals.
            count: Is called with every outcome, after the journal took note of it.
            n_tiles: Number of pairs in the folders, done or not.

        Raises:
            OutputError: The output folder cannot be written, or belongs to another run by now.
            ResourceError: The engine has nothing left to compute with.
        """
        ...


def make_engine(config: InferenceConfig, observer: RunObserver, stop: Event) -> Engine:
    """Make the engine of a run.

    Raises:
        UsageError: Options of another engine were given.
        MissingExtraError: It needs a package that is not installed.
    """
    check_engine_options(config)
    module, name = _HOMES[config.engine]
    engine: Engine = getattr(import_module(module), name)(config, observer, stop)
    return engine


def check_engine_options(config: InferenceConfig) -> None:
    """Refuse options that say nothing to the engine.

    Raises:
        UsageError: Options of another engine were given.
    """
    if config.engine == "local" and config.workers != "auto":
        raise UsageError(
            "--workers says nothing to the local engine, which is one process.",
            hint="Add --engine processes or --engine ray, or leave it out.",
        )
    if config.engine != "ray" and config.address is not None:
        raise UsageError(
            f"--address says nothing to the engine {config.engine!r}.",
            hint="Add --engine ray, or leave it out.",
        )
