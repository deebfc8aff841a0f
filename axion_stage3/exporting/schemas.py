"""JSON schemas of what the commands write with ``--json``, in docs/schemas/.

``python -m axion_stage3.exporting.schemas`` in a checkout; a test fails when they are stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NamedTuple

from axion_stage3.benchmarking.benchmark_document import BENCHMARK_SCHEMA, BenchmarkDocument
from axion_stage3.config_documents import (
    CONFIGURATION_SCHEMA,
    ConfigurationDocument,
    configuration_schema,
)
from axion_stage3.exporting.run_export import EXPORT_SCHEMA, Export
from axion_stage3.exporting.visualization import VISUALIZATION_SCHEMA, Visualization
from axion_stage3.inference.installation_check import INSTALLATION_SCHEMA, InstallationDocument
from axion_stage3.inference.run_document import RUN_SCHEMA_VERSION, RunDocument
from axion_stage3.inference.run_plan import PLAN_SCHEMA, RunPlan
from axion_stage3.inspection.document_schema import schema_of
from axion_stage3.inspection.explanation import EXPLANATION_SCHEMA_VERSION, ExplanationDocument
from axion_stage3.inspection.tile_inspection import INSPECTION_SCHEMA_VERSION, InspectionReport
from axion_stage3.inspection.validation_document import (
    VALIDATION_SCHEMA_VERSION,
    ValidationDocument,
)
from axion_stage3.runs.merge_document import MERGE_SCHEMA, MergeDocument
from axion_stage3.runs.statistics_document import STATISTICS_SCHEMA, StatisticsDocument
from axion_stage3.training.evaluation import EVALUATION_SCHEMA_VERSION, EvaluationDocument
from axion_stage3.training.trainer import TRAINING_SCHEMA_VERSION, TrainingDocument

SCHEMAS: Final = Path(__file__).parents[2] / "docs" / "schemas"


class Document(NamedTuple):
    """A command's document.

    Attributes:
        kind: The dataclass that it is made from.
        version: Its ``schema_version``; raised when a program that reads it must change.
    """

    kind: type
    version: int


DOCUMENTS: Final = {
    "infer": Document(RunDocument, RUN_SCHEMA_VERSION),
    "infer-plan": Document(RunPlan, PLAN_SCHEMA),
    "merge": Document(MergeDocument, MERGE_SCHEMA),
    "train": Document(TrainingDocument, TRAINING_SCHEMA_VERSION),
    "evaluate": Document(EvaluationDocument, EVALUATION_SCHEMA_VERSION),
    "stats": Document(StatisticsDocument, STATISTICS_SCHEMA),
    "visualize": Document(Visualization, VISUALIZATION_SCHEMA),
    "export": Document(Export, EXPORT_SCHEMA),
    "validate": Document(ValidationDocument, VALIDATION_SCHEMA_VERSION),
    "inspect-tile": Document(InspectionReport, INSPECTION_SCHEMA_VERSION),
    "explain": Document(ExplanationDocument, EXPLANATION_SCHEMA_VERSION),
    "benchmark": Document(BenchmarkDocument, BENCHMARK_SCHEMA),
    "doctor": Document(InstallationDocument, INSTALLATION_SCHEMA),
    "config-show": Document(ConfigurationDocument, CONFIGURATION_SCHEMA),
}
"""The document of each command."""


def schema_files() -> dict[str, str]:
    """Name and content of each file in docs/schemas/."""
    schemas = {command: schema_of(*document, command) for command, document in DOCUMENTS.items()}
    schemas["configuration"] = configuration_schema()
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2) + "\n"
        for name, schema in schemas.items()
    }


if __name__ == "__main__":
    for name, text in schema_files().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")
