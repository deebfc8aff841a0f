"""What ``axion-stage3 explain`` says about findings, as text no wider than 80 columns."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import typer

from axion_stage3.cli.text_layout import SEVERITY_COLOURS, indented

if TYPE_CHECKING:
    from axion_stage3.inspection.explanation import ExplanationDocument, FindingExplanation


def explanation_text(document: ExplanationDocument) -> str:
    """The entries in full."""
    return "\n\n".join("\n".join(_entry(entry)) for entry in document.findings)


def catalogue_text(document: ExplanationDocument) -> str:
    """One line per entry, by theme."""
    sections = []
    for theme, entries in groupby(document.findings, key=lambda entry: entry.theme):
        lines = [typer.style(theme, bold=True)]
        lines += [f"  {entry.id}  {_severity(entry, 7)}  {entry.title}" for entry in entries]
        sections.append("\n".join(lines))
    return "\n\n".join([*sections, "In full: axion-stage3 explain AX-T007"])


def _entry(entry: FindingExplanation) -> list[str]:
    return [
        f"{entry.id} {_severity(entry)}: {typer.style(entry.title, bold=True)}",
        *indented(f"Measured: {entry.measured}", 2, 4),
        *indented(f"Meaning: {entry.meaning}", 2, 4),
        *indented(f"What to do: {entry.remedy}", 2, 4),
    ]


def _severity(entry: FindingExplanation, width: int = 0) -> str:
    return typer.style(f"{entry.severity:<{width}}", fg=SEVERITY_COLOURS[entry.severity], bold=True)
