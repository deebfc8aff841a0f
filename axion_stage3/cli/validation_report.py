"""The formats of ``axion-stage3 validate``; each is written piece by piece."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Final, Protocol

import typer

from axion_stage3.cli.text_layout import SEVERITY_COLOURS, indented
from axion_stage3.exporting.wording import counted, printable
from axion_stage3.inspection.validation_document import json_line, summary_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from axion_stage3.inspection.finding_record import FindingRecord, TileFindings
    from axion_stage3.inspection.validation_document import ValidationHeader
    from axion_stage3.inspection.validation_summary import FindingCount, ValidationSummary

_CSV_FIELDS: Final = (
    "tile",
    "severity",
    "id",
    "title",
    "subject",
    "bands",
    "message",
    "advice",
    "path",
)
_GITHUB_LEVELS: Final = {"info": "notice", "warning": "warning", "error": "error"}


class ReportFormat(Protocol):
    """A way of writing results: lines at the beginning, per tile, and at the end."""

    def begin(self, header: ValidationHeader) -> Iterable[str]:
        """Lines before the first tile."""

    def tile(self, result: TileFindings) -> Iterable[str]:
        """Lines for one tile."""

    def end(self, summary: ValidationSummary) -> Iterable[str]:
        """Lines after the last tile."""


class TextFormat:
    """For people: a table grouped by finding, then each finding with its tiles."""

    def begin(self, header: ValidationHeader) -> Iterator[str]:
        """The folders."""
        if header.kind == "run":
            yield from indented(f"Outputs in {header.folders['output_dir']}", 0, 2)
            return
        folders = [
            f"{role.removesuffix('_dir')} in {path}" for role, path in header.folders.items()
        ]
        yield from indented(f"Inputs: {', '.join(folders)}", 0, 2)

    def tile(self, result: TileFindings) -> Iterable[str]:
        """Nothing: tiles are shown under their findings."""
        del result
        return ()

    def end(self, summary: ValidationSummary) -> Iterator[str]:
        """The table and the findings."""
        clean = counted(summary.n_without_findings, "tile")
        yield ""
        yield f"{counted(summary.n_checked, 'tile')} checked, {clean} without findings."
        if not summary.findings:
            return
        yield ""
        yield typer.style(f"{'finding':<9}{'severity':<10}{'tiles':>7}  what is wrong", bold=True)
        for count in summary.findings:
            yield f"{count.id:<9}{_severity(count, 10)}{count.n_tiles:>7,}  {count.title}"
        for count in summary.findings:
            yield ""
            yield from _group(count)
        yield ""
        yield "More about a finding: axion-stage3 explain ID"


class JsonFormat:
    """One JSON document; tiles without findings are only counted."""

    def __init__(self) -> None:
        self._has_tiles = False

    def begin(self, header: ValidationHeader) -> Iterator[str]:
        """The facts, and the beginning of the list of tiles."""
        facts = json.dumps(asdict(header), indent=2, allow_nan=False)
        yield facts.removesuffix("\n}") + ',\n  "tiles": ['

    def tile(self, result: TileFindings) -> Iterator[str]:
        """One entry of the list."""
        if result.findings:
            yield ("    ," if self._has_tiles else "    ") + json_line(result)
            self._has_tiles = True

    def end(self, summary: ValidationSummary) -> Iterator[str]:
        """The end of the list, and the summary."""
        yield '  ],\n  "summary": ' + json.dumps(asdict(summary), allow_nan=False) + "\n}"


class JsonLinesFormat:
    """A line of facts, a line per tile, and a line for the summary; ``--load`` reads it."""

    def begin(self, header: ValidationHeader) -> Iterator[str]:
        """The facts."""
        yield json_line(header)

    def tile(self, result: TileFindings) -> Iterator[str]:
        """One line."""
        yield json_line(result)

    def end(self, summary: ValidationSummary) -> Iterator[str]:
        """The summary."""
        yield summary_line(summary)


class CsvFormat:
    """One row per finding."""

    def begin(self, header: ValidationHeader) -> Iterator[str]:
        """The names of the columns."""
        del header
        yield _csv_row(_CSV_FIELDS)

    def tile(self, result: TileFindings) -> Iterator[str]:
        """A row per finding."""
        for finding in result.findings:
            row = {**asdict(finding), "tile": result.tile, "bands": " ".join(finding.bands)}
            yield _csv_row([str(row[field]) for field in _CSV_FIELDS])

    def end(self, summary: ValidationSummary) -> Iterable[str]:
        """Nothing."""
        del summary
        return ()


class GithubFormat:
    """Workflow commands, which GitHub shows as annotations of the files."""

    def begin(self, header: ValidationHeader) -> Iterable[str]:
        """Nothing."""
        del header
        return ()

    def tile(self, result: TileFindings) -> Iterator[str]:
        """An annotation per finding."""
        for finding in result.findings:
            yield _annotation(result.tile, finding)

    def end(self, summary: ValidationSummary) -> Iterable[str]:
        """Nothing."""
        del summary
        return ()


FORMATS: Final[dict[str, type[ReportFormat]]] = {
    "text": TextFormat,
    "json": JsonFormat,
    "jsonl": JsonLinesFormat,
    "csv": CsvFormat,
    "github": GithubFormat,
}
"""The formats by name."""


def _group(count: FindingCount) -> Iterator[str]:
    yield f"{count.id} {_severity(count)}: {count.title} ({counted(count.n_tiles, 'tile')})"
    for remedy in count.remedies:
        for example in remedy.examples:
            yield from indented(f"{example.tile}: {example.subject}: {example.message}", 2, 4)
        if remedy.n_tiles > len(remedy.examples):
            n_more = remedy.n_tiles - len(remedy.examples)
            yield f"  ... and {n_more:,} more; --format csv lists all"
        yield from indented(f"-> {remedy.advice}", 2, 5)


def _severity(count: FindingCount, width: int = 0) -> str:
    return typer.style(f"{count.severity:<{width}}", fg=SEVERITY_COLOURS[count.severity], bold=True)


def _csv_row(fields: Iterable[str]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="").writerow([printable(field) for field in fields])
    return text.getvalue()


def _annotation(tile: str, finding: FindingRecord) -> str:
    place = f"file={_property(finding.path)}," if finding.path else ""
    title = _property(f"{finding.id} {finding.title}")
    message = _escaped(printable(f"{tile}: {finding.message} {finding.advice}"))
    return f"::{_GITHUB_LEVELS[finding.severity]} {place}title={title}::{message}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(printable(text)).replace(":", "%3A").replace(",", "%2C")
