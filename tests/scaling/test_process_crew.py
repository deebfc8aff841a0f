"""Processes that work: their answers, their faults and their end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from crew_members import Member

from axion_stage3.errors import ResourceError
from axion_stage3.scaling.crew import WorkerLostError
from axion_stage3.scaling.process_crew import ProcessCrew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMBER = "crew_members", "Member"
PATIENCE = 60.0


@pytest.fixture
def crew() -> ProcessCrew:
    return ProcessCrew(MEMBER)


@pytest.fixture
def member(crew: ProcessCrew) -> Iterator[Any]:
    worker = crew.hire()
    yield worker
    crew.dismiss(worker)


def answer(crew: ProcessCrew, worker: Any, method: Callable[..., Any], *arguments: Any) -> Any:
    call = crew.call(worker, method, *arguments)
    assert list(crew.wait([call], 1, PATIENCE)) == [call]
    return crew.result(call)


def test_answers_come_back_whatever_is_printed(crew: ProcessCrew, member: Any) -> None:
    calls = {crew.call(member, Member.add, i, 1): i for i in range(20)}
    assert set(crew.wait(calls, len(calls), PATIENCE)) == set(calls)
    assert [crew.result(call) for call in calls] == [i + 1 for i in range(20)]


def test_a_wait_ends_with_its_time(crew: ProcessCrew, member: Any) -> None:
    call = crew.call(member, Member.wait_for_stop)
    began = time.monotonic()
    assert not crew.wait([call], 1, 0.2)
    assert time.monotonic() - began < PATIENCE / 2


def test_what_a_method_raises_is_raised_and_the_worker_goes_on(
    crew: ProcessCrew, member: Any
) -> None:
    with pytest.raises(ValueError, match="as it was told"):
        answer(crew, member, Member.fail)
    assert answer(crew, member, Member.add, 1, 2) == 3


def test_an_answer_that_is_not_understood_is_a_worker_that_is_lost(
    crew: ProcessCrew, member: Any
) -> None:
    with pytest.raises(WorkerLostError, match="its answers ended"):
        answer(crew, member, Member.fail_oddly)


def test_files_in_the_folder_of_the_run_are_no_modules(
    crew: ProcessCrew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('not what was meant')\n")
    monkeypatch.chdir(tmp_path)
    worker = crew.hire()
    assert answer(crew, worker, Member.add, 1, 2) == 3
    crew.dismiss(worker)


def test_stop_is_heard_while_a_method_is_at_work(crew: ProcessCrew, member: Any) -> None:
    call = crew.call(member, Member.wait_for_stop)
    crew.call(member, Member.stop)
    assert crew.wait([call], 1, PATIENCE)
    assert crew.result(call) is True


def test_a_worker_that_dies_answers_no_call_of_its_own(crew: ProcessCrew, member: Any) -> None:
    other = crew.hire()
    calls = [crew.call(member, Member.die), crew.call(member, Member.add, 1, 1)]
    assert answer(crew, other, Member.add, 2, 2) == 4
    assert set(crew.wait(calls, 2, PATIENCE)) == set(calls)
    for call in (*calls, crew.call(member, Member.add, 1, 1)):
        with pytest.raises(WorkerLostError, match="signal 9"):
            crew.result(call)
    crew.dismiss(other)


def test_signals_of_the_terminal_are_left_to_the_driver(crew: ProcessCrew, member: Any) -> None:
    pid = answer(crew, member, Member.pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert answer(crew, member, Member.add, 1, 2) == 3


def test_gpus_are_shared_out_in_turn() -> None:
    crew = ProcessCrew(MEMBER, gpus=["3", "GPU-5"])
    workers = [crew.hire() for _ in range(3)]
    assert [answer(crew, worker, Member.gpu) for worker in workers] == ["3", "GPU-5", "3"]
    crew.dismiss(*workers)
    assert [worker.popen.returncode for worker in workers] == [-signal.SIGKILL] * 3


def test_a_process_that_the_system_does_not_allow_is_one_clear_error(
    crew: ProcessCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(ResourceError, match="Process 1 of the run cannot be started: Resource"):
        crew.hire()


def test_workers_end_with_their_driver() -> None:
    driver = (
        "from crew_members import Member\n"
        "from axion_stage3.scaling.process_crew import ProcessCrew\n"
        f"crew = ProcessCrew({MEMBER!r})\n"
        "worker = crew.hire()\n"
        "call = crew.call(worker, Member.pid)\n"
        "crew.wait([call], 1, 60)\n"
        "print(crew.result(call), flush=True)\n"
        "crew.call(worker, Member.wait_for_stop)\n"
        "crew.wait([0], 1, 60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", driver],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    worker = Path("/proc") / process.stdout.readline().decode().strip()
    assert worker.exists()
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE
    while worker.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
