"""The other end of a :mod:`~axion_stage3.scaling.process_crew`: a process that works for it.

    python -m axion_stage3.scaling.worker_process MODULE CLASS

Signals that the terminal or a scheduler sends to all processes of a run are the driver's to obey:
it then asks its workers to stop.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
from importlib import import_module
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from axion_stage3.scaling.process_crew import Answer, Request

if TYPE_CHECKING:
    from axion_stage3.scaling.lease_worker import LeaseWorker

_AT_ONCE = "stop"
"""The method that is called while another one is at work."""


def main(module: str, name: str) -> None:
    """Answer requests until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Whatever prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker: LeaseWorker = getattr(import_module(module), name)()
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    Thread(target=_listen, args=(worker, requests), daemon=True).start()
    while True:
        request = requests.get()
        pickle.dump(_answer(worker, request), answers)
        answers.flush()


def _listen(worker: LeaseWorker, requests: queue.SimpleQueue[Request]) -> None:
    source: IO[bytes] = sys.stdin.buffer
    while True:
        try:
            request: Request = pickle.load(source)  # noqa: S301 - of our own driver
        except Exception:  # noqa: BLE001
            # The driver is gone: what is not written yet is for the next run.
            os._exit(1)
        if request.method == _AT_ONCE:
            worker.stop()
        else:
            requests.put(request)


def _answer(worker: LeaseWorker, request: Request) -> Answer:
    try:
        result: Any = getattr(worker, request.method)(*request.arguments)
    except Exception as error:  # noqa: BLE001 - raised again by the driver
        return Answer(request.number, None, error)
    return Answer(request.number, result, None)


if __name__ == "__main__":
    main(*sys.argv[1:])
