"""Workers that are processes on this machine, each with a network of its own.

What goes over are pickles over the pipes of standard input and output: both ends are this
program. A process whose driver is gone sees its input end, and ends at once.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import time
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from axion_stage3.errors import ResourceError
from axion_stage3.scaling.crew import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_MODULE: Final = "axion_stage3.scaling.worker_process"
_VISIBLE_GPUS: Final = "CUDA_VISIBLE_DEVICES"
_ENDING_SECONDS: Final = 5.0


class Request(NamedTuple):
    """A method to be called in a worker's process."""

    number: int
    method: str
    arguments: tuple[Any, ...]


class Answer(NamedTuple):
    """What became of a request: what the method returned, or raised."""

    number: int
    result: Any
    error: Exception | None


@dataclass(eq=False, slots=True)
class _Process:
    """A worker.

    Attributes:
        popen: Its process.
        open_calls: Numbers of the calls it has not answered.
    """

    popen: subprocess.Popen[bytes]
    open_calls: set[int] = field(default_factory=set)

    @property
    def requests(self) -> IO[bytes]:
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def answers(self) -> IO[bytes]:
        assert self.popen.stdout is not None
        return self.popen.stdout


class ProcessCrew:
    """See :class:`~axion_stage3.scaling.crew.Crew`.

    Args:
        worker_class: Module and name of the class that works there.
        gpus: GPUs to share out among the workers, as CUDA_VISIBLE_DEVICES has them; empty where
            all workers see what this process sees.
    """

    trade = "process"

    def __init__(self, worker_class: tuple[str, str], gpus: Sequence[str] = ()) -> None:
        self._worker_class = worker_class
        self._gpus = gpus
        self._n_hired = 0
        self._n_calls = 0
        self._lock = Lock()
        self._answers: dict[int, Answer] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def hire(self) -> _Process:
        """Start a process.

        Raises:
            ResourceError: The system allows no more.
        """
        # The same modules as here, wherever they come from, and none of those that happen to lie
        # in the folder in which the run was started.
        modules = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
        environment = {**os.environ, "PYTHONPATH": modules}
        if self._gpus:
            environment[_VISIBLE_GPUS] = self._gpus[self._n_hired % len(self._gpus)]
        self._n_hired += 1
        try:
            worker = _Process(_start(self._worker_class, environment))
        except OSError as error:
            raise ResourceError(
                f"Process {self._n_hired} of the run cannot be started: {error.strerror}.",
                hint="Give fewer --workers, or raise the limit of processes or memory.",
            ) from error
        Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def call(self, worker: _Process, method: Callable[..., Any], *arguments: Any) -> int:
        """Have a process call a method."""
        with self._lock:
            self._n_calls += 1
            number = self._n_calls
            worker.open_calls.add(number)
        try:
            pickle.dump(Request(number, method.__name__, arguments), worker.requests)
            worker.requests.flush()
        except OSError:
            self._lose(worker)  # it is gone
        return number

    def wait(self, calls: Collection[int], n_wanted: int, seconds: float) -> Collection[int]:
        """Wait for calls."""
        deadline = time.monotonic() + seconds
        while len(ended := [call for call in calls if call in self._answers]) < n_wanted:
            try:
                self._ended.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
        return ended

    def result(self, call: int) -> Any:
        """Return what a call returned."""
        answer = self._answers.pop(call)
        if answer.error is not None:
            raise answer.error
        return answer.result

    def is_machine_lost(self, node: str) -> bool:  # noqa: ARG002 - as every crew has it
        """Never: it is this one."""
        return False

    def dismiss(self, *workers: _Process) -> None:
        """End processes, all at the same time: each may have a GPU to give back."""
        for worker in workers:
            worker.popen.kill()
        deadline = time.monotonic() + _ENDING_SECONDS
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):  # hangs on a dead network disk
                worker.popen.wait(max(0.0, deadline - time.monotonic()))
            with contextlib.suppress(OSError):  # what was not sent any more
                worker.requests.close()

    def _listen(self, worker: _Process) -> None:
        """Take the answers of a process, until it is gone."""
        with worker.answers as answers:
            while True:
                try:
                    answer: Answer = pickle.load(answers)  # noqa: S301 - of our own process
                except Exception:  # noqa: BLE001 - gone, or no longer to be understood
                    break
                with self._lock:
                    worker.open_calls.discard(answer.number)
                self._note(answer)
        self._lose(worker)

    def _lose(self, worker: _Process) -> None:
        with self._lock:
            lost = sorted(worker.open_calls)
            worker.open_calls.clear()
        for number in lost:
            self._note(Answer(number, None, WorkerLostError(_how_it_ended(worker.popen))))

    def _note(self, answer: Answer) -> None:
        self._answers[answer.number] = answer
        self._ended.put(answer.number)


def _start(
    worker_class: tuple[str, str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-P", "-m", _MODULE, *worker_class],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


def _how_it_ended(popen: subprocess.Popen[bytes]) -> str:
    try:
        code = popen.wait(1.0)
    except subprocess.TimeoutExpired:
        return "its answers ended"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
