"""The document of ``axion-stage3 infer --json``; docs/schemas/infer.schema.json describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.runs.summary import RunSummary  # noqa: TC001  the JSON schema needs it

if TYPE_CHECKING:
    from axion_stage3.config import InferenceConfig
    from axion_stage3.inference.grounding_run import RunResult

RUN_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class RunDocument:
    """How a run ended, what it came to, and where things are.

    Attributes:
        schema_version: Version of this layout.
        command: ``infer``.
        exit_code: Of the program: 0, 3 (tiles failed), 130 or 143 (stopped by a signal).
        is_interrupted: Whether a signal stopped the run before its end.
        is_over_failure_limit: Whether --max-failures stopped the run before its end.
        output_dir: The output folder.
        summary_path: Where the summary was written; null if it was not.
        statistics_path: Where the statistics of all tiles were written; null likewise.
        summary: The document of inference_summary.json.
        configuration: The effective options, by their names in a configuration file.
    """

    schema_version: int
    command: str
    exit_code: int
    is_interrupted: bool
    is_over_failure_limit: bool
    output_dir: str
    summary_path: str | None
    statistics_path: str | None
    summary: RunSummary
    configuration: dict[str, Any]


def run_document(result: RunResult, config: InferenceConfig) -> dict[str, Any]:
    """Make the document of a run, as JSON values.

    Args:
        result: How the run ended.
        config: The effective configuration.
    """
    return {
        "schema_version": RUN_SCHEMA_VERSION,
        "command": "infer",
        "exit_code": result.exit_code,
        "is_interrupted": result.is_interrupted,
        "is_over_failure_limit": result.is_over_failure_limit,
        "output_dir": str(result.output_dir),
        "summary_path": None if result.summary_path is None else str(result.summary_path),
        "statistics_path": None if result.statistics_path is None else str(result.statistics_path),
        "summary": dict(result.summary),
        "configuration": config.model_dump(mode="json"),
    }
