"""Whatever goes wrong in a command ends as one message and a documented exit code."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from axion_stage3 import errors
from axion_stage3.cli.app import run
from axion_stage3.cli.guard import DEBUG_VARIABLE, guarded
from axion_stage3.errors import AxionError

AXION_ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, AxionError) and kind is not AxionError
]


def end_of(error: BaseException) -> int:
    """The exit code of a command that raises an error."""

    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        guarded(command)()
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("kind", AXION_ERRORS)
def test_an_error_raised_on_purpose(
    kind: type[AxionError], capsys: pytest.CaptureFixture[str]
) -> None:
    code = end_of(kind("The thing is broken.", hint="Mend it."))

    streams = capsys.readouterr()
    assert code == kind.exit_code
    assert code in (2, 4, 5, 6, 7, 8)
    assert streams.err == f"Error {kind.code}: The thing is broken.\n  Hint: Mend it.\n"
    assert streams.out == ""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyError("x"), 1, "a bug in axion-stage3: KeyError: 'x' (test_guard.py:"),
        (RuntimeError("two\nlines"), 1, "RuntimeError: two lines"),
        (MemoryError(), 7, "Out of memory"),
        (KeyboardInterrupt(), 130, "Stopped"),
    ],
)
def test_everything_else(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(error) == code

    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2
    assert (DEBUG_VARIABLE in err) is (code == 1)


def test_the_traceback_is_there_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")

    assert end_of(ValueError("x")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_command_that_ends_well_returns() -> None:
    assert guarded(lambda: 3)() == 3


def test_a_reader_of_data_who_goes_ends_the_program_silently() -> None:
    program = (
        "from axion_stage3.cli.guard import guarded\n"
        "from axion_stage3.cli.output import Output\n"
        "guarded(lambda: [Output().data('x' * 1000) for _ in range(10_000)])()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()

    assert process.returncode == 141
    assert stderr == b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["infer", "--nonsense"], "No such option: --nonsense"),
        (["infer", "--seed", "x"], "Invalid value for '--seed'"),
        (["infer", "--sampler", "3m"], "Invalid value for '--sampler'"),
        (["infer", "--opt-v2-dir", ""], "the path is empty"),
        (["infer", "stray"], "unexpected extra argument"),
    ],
)
def test_a_command_line_that_cannot_be_read(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2

    streams = capsys.readouterr()
    assert words in streams.err
    assert "Traceback" not in streams.err
    assert streams.out == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    import axion_stage3

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"axion-stage3 {axion_stage3.__version__}\n"
