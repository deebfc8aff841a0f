"""Workers that are actors on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axion_stage3.scaling.crew import WorkerLostError
from axion_stage3.scaling.lease_worker import LeaseWorker
from axion_stage3.scaling.ray_access import is_node_alive, require_ray

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class RayWorker(LeaseWorker):
    """A worker that knows its machine by Ray's name."""

    def node(self) -> str:
        """Ray's name of the machine."""
        return str(require_ray().get_runtime_context().get_node_id())


class RayCrew:
    """See :class:`~axion_stage3.scaling.crew.Crew`.

    Args:
        ray: The package.
        actor_class: Makes actors that are :class:`RayWorker` objects.
    """

    trade = "ray"

    def __init__(self, ray: Any, actor_class: Any) -> None:
        self._ray = ray
        self._actor_class = actor_class

    def hire(self) -> Any:
        """Start an actor."""
        return self._actor_class.remote()

    def call(self, worker: Any, method: Callable[..., Any], *arguments: Any) -> Any:
        """Have an actor call a method."""
        return getattr(worker, method.__name__).remote(*arguments)

    def wait(self, calls: Collection[Any], n_wanted: int, seconds: float) -> Collection[Any]:
        """Wait for calls."""
        if not calls:
            return ()
        ended, _ = self._ray.wait(list(calls), num_returns=n_wanted, timeout=seconds)
        return list(ended)

    def result(self, call: Any) -> Any:
        """Fetch what a call returned."""
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayTaskError:
            raise  # a bug in the worker's code, not a loss
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(str(error)) from error

    def is_machine_lost(self, node: str) -> bool:
        """Ask Ray, and the machine."""
        return not is_node_alive(self._ray, node)

    def dismiss(self, *workers: Any) -> None:
        """End actors."""
        for worker in workers:
            self._ray.kill(worker)
