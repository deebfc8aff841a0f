"""The engine that has several processes on this machine process the tiles.

One process reads and writes under one lock of Python: a fast GPU would wait for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar, Final

import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.inference.devices import resolve_device
from axion_stage3.inference.engine import Engine
from axion_stage3.inference.run_facts import facts_of_model
from axion_stage3.processor_cores import n_usable_cores
from axion_stage3.scaling.lease_dispatch import dispatch
from axion_stage3.scaling.process_crew import ProcessCrew

if TYPE_CHECKING:
    from threading import Event

    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.engine import OutcomeCounter
    from axion_stage3.inference.run_observer import ModelFacts, RunObserver
    from axion_stage3.runs.session import RunSession

_MOST_WORKERS_PER_GPU: Final = 16
_BYTES_PER_GPU_WORKER: Final = 1.5e9
"""What torch, its libraries and the graphs of one process take on a GPU, with room to spare."""


class ProcessEngine(Engine):
    """See :class:`~axion_stage3.inference.engine.Engine`.

    Attributes:
        worker_class: Module and name of the class that works in the processes.
    """

    worker_class: ClassVar[tuple[str, str]] = "axion_stage3.scaling.lease_worker", "LeaseWorker"

    def __init__(self, config: InferenceConfig, observer: RunObserver, stop: Event) -> None:
        self._config = config
        self._observer = observer
        self._stop = stop
        self._device = torch.device("cpu")
        self._gpus: list[str] = []
        self._n_workers = 1

    def prepare(self) -> ModelFacts:
        """Choose what the processes compute on, and read the checkpoint for what it says."""
        self._device = resolve_device(self._config.device)
        n_workers = n_usable_cores()
        if self._device.type == "cuda":
            if str(self._device) == "cuda":
                self._gpus = _visible_gpus()
            n_workers = n_workers_beside_gpus(self._device, max(1, len(self._gpus)))
        asked = self._config.workers
        self._n_workers = asked if isinstance(asked, int) else n_workers
        words = "process" if self._n_workers == 1 else "processes"
        checkpoint = load_checkpoint(self._config.checkpoint)
        facts = facts_of_model(checkpoint, self._config, self._device)
        self._observer.model_loading(f"{facts.device}, {self._n_workers} {words}", facts.timesteps)
        return facts

    def process(self, session: RunSession, count: OutcomeCounter, n_tiles: int) -> None:
        """Hand the tiles out to processes, and to others where processes are lost."""
        dispatch(
            ProcessCrew(self.worker_class, self._gpus),
            self._n_workers,
            str(self._device),
            self._config,
            session,
            count,
            n_tiles,
            self._stop,
            self._observer.warned,
        )


def n_workers_beside_gpus(device: torch.device, n_gpus: int) -> int:
    """How many processes keep GPUs busy, as far as cores and the GPUs' memory allow.

    Args:
        device: One of the GPUs.
        n_gpus: Number of GPUs that they share.
    """
    memory = torch.cuda.get_device_properties(device).total_memory
    n_beside_each = min(_MOST_WORKERS_PER_GPU, int(memory / _BYTES_PER_GPU_WORKER))
    return max(n_gpus, min(n_usable_cores(), n_gpus * n_beside_each))


def _visible_gpus() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    n_gpus = torch.cuda.device_count()
    names = [name.strip() for name in named.split(",") if name.strip()][:n_gpus]
    return names or [str(i) for i in range(n_gpus)]
