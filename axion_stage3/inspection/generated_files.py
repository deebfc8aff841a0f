"""Writes the documents that are generated from code: docs/findings.md and docs/schemas/.

``python -m axion_stage3.inspection.generated_files`` in a checkout; a test fails when they are
stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from axion_stage3.inspection.findings_page import findings_page
from axion_stage3.inspection.schemas import DOCUMENTS, schema_of

DOCS: Final = Path(__file__).parents[2] / "docs"


def generated_files() -> dict[str, str]:
    """Path below docs/ and content of each generated file."""
    schemas = {
        f"schemas/{command}.schema.json": json.dumps(schema_of(command), indent=2) + "\n"
        for command in DOCUMENTS
    }
    return {"findings.md": findings_page(), **schemas}


def write_generated_files(docs: Path = DOCS) -> None:
    """Write them all."""
    for name, text in generated_files().items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_generated_files()
