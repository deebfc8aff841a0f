"""JSON schemas of the documents of ``stats``, ``visualize`` and ``benchmark``, in docs/schemas/.

``python -m axion_stage3.exporting.schemas`` in a checkout; a test fails when they are stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from axion_stage3.benchmarking.benchmark_document import BenchmarkDocument
from axion_stage3.exporting.visualization import Visualization
from axion_stage3.inspection.schemas import schema_of_document
from axion_stage3.runs.statistics_document import StatisticsDocument

SCHEMAS: Final = Path(__file__).parents[2] / "docs" / "schemas"
DOCUMENTS: Final[dict[str, type]] = {
    "stats": StatisticsDocument,
    "visualize": Visualization,
    "benchmark": BenchmarkDocument,
}
"""The dataclass of each command's document."""


def schema_files() -> dict[str, str]:
    """Name and content of each file in docs/schemas/."""
    return {
        f"{command}.schema.json": json.dumps(schema_of_document(kind), indent=2) + "\n"
        for command, kind in DOCUMENTS.items()
    }


if __name__ == "__main__":
    for name, text in schema_files().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")
