"""docs/findings.md, generated from the catalogue.

``python -m axion_stage3.inspection.findings_page`` in a checkout; a test fails when it is stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from axion_stage3.tiles.checks import THEMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axion_stage3.tiles.findings import FindingKind

FINDINGS_PAGE: Final = Path(__file__).parents[2] / "docs" / "findings.md"

_INTRODUCTION: Final = """\
# Findings

What `axion-stage3 validate` and `axion-stage3 inspect-tile` say about tiles. Each finding has a
stable id; `axion-stage3 explain AX-T007` shows one of these entries in the terminal.

- **error**: the tile cannot be used, or what it holds is certainly wrong. What `infer` refuses to
  read is always an error. `validate` ends with exit code 3 when there is one (`--fail-on` changes
  that).
- **warning**: suspicious; the tile can be used, but somebody should look at it.
- **info**: worth knowing.

This page is generated from the catalogue in `axion_stage3/tiles/checks.py`:
`python -m axion_stage3.inspection.findings_page`.
"""


def findings_page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *_overview(), *_entries()])


def _overview() -> Iterator[str]:
    yield "| id | severity | title |"
    yield "|---|---|---|"
    for kinds in THEMES.values():
        for kind in kinds:
            anchor = kind.id.lower()
            yield f"| [{kind.id}](#{anchor}) | {kind.severity.word} | {kind.title} |"
    yield ""


def _entries() -> Iterator[str]:
    for theme, kinds in THEMES.items():
        yield f"## {theme}\n"
        for kind in kinds:
            yield _entry(kind)


def _entry(kind: FindingKind) -> str:
    return (
        f"### {kind.id}\n\n"
        f"**{kind.title}** ({kind.severity.word})\n\n"
        f"- Measured: {kind.measured}\n"
        f"- Meaning: {kind.meaning}\n"
        f"- What to do: {kind.remedy}\n"
    )


if __name__ == "__main__":
    FINDINGS_PAGE.write_text(findings_page(), encoding="utf-8")
