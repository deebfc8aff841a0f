"""A worker for the tests of crews; imported in processes of its own."""

from __future__ import annotations

import os
import signal
from threading import Event


class OddError(Exception):
    """Cannot be made anew from what it says."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class Member:
    """Does as it is told."""

    def __init__(self) -> None:
        self._stop = Event()

    def add(self, first: int, second: int) -> int:
        print("what a library may print")  # noqa: T201
        return first + second

    def gpu(self) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    def fail(self) -> None:
        raise ValueError("as it was told")

    def fail_oddly(self) -> None:
        raise OddError("as it was ", "told")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def pid(self) -> int:
        return os.getpid()

    def wait_for_stop(self) -> bool:
        return self._stop.wait(60.0)

    def stop(self) -> None:
        self._stop.set()
