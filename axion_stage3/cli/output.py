"""The one sink of the command line: data to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import typer

from axion_stage3.cli.standard_streams import stdout_failure
from axion_stage3.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.cli.progress import TileProgress

Tone = Literal["plain", "strong", "good", "warning", "bad"]
Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

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

    With the log format ``json``, each message is one JSON object a line (`time`, `level`,
    `message`, and the fields it was given) and no bar is drawn.

    Args:
        is_quiet: Whether notes and progress are suppressed; warnings, errors and data are not.
        is_verbose: Whether details are shown too, in place of progress bars.
        log_format: How messages are written to standard error.
    """

    def __init__(
        self, *, is_quiet: bool = False, is_verbose: bool = False, log_format: LogFormat = "text"
    ) -> None:
        self.is_quiet = is_quiet
        self.is_verbose = is_verbose
        self.log_format = log_format

    @classmethod
    def of_options(
        cls, *, quiet: bool = False, verbose: bool = False, log_format: LogFormat = "text"
    ) -> Self:
        """Make the sink that the options of a command ask for.

        Raises:
            UsageError: It is to be quiet and verbose at once.
        """
        if quiet and verbose:
            raise UsageError(
                "--quiet and --verbose contradict each other.", hint="Leave one of them out."
            )
        return cls(is_quiet=quiet, is_verbose=verbose, log_format=log_format)

    @property
    def is_json(self) -> bool:
        """Whether messages are JSON objects."""
        return self.log_format == "json"

    @property
    def has_bars(self) -> bool:
        """Whether live progress bars are drawn."""
        return not (self.is_quiet or self.is_verbose or self.is_json) and is_terminal()

    def data(self, text: str) -> None:
        """Write a line or table of the result to standard output.

        Raises:
            BrokenPipeError: The reader has gone.
            OutputError: It cannot be written for another reason, such as a full disk.
        """
        encoding = sys.stdout.encoding or "utf-8"
        printable = text.encode(encoding, "backslashreplace").decode(encoding)
        try:
            typer.echo(printable, color=_colour_choice())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise stdout_failure(error) from error

    def document(self, document: Mapping[str, object]) -> None:
        """Write one JSON document to standard output: sorted as given, ASCII, no NaN.

        Raises:
            BrokenPipeError: The reader has gone.
            OutputError: It cannot be written for another reason, such as a full disk.
        """
        self.data(json.dumps(document, indent=2, allow_nan=False))

    def detail(self, text: str, **fields: object) -> None:
        """Write what was decided, or done with one tile; only when verbose.

        Args:
            text: The line.
            **fields: What a JSON log has beside it.
        """
        if self.is_verbose:
            self._say("debug", text, fields=fields)

    def note(self, text: str = "", tone: Tone = "plain", **fields: object) -> None:
        """Write a line that accompanies the work; nothing when quiet.

        Args:
            text: The line.
            tone: How it looks on a terminal.
            **fields: What a JSON log has beside it.
        """
        if not self.is_quiet:
            self._say("info", text, tone, fields)

    def warn(self, text: str, **fields: object) -> None:
        """Write a line that must be seen even when quiet."""
        self._say("warning", text, "warning", fields)

    def error(self, message: str, *, hint: str = "", code: str = "") -> None:
        """Write the one message of a failure, and what to do next."""
        if self.is_json:
            self._say("error", message, fields={"code": code, "hint": hint})
            return
        self._say(
            "error", _wrapped(f"Error {code}: {message}" if code else f"Error: {message}"), "bad"
        )
        if hint:
            self._say("error", _wrapped(f"  Hint: {hint}"))

    def progress(self, description: str, total: int) -> TileProgress:
        """Make a progress display: a bar on a terminal, one line at the end elsewhere."""
        from axion_stage3.cli.progress import TileProgress

        return TileProgress(description, total, self.note, has_bar=self.has_bars)

    def _say(
        self,
        level: Level,
        text: str,
        tone: Tone = "plain",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        styled = text if tone == "plain" or not text else typer.style(text, **_STYLES[tone])
        if self.is_json:
            if not text.strip("= \n"):
                return  # blank lines and rules are for the eye
            styled = _json_line(level, text, fields or {})
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


def _json_line(level: Level, text: str, fields: Mapping[str, object]) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = {"time": time, "level": level, "message": text.strip(), **fields}
    return json.dumps(record, default=str)


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
