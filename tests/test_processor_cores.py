from __future__ import annotations

import os

import pytest

from axion_stage3.cli.app import run
from axion_stage3.processor_cores import n_usable_cores


@pytest.mark.parametrize(
    "command",
    ["validate /no/such/run", "visualize /no/such/run", "export /no/such/run --output-dir out"],
    ids=lambda command: command.split()[0],
)
def test_a_system_that_does_not_tell_the_cores_of_a_process_will_do(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """macOS and Windows have no ``sched_getaffinity``."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert run(command.split()) == 4
    assert "/no/such/run" in capsys.readouterr().err
    assert n_usable_cores() == os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux only")
def test_cores_that_the_process_may_not_use_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert n_usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
