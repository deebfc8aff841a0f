"""The standard streams of the process: always there, and given up where they fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import OutputError

if TYPE_CHECKING:
    from typing import Literal

_STREAMS: Final[tuple[tuple[str, Literal["r", "w"]], ...]] = (
    ("stdin", "r"),
    ("stdout", "w"),
    ("stderr", "w"),
)


def open_closed_streams() -> None:
    """Put the null device where the process was started with a closed stream.

    Otherwise the next file that is opened gets the number of the stream, and messages of libraries
    and child processes are written into it.
    """
    for descriptor, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is given: this one, as those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def detach_stdout() -> None:
    """Send what is still to be written to standard output nowhere.

    Python flushes it once more when it ends, and would complain where it cannot be written.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def stdout_failure(error: OSError) -> OutputError:
    """Give standard output up, and make the error that says so.

    Args:
        error: What writing it raised.
    """
    detach_stdout()
    return OutputError(
        f"Standard output cannot be written: {error.strerror or error}.",
        hint="Check the disk or the program that it is sent to.",
    )
