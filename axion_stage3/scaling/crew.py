"""Where workers are, how their methods are called there, and how they are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class WorkerLostError(Exception):
    """A worker is gone, or out of reach, before it had answered."""


class Crew(Protocol):
    """Starts :class:`~axion_stage3.scaling.lease_worker.LeaseWorker` objects elsewhere.

    Attributes:
        trade: What its workers are called, in the names of their journals and in errors.
    """

    trade: str

    def hire(self) -> Any:
        """Start a worker and return its handle; nothing is known of it until it has answered."""
        ...

    def call(self, worker: Any, method: Callable[..., Any], *arguments: Any) -> Any:
        """Have a worker call one of its methods; returns what :meth:`wait` knows the call by."""
        ...

    def wait(self, calls: Collection[Any], n_wanted: int, seconds: float) -> Collection[Any]:
        """Wait until so many calls have ended, or the time is over; return those that have."""
        ...

    def result(self, call: Any) -> Any:
        """Return what a call that has ended returned, or raise what it raised.

        Raises:
            WorkerLostError: The worker is gone.
        """
        ...

    def is_machine_lost(self, node: str) -> bool:
        """Whether the machine of a worker that was lost is lost as well."""
        ...

    def dismiss(self, *workers: Any) -> None:
        """End workers at once, whatever they do."""
        ...
