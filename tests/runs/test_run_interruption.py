from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

from axion_stage3.runs import interruption as interruption_module
from axion_stage3.runs.interruption import ECHO_SECONDS, Interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
    import signal, sys, time
    from axion_stage3.runs.interruption import Interruption
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Interruption() as interruption:
        print("ready", flush=True)
        while not interruption.is_requested:
            time.sleep(0.005)
        print("asked", flush=True)
        if "stubborn" in sys.argv:
            time.sleep(60)
        print("clean end", flush=True)
    sys.exit(interruption.exit_code)
"""


@pytest.fixture(autouse=True)
def _sigint_is_heard() -> Iterator[None]:
    """Started in the background of a shell, the tests themselves would ignore SIGINT."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program and waits until it is ready; none is left behind."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_the_run_end_cleanly(
    start: Callable[..., subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    process = start()
    process.send_signal(number)
    out, err = process.communicate(timeout=50)
    assert (out, err, process.returncode) == ("asked\nclean end\n", "", code)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_it_at_once(
    start: Callable[..., subprocess.Popen[str]], second: signal.Signals
) -> None:
    process = start("stubborn")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    time.sleep(2 * ECHO_SECONDS)
    sent = time.monotonic()
    process.send_signal(second)
    out, err = process.communicate(timeout=50)
    assert time.monotonic() - sent < 40, "it would have slept for a minute"
    assert (out, err, process.returncode) == ("", "", 130)


def test_an_echo_of_the_first_signal_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption_module, "ECHO_SECONDS", 3600.0)
    former = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert interruption.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is former


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, None])
def test_the_former_handlers_come_back(error: type[BaseException] | None) -> None:
    def own(_number: int, _frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, own), signal.getsignal(signal.SIGINT)
    try:
        if error is None:
            with Interruption():
                assert signal.getsignal(signal.SIGTERM) is not own
        else:
            with pytest.raises(error), Interruption():
                raise error
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is before[1]
    finally:
        signal.signal(signal.SIGTERM, before[0])


def test_an_ignored_signal_stays_ignored() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.is_requested
            signal.raise_signal(signal.SIGTERM)
        assert interruption.exit_code == 143
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)


def test_nothing_is_requested_without_a_signal() -> None:
    with Interruption() as interruption:
        assert not interruption.is_requested
    interruption.event.set()
    assert interruption.is_requested
    assert interruption.exit_code == 130


def test_outside_the_main_thread_it_changes_nothing() -> None:
    seen: list[object] = []
    former = signal.getsignal(signal.SIGINT)

    def use() -> None:
        with Interruption() as interruption:
            seen.extend((interruption.is_requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [False, former]


def test_nested_contexts_answer_the_inner_one() -> None:
    with Interruption() as outer:
        with Interruption() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert inner.is_requested
        assert not outer.is_requested
        signal.raise_signal(signal.SIGTERM)
        assert outer.is_requested
