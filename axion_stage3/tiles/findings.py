"""What a check says about a tile: kinds of findings, and the findings themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Subject: TypeAlias = Literal["opt_v2", "s1", "opt_final", "pair", "run"]
"""What a finding is about: one tile, both tiles of a pair, or what a run recorded."""

Figure: TypeAlias = float | int | str
"""A number or word that was measured."""


class Severity(IntEnum):
    """How much a finding matters; higher is worse."""

    INFO = 1
    """Worth knowing; nothing needs to be done."""
    WARNING = 2
    """Suspicious: the tile can be used, but somebody should look at it."""
    ERROR = 3
    """The tile cannot be used, or what it holds is certainly wrong."""

    @property
    def word(self) -> str:
        """``info``, ``warning`` or ``error``."""
        return self.name.lower()

    @classmethod
    def of_word(cls, word: str) -> Severity:
        """The severity of a word.

        Raises:
            KeyError: It is none of ``info``, ``warning``, ``error``.
        """
        return cls[word.upper()]


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One entry of the catalogue of findings.

    Attributes:
        id: Stable id, ``AX-T...``: never given to anything else.
        severity: How much it matters, as a rule.
        title: What is wrong, in a few words.
        measured: What was measured, and where the limit lies.
        meaning: What it means for the result.
        remedy: What to do.
    """

    id: str
    severity: Severity
    title: str
    measured: str
    meaning: str
    remedy: str

    def found(
        self,
        subject: Subject,
        message: str,
        *,
        bands: Iterable[str] = (),
        figures: Mapping[str, Figure] | None = None,
        advice: str = "",
        severity: Severity | None = None,
    ) -> Finding:
        """Make a finding of this kind.

        Args:
            subject: What it is about.
            message: What was measured here, as a sentence.
            bands: The bands concerned; empty if it is about the tile as a whole.
            figures: The numbers behind the message, finite.
            advice: What to do about this very case; the kind's remedy if empty.
            severity: Differs from the kind's where the case is milder or worse than the rule.
        """
        return Finding(
            kind=self,
            subject=subject,
            message=message,
            bands=tuple(bands),
            figures=dict(figures or {}),
            advice=advice or self.remedy,
            severity=self.severity if severity is None else severity,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check.

    Attributes:
        kind: Its entry in the catalogue.
        subject: What it is about.
        message: What was measured, as a sentence.
        severity: How much it matters here.
        advice: What to do.
        bands: The bands concerned; empty if it is about the tile as a whole.
        figures: The numbers behind the message.
    """

    kind: FindingKind
    subject: Subject
    message: str
    severity: Severity
    advice: str
    bands: tuple[str, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among findings; None if there are none."""
    return max((finding.severity for finding in findings), default=None)
