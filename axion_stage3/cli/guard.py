"""What comes out of a command when something went wrong: one message and an exit code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import typer

from axion_stage3.cli.library_logs import library_logs
from axion_stage3.cli.output import Output
from axion_stage3.cli.standard_streams import detach_stdout
from axion_stage3.errors import AxionError, InputFolderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEBUG_VARIABLE: Final = "AXION_STAGE3_DEBUG"
_CONSOLE_OPTIONS: Final = ("quiet", "verbose", "log_format")
EXIT_BUG: Final = 1
EXIT_RESOURCES: Final = 7
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

P = ParamSpec("P")
R = TypeVar("R")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command so that every exception ends the process by the documented rules.

    ====================  =========  ==============================================================
    AxionError            its own    its message and hint
    MemoryError           7          what to reduce
    FileNotFoundError     4          that the working directory is gone, where it is
    KeyboardInterrupt     130        that it was stopped
    BrokenPipeError       141        nothing: whoever read standard output has gone
    anything else         1          one line that calls it a bug and says how to see the traceback
    ====================  =========  ==============================================================

    With ``AXION_STAGE3_DEBUG=1`` the traceback is shown too. What the library logs meanwhile is
    shown where the command was given ``--verbose``.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        output = Output()
        try:
            output = _sink_of(kwargs)
            with library_logs(output):
                result = command(*args, **kwargs)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise  # Typer renders these itself
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last line of defence
            if is_debugging():
                traceback.print_exc(file=sys.stderr)
            sys.exit(report_failure(error, output))
        return result

    return run


def is_debugging() -> bool:
    """Whether tracebacks and warnings are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _sink_of(arguments: Mapping[str, Any]) -> Output:
    """The sink that a command's options ask for, for what happens around the command."""
    wanted = {name: arguments[name] for name in _CONSOLE_OPTIONS if name in arguments}
    return Output.of_options(**wanted)


def report_failure(error: BaseException, output: Output) -> int:
    """Say what went wrong, and return the exit code for it."""
    if isinstance(error, AxionError):
        output.error(error.message, hint=error.hint, code=error.code)
        return error.exit_code
    if isinstance(error, MemoryError):
        output.error("Out of memory.", hint="Use a smaller --batch-size.")
        return EXIT_RESOURCES
    if isinstance(error, KeyboardInterrupt):
        output.error("Stopped by the keyboard.")
        return EXIT_INTERRUPTED
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        output.error(
            "The working directory is not there any more.",
            hint="Change to a folder that is there, and run the same command again.",
            code=InputFolderError.code,
        )
        return InputFolderError.exit_code
    if isinstance(error, BrokenPipeError):
        detach_stdout()
        return EXIT_BROKEN_PIPE
    output.error(
        f"This is a bug in axion-stage3: {_in_one_line(error)}",
        hint=f"Run again with {DEBUG_VARIABLE}=1 to see the traceback, and report it.",
    )
    return EXIT_BUG


def _has_working_directory() -> bool:
    """Whether relative paths lead anywhere: the folder the program was started in may be gone."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _in_one_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}".split()) + place
