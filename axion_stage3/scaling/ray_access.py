"""Ray, if it is installed, and a connection to a cluster, if it can be reached."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.errors import MissingExtraError, ResourceError, UsageError
from axion_stage3.processor_cores import n_usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

_REACH_SECONDS: Final = 5.0
_OBJECT_STORE_BYTES: Final = 80 * 2**20  # Ray's least; leases of paths are small
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray announces to become its rule
    "RAY_worker_niceness": "0",  # workers of a run are no background work
}


def require_ray() -> Any:
    """Import Ray.

    Raises:
        MissingExtraError: It is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError(
            f"--engine ray needs Ray, which cannot be imported: {error}.",
            hint="pip install 'axion-stage3[ray]'",
        ) from error


@contextmanager
def connected(ray: Any, address: str | None, n_cpus: int | None) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine, and leave it in the end.

    A connection that is there already is used, and kept.

    Args:
        ray: The package.
        address: ``host:port``, ``ray://host:port`` or ``auto``; None for this machine alone.
        n_cpus: CPU slots of a cluster that is started; None for the cores of this machine.

    Raises:
        UsageError: The address is none.
        ResourceError: No cluster answers there.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)  # what it says is said by this run's errors
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        options |= {
            "address": "local",
            "num_cpus": n_cpus or n_usable_cores(),
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    else:
        _require_answer(address)
        options["address"] = address
    try:
        with _signals_kept():
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        raise _unreachable(address or "this machine", error) from error
    try:
        yield
    finally:
        ray.shutdown()


def is_node_alive(ray: Any, node: str) -> bool:
    """Whether a machine of the cluster is still there.

    Ray notices that a machine is gone many seconds after it lost the workers on it, so that its
    own process there is asked too.

    Args:
        ray: The package.
        node: Ray's name of the machine.
    """
    for facts in ray.nodes():
        if facts["NodeID"] == node and facts["Alive"]:
            place = facts["NodeManagerAddress"], facts["NodeManagerPort"]
            try:
                socket.create_connection(place, _REACH_SECONDS).close()
            except OSError:
                return False
            return True
    return False


def _require_answer(address: str) -> None:
    """Ask the address itself first: Ray would try for a minute before it gives up."""
    if address == "auto":
        return
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not (separator and host and port.isdecimal()):
        raise UsageError(
            f"{address!r} is no address of a Ray cluster.",
            hint="Give host:port as `ray start` shows it, such as 10.0.0.1:6379, or auto.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ResourceError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ResourceError(
        f"No Ray cluster answers at {address}: {reason[:300]}.",
        hint="Start one with `ray start --head` and give its address with --address, or leave "
        "--address out to use this machine alone.",
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handlers of the run, where Ray would put in its own."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            try:
                signal.signal(number, handler)
            except (ValueError, TypeError):
                return  # not the main thread, or a handler that Python did not set
