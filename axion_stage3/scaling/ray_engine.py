"""The engine that has workers on a Ray cluster process the tiles."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import ResourceError
from axion_stage3.inference.run_facts import facts_of_model
from axion_stage3.scaling.lease_dispatch import dispatch
from axion_stage3.scaling.ray_access import connected, require_ray
from axion_stage3.scaling.ray_crew import RayCrew, RayWorker

if TYPE_CHECKING:
    from threading import Event
    from types import TracebackType

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.engine import OutcomeCounter
    from axion_stage3.inference.run_observer import ModelFacts, RunObserver
    from axion_stage3.runs.session import RunSession


class RayEngine:
    """See :class:`~axion_stage3.inference.engine.Engine`.

    Attributes:
        worker_class: What becomes an actor.
    """

    worker_class: ClassVar[type[RayWorker]] = RayWorker

    def __init__(self, config: InferenceConfig, observer: RunObserver, stop: Event) -> None:
        self._config = config
        self._observer = observer
        self._stop = stop
        self._ray: Any = require_ray()
        self._exits = ExitStack()
        self._device = "cpu"
        self._n_workers = 1

    def __enter__(self) -> Self:
        n_workers = self._config.workers
        n_cpus = n_workers if isinstance(n_workers, int) else None
        self._exits.enter_context(connected(self._ray, self._config.address, n_cpus))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()

    def prepare(self) -> ModelFacts:
        """Choose what the workers compute on, and read the checkpoint for what it says."""
        resources = self._ray.cluster_resources()
        n_gpus = int(resources.get("GPU", 0))
        is_on_gpu = n_gpus > 0 if self._config.device == "auto" else self._config.device != "cpu"
        if is_on_gpu and not n_gpus:
            raise ResourceError(
                f"Device {self._config.device!r} was asked for, but no node of the Ray cluster has "
                "a GPU.",
                hint="Use --device cpu, or start the nodes with `ray start --num-gpus N`.",
            )
        self._device = "cuda" if is_on_gpu else "cpu"
        n_slots = n_gpus if is_on_gpu else int(resources.get("CPU", 1))
        asked = self._config.workers
        self._n_workers = asked if isinstance(asked, int) else max(1, n_slots)
        words = "worker" if self._n_workers == 1 else "workers"
        checkpoint = load_checkpoint(self._config.checkpoint)
        facts = facts_of_model(checkpoint, self._config, torch.device(self._device))
        where = f"{self._device}, {self._n_workers} {words} on Ray"
        self._observer.model_loading(where, facts.timesteps)
        if self._n_workers > n_slots:
            self._observer.warned(
                f"{self._n_workers} workers were asked for, and the cluster has room for "
                f"{n_slots}; the others begin when there is room."
            )
        return facts

    def process(self, session: RunSession, count: OutcomeCounter, n_tiles: int) -> None:
        """Hand the tiles out to workers, and to others where workers are lost."""
        actor_class = self._ray.remote(self.worker_class).options(
            num_cpus=1,
            num_gpus=1 if self._device == "cuda" else 0,
            max_concurrency=2,  # so that stop is heard while process is at work
            max_restarts=0,
        )
        crew = RayCrew(self._ray, actor_class)
        dispatch(
            crew,
            self._n_workers,
            self._device,
            self._config,
            session,
            count,
            n_tiles,
            self._stop,
            self._observer.warned,
        )
