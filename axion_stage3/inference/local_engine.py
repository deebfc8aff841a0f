"""The engine that processes all tiles in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.inference.devices import resolve_device
from axion_stage3.inference.engine import Engine
from axion_stage3.inference.run_facts import facts_of_model
from axion_stage3.inference.tile_work import TileWork

if TYPE_CHECKING:
    from threading import Event

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.engine import OutcomeCounter
    from axion_stage3.inference.run_observer import ModelFacts, RunObserver
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.runs.session import RunSession


class LocalEngine(Engine):
    """See :class:`~axion_stage3.inference.engine.Engine`."""

    def __init__(self, config: InferenceConfig, observer: RunObserver, stop: Event) -> None:
        self._config = config
        self._observer = observer
        self._stop = stop
        self._work: TileWork | None = None

    def prepare(self) -> ModelFacts:
        """Put the network on the device."""
        device = resolve_device(self._config.device)
        checkpoint = load_checkpoint(self._config.checkpoint)
        facts = facts_of_model(checkpoint, self._config, device)
        self._observer.model_loading(facts.device, facts.timesteps)
        self._work = TileWork(self._config, checkpoint, device, self._stop, self._observer.warned)
        return facts

    def process(self, session: RunSession, count: OutcomeCounter, n_tiles: int) -> None:
        """Take the tiles through the pipeline."""
        assert self._work is not None, "prepared before"

        def report(outcome: TileOutcome) -> None:
            session.record(outcome)
            count(outcome)

        self._work.run(session.plan.to_do, session.fingerprint, report, n_tiles, self._observer)
