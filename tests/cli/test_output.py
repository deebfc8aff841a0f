"""Where words go: data to standard output, the rest to standard error, and nothing that breaks."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from axion_stage3.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS: dict[str, Callable[[Output], None]] = {
    "data": lambda output: output.data("words"),
    "document": lambda output: output.document({"words": 1}),
    "note": lambda output: output.note("words", "good"),
    "warn": lambda output: output.warn("words"),
    "error": lambda output: output.error("words", hint="do this", code="AX-E001"),
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("is_quiet", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_each_kind_goes_to_its_stream(
    call: str, is_quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    CALLS[call](Output(is_quiet=is_quiet))

    streams = capsys.readouterr()
    is_data = call in ("data", "document")
    is_silenced = is_quiet and call == "note"
    assert ("words" in streams.out) is is_data
    assert ("words" in streams.err) is (not is_data and not is_silenced)
    assert "\x1b" not in streams.out + streams.err


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(
    no_color: str, is_coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", no_color)

    Output().note("done", "good")

    assert ("\x1b[32m" in terminal.getvalue()) is is_coloured


def test_an_error_is_wrapped_at_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    path = "/a-long-path/" + "folder-name/" * 10

    Output().error(f"There is nothing that could be read in {path} " + "and so on " * 20, hint="x")

    lines = terminal.getvalue().splitlines()
    assert any(path in line for line in lines)
    assert all(len(line) <= 80 for line in lines if path not in line)
    assert lines[-1].strip() == "Hint: x"


def test_an_error_is_one_line_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error("word " * 100, hint="one thing", code="AX-E400")

    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("Error AX-E400: word word")
    assert second == "  Hint: one thing"


def test_a_reader_of_notes_who_goes_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken())
    output = Output()

    output.note("first")
    output.note("second")
    with output.progress("Processing tiles", 2) as progress:
        progress.advance()

    assert output.is_quiet, "nothing is tried again on a stream that has gone"


def test_a_document_is_plain_json(capsys: pytest.CaptureFixture[str]) -> None:
    Output().document({"name": "prüfung.npz", "n": 1.5})

    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "prüfung.npz", "n": 1.5}
    assert out.isascii()
    with pytest.raises(ValueError, match="JSON compliant"):
        Output().document({"n": float("nan")})


def test_data_survives_a_narrow_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))

    Output().data("│ ndvi │")
    sys.stdout.flush()

    assert b"ndvi" in raw.getvalue()


def test_progress_without_a_terminal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Output().progress("Processing tiles", 3) as progress:
        progress.advance()
        progress.advance(2)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Processing tiles: 3/3 [00:00, ")
    assert line.endswith(" tiles/s]")


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")

    with Output().progress("Processing tiles", 4) as progress:
        for _ in range(4):
            progress.advance()

    last = terminal.getvalue().replace("\r", "\n")
    assert "100%" in last
    assert "4/4" in last
    assert "tiles/s" in last


def test_quiet_has_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(is_quiet=True).progress("Processing tiles", 1) as progress:
        progress.advance()

    assert capsys.readouterr().err == ""
