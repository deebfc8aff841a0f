"""What a finding means, as data: the catalogue for ``axion-stage3 explain``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from axion_stage3.inspection.finding_record import SeverityWord, word_of
from axion_stage3.tiles.checks import THEMES, kind_of

if TYPE_CHECKING:
    from axion_stage3.tiles.findings import FindingKind

EXPLANATION_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class FindingExplanation:
    """One entry of the catalogue.

    Attributes:
        id: Stable id of the finding.
        theme: What kind of thing it is about.
        severity: How much it matters, as a rule: info, warning or error.
        title: What is wrong, in a few words.
        measured: What was measured, and where the limit lies.
        meaning: What it means for the result.
        remedy: What to do.
    """

    id: str
    theme: str
    severity: SeverityWord
    title: str
    measured: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ExplanationDocument:
    """The document of ``explain --json``.

    Attributes:
        schema_version: Version of this layout.
        command: ``explain``.
        findings: The entries asked for; all of them if none was named.
    """

    schema_version: int
    command: str
    findings: tuple[FindingExplanation, ...]


def explain_findings(finding_ids: tuple[str, ...] = ()) -> ExplanationDocument:
    """Look findings up.

    Args:
        finding_ids: Such as ``AX-T007``; all findings if empty.

    Raises:
        UsageError: There is no such id.
    """
    wanted = {kind_of(finding_id).id for finding_id in finding_ids}
    entries = tuple(
        _explanation(kind, theme)
        for theme, kinds in THEMES.items()
        for kind in kinds
        if not wanted or kind.id in wanted
    )
    return ExplanationDocument(EXPLANATION_SCHEMA_VERSION, "explain", entries)


def _explanation(kind: FindingKind, theme: str) -> FindingExplanation:
    return FindingExplanation(
        id=kind.id,
        theme=theme,
        severity=word_of(kind.severity),
        title=kind.title,
        measured=kind.measured,
        meaning=kind.meaning,
        remedy=kind.remedy,
    )
