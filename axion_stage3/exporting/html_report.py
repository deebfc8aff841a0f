"""The report of a run as one HTML file that needs nothing else and asks nobody for anything.

Style sheet, script and pictures stand in the file. A content security policy in its head forbids
every request and every script but the one whose hash it names: should a tile's name ever slip
through the escaping, it still could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import axion_stage3
from axion_stage3.atomic_write import write_bytes
from axion_stage3.exporting import html_sections as sections
from axion_stage3.exporting.html_text import escaped

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.exporting.report_content import RunReport

_SECTIONS: Final = (
    ("failed", "Failed tiles", sections.failures),
    ("findings", "Findings", sections.findings),
    ("pictures", "Pictures", sections.galleries),
    ("distributions", "Distributions", sections.distributions),
    ("time", "Time", sections.throughput),
    ("tiles", "All tiles", sections.all_tiles),
    ("provenance", "How it was made", sections.provenance),
)


def write_report(path: Path, report: RunReport) -> int:
    """Write the report of a run.

    Args:
        path: The HTML file; its folder must exist.
        report: What it says.

    Returns:
        Number of bytes written.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_bytes(path, report_html(report).encode("utf-8"))


def report_html(report: RunReport) -> str:
    """Return the report of a run as an HTML document."""
    style, script = _resource("report.css"), _resource("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    name = escaped(report.statistics.output_dir)
    parts = [(anchor, word, make(report)) for anchor, word, make in _SECTIONS]
    links = "".join(f'<a href="#{anchor}">{word}</a>' for anchor, word, part in parts if part)
    body = "\n".join(part for _, _, part in parts if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>Stage 3 run: {name}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header>
<p class="kind">Stage 3 run report</p>
<h1>{name}</h1>
<nav aria-label="Parts of the report">{links}</nav>
</header>
<main id="main" tabindex="-1">
{sections.key_figures(report)}
{body}
</main>
<footer><p>axion-stage3 {escaped(axion_stage3.__version__)}. Reflectance and its changes are on the
scale 0 to 1.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def _resource(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
