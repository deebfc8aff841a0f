"""Findings as they are handed on: plain text and numbers, for JSON and reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping  # noqa: TC003  the JSON schema needs the names
from dataclasses import dataclass
from typing import Any, Literal, Self

from axion_stage3.tiles.findings import Figure, Finding, Severity, Subject

SeverityWord = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """One finding.

    Attributes:
        id: Its stable id in the catalogue.
        severity: How much it matters here: info, warning or error.
        title: What is wrong, in a few words.
        subject: What it is about: opt_v2, s1, opt_final, pair or run.
        bands: The bands concerned; empty if it is about the tile as a whole.
        message: What was measured.
        advice: What to do.
        figures: The numbers behind the message.
        path: The file concerned; empty if there is none.
    """

    id: str
    severity: SeverityWord
    title: str
    subject: Subject
    bands: tuple[str, ...]
    message: str
    advice: str
    figures: Mapping[str, Figure | None]
    path: str = ""

    @classmethod
    def of(cls, finding: Finding, path: object = "") -> Self:
        """Record a finding about the file ``path``."""
        return cls(
            id=finding.kind.id,
            severity=word_of(finding.severity),
            title=finding.kind.title,
            subject=finding.subject,
            bands=finding.bands,
            message=finding.message,
            advice=finding.advice,
            figures={name: _finite(figure) for name, figure in finding.figures.items()},
            path=str(path),
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a record from JSON.

        Raises:
            KeyError: A field is missing.
            TypeError: A field is of another kind.
            ValueError: The severity is not known.
        """
        record = cls(**{**document, "bands": tuple(document["bands"])})
        if record.severity not in _WORDS.values():
            raise ValueError(f"severity {record.severity!r} is not known")
        return record

    @property
    def level(self) -> Severity:
        """The severity as a level that can be compared."""
        return Severity.of_word(self.severity)


@dataclass(frozen=True, slots=True)
class TileFindings:
    """What was found in one tile.

    Attributes:
        tile: Name of the tile.
        findings: What was found, the worst first; empty if nothing was.
        is_checked: Whether the tile's pixels were to be checked; False for a tile that is only
            named, because it has no partner or is not used.
    """

    tile: str
    findings: tuple[FindingRecord, ...] = ()
    is_checked: bool = True


def records_of(findings: Iterable[Finding], paths: Mapping[Subject, object]) -> list[FindingRecord]:
    """Record findings, the worst first.

    Args:
        findings: The findings.
        paths: The file of each subject; a pair takes that of opt_v2.
    """
    records = []
    for finding in findings:
        subject: Subject = "opt_v2" if finding.subject == "pair" else finding.subject
        records.append(FindingRecord.of(finding, paths.get(subject, "")))
    return sorted(records, key=lambda record: (-record.level, record.id))


def word_of(severity: Severity) -> SeverityWord:
    """The word of a severity."""
    return _WORDS[severity]


def _finite(figure: Figure) -> Figure | None:
    """JSON has no infinity."""
    return None if isinstance(figure, float) and not math.isfinite(figure) else figure


_WORDS: Mapping[Severity, SeverityWord] = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
}
