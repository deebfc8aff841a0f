"""Counting the results of a validation as they stream by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from axion_stage3.inspection.finding_record import (
    FindingRecord,
    SeverityWord,
    TileFindings,
)
from axion_stage3.tiles.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Collection

N_EXAMPLES: Final = 5
N_REMEDIES: Final = 6
"""Different advice that is kept for one finding; what comes later is counted together."""

_OTHER_ADVICE: Final = "Look at each of them with `axion-stage3 inspect-tile`."


@dataclass(frozen=True, slots=True)
class FindingExample:
    """One tile with a finding.

    Attributes:
        tile: Name of the tile.
        subject: What it is about: opt_v2, s1, opt_final, pair or run.
        message: What was measured.
    """

    tile: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class FindingRemedy:
    """The tiles with one finding for which the same is to be done.

    Attributes:
        advice: What to do.
        n_tiles: Number of tiles.
        examples: The first of them.
    """

    advice: str
    n_tiles: int
    examples: tuple[FindingExample, ...]

    def with_tile(self, example: FindingExample) -> FindingRemedy:
        """The same with one tile more."""
        examples = self.examples
        if len(examples) < N_EXAMPLES:
            examples = (*examples, example)
        return FindingRemedy(self.advice, self.n_tiles + 1, examples)


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How often one finding was made.

    Attributes:
        id: Its stable id.
        severity: How much it matters.
        title: What is wrong.
        n_tiles: Number of tiles with it.
        remedies: What to do, and for which tiles; most often the same for all.
    """

    id: str
    severity: SeverityWord
    title: str
    n_tiles: int
    remedies: tuple[FindingRemedy, ...]


@dataclass(frozen=True, slots=True)
class ValidationSummary:
    """The result of a validation in numbers.

    Attributes:
        n_checked: Tiles whose pixels were checked.
        n_without_findings: Of these, tiles without any finding.
        n_tiles_by_worst: Severity to the number of tiles of which it is the worst; tiles without a
            partner count too.
        findings: The findings made, the worst first.
    """

    n_checked: int
    n_without_findings: int
    n_tiles_by_worst: dict[SeverityWord, int]
    findings: tuple[FindingCount, ...]

    def reaches(self, threshold: Severity) -> bool:
        """Whether a finding is at least as severe as ``threshold``."""
        return any(Severity.of_word(count.severity) >= threshold for count in self.findings)


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings are wanted.

    Attributes:
        min_severity: Findings below it are left out.
        ignored: Ids that are left out.
    """

    min_severity: Severity = Severity.INFO
    ignored: Collection[str] = frozenset()

    def apply(self, result: TileFindings) -> TileFindings:
        """The result with the wanted findings only."""
        wanted = tuple(
            record
            for record in result.findings
            if record.level >= self.min_severity and record.id not in self.ignored
        )
        if len(wanted) == len(result.findings):
            return result
        return TileFindings(result.tile, wanted, result.is_checked)


@dataclass(slots=True)
class SummaryBuilder:
    """Counts results; its size depends on the kinds of findings, not on the number of tiles."""

    _n_checked: int = 0
    _n_clean: int = 0
    _by_worst: dict[SeverityWord, int] = field(default_factory=dict)
    _counts: dict[tuple[str, SeverityWord], FindingCount] = field(default_factory=dict)

    def add(self, result: TileFindings) -> None:
        """Count the result of one tile."""
        self._n_checked += result.is_checked
        if not result.findings:
            self._n_clean += result.is_checked
            return
        worst = max(result.findings, key=lambda record: record.level).severity
        self._by_worst[worst] = self._by_worst.get(worst, 0) + 1
        seen = set()
        for record in result.findings:
            key = (record.id, record.severity)
            if key not in seen:
                seen.add(key)
                self._count(key, result.tile, record)

    def _count(self, key: tuple[str, SeverityWord], tile: str, record: FindingRecord) -> None:
        known = self._counts.get(key)
        remedies = {each.advice: each for each in known.remedies} if known else {}
        is_kept = record.advice in remedies or len(remedies) < N_REMEDIES
        advice = record.advice if is_kept else _OTHER_ADVICE
        remedy = remedies.get(advice, FindingRemedy(advice, 0, ()))
        example = FindingExample(tile, record.subject, record.message)
        remedies[advice] = remedy.with_tile(example)
        self._counts[key] = FindingCount(
            id=record.id,
            severity=record.severity,
            title=record.title,
            n_tiles=(known.n_tiles if known else 0) + 1,
            remedies=tuple(remedies.values()),
        )

    def summary(self) -> ValidationSummary:
        """The counts so far."""
        ordered = sorted(
            self._counts.values(),
            key=lambda count: (-Severity.of_word(count.severity), count.id),
        )
        return ValidationSummary(
            n_checked=self._n_checked,
            n_without_findings=self._n_clean,
            n_tiles_by_worst=dict(self._by_worst),
            findings=tuple(ordered),
        )
