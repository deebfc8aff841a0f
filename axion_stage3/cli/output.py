"""The one sink of the command line: data to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.cli.progress import TileProgress

Tone = Literal["plain", "strong", "good", "warning", "bad"]

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "strong": {"bold": True},
    "good": {"fg": "green"},
    "warning": {"fg": "yellow"},
    "bad": {"fg": "red"},
}
_FALLBACK_WIDTH: Final = 80


class Output:
    """Where a command puts what it has to say.

    Colour is used on a terminal only, and never where ``NO_COLOR`` is set. When standard error is
    gone (a closed pipe), notes are dropped: a run is not lost because nobody reads along.

    Args:
        is_quiet: Whether notes and progress are suppressed; warnings, errors and data are not.
    """

    def __init__(self, *, is_quiet: bool = False) -> None:
        self.is_quiet = is_quiet

    def data(self, text: str) -> None:
        """Write a line or table of the result to standard output.

        Raises:
            BrokenPipeError: The reader has gone.
        """
        encoding = sys.stdout.encoding or "utf-8"
        printable = text.encode(encoding, "backslashreplace").decode(encoding)
        typer.echo(printable, color=_colour_choice())

    def document(self, document: Mapping[str, object]) -> None:
        """Write one JSON document to standard output: sorted as given, ASCII, no NaN.

        Raises:
            BrokenPipeError: The reader has gone.
        """
        self.data(json.dumps(document, indent=2, allow_nan=False))

    def note(self, text: str = "", tone: Tone = "plain") -> None:
        """Write a line that accompanies the work; nothing when quiet."""
        if not self.is_quiet:
            self._say(text, tone)

    def warn(self, text: str) -> None:
        """Write a line that must be seen even when quiet."""
        self._say(text, "warning")

    def error(self, message: str, *, hint: str = "", code: str = "") -> None:
        """Write the one message of a failure, and what to do next."""
        self._say(_wrapped(f"Error {code}: {message}" if code else f"Error: {message}"), "bad")
        if hint:
            self._say(_wrapped(f"  Hint: {hint}"))

    def progress(self, description: str, total: int) -> TileProgress:
        """Make a progress display: a bar on a terminal, one line at the end elsewhere."""
        from axion_stage3.cli.progress import TileProgress

        return TileProgress(self, description, total, has_bar=not self.is_quiet and is_terminal())

    def _say(self, text: str, tone: Tone = "plain") -> None:
        styled = text if tone == "plain" or not text else typer.style(text, **_STYLES[tone])
        try:
            typer.echo(styled, err=True, color=_colour_choice())
        except OSError:
            self.is_quiet = True


def is_terminal() -> bool:
    """Whether standard error is a terminal that a bar can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _colour_choice() -> bool | None:
    # None lets Typer strip colour wherever the stream is not a terminal.
    return False if os.environ.get("NO_COLOR") else None


def _wrapped(text: str) -> str:
    """Wrap at words for a terminal; files and pipes get each message as one line."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size((_FALLBACK_WIDTH, 24)).columns
    return "\n".join(
        textwrap.fill(
            line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        for line in text.splitlines()
    )
