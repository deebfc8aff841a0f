"""The document of ``axion-stage3 merge --json``; docs/schemas/merge.schema.json describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.runs.summary import RunSummary  # noqa: TC001  the JSON schema needs it

if TYPE_CHECKING:
    from axion_stage3.runs.merging import MergedRun
    from axion_stage3.storage.locations import Location

MERGE_SCHEMA: Final = 1
EXIT_NOT_WHOLE: Final = 3


@dataclass(frozen=True, slots=True)
class MergeDocument:
    """What the parts of a run come to.

    Attributes:
        schema_version: Version of this layout.
        command: ``merge``.
        exit_code: Of the program: 0, or 3 if tiles have failed or are missing.
        output_dir: The output folder.
        n_shards: Number of shards; null if the run is not sharded.
        missing_shards: Shards that have not begun, counted from 1.
        unfinished_shards: Shards that have begun and not come to their end, counted from 1.
        summary: The document of inference_summary.json.
    """

    schema_version: int
    command: str
    exit_code: int
    output_dir: str
    n_shards: int | None
    missing_shards: list[int]
    unfinished_shards: list[int]
    summary: RunSummary


def merge_document(output_dir: Location, merged: MergedRun) -> dict[str, Any]:
    """Make the document of a merge, as JSON values."""
    return {
        "schema_version": MERGE_SCHEMA,
        "command": "merge",
        "exit_code": exit_code_of(merged),
        "output_dir": str(output_dir),
        "n_shards": merged.progress.n_shards,
        "missing_shards": list(merged.progress.missing),
        "unfinished_shards": list(merged.progress.unfinished),
        "summary": dict(merged.summary),
    }


def exit_code_of(merged: MergedRun) -> int:
    """0 if every tile is there, 3 otherwise."""
    summary = merged.summary
    is_whole = merged.progress.is_complete and not (summary["failed"] or summary["pending"])
    return 0 if is_whole else EXIT_NOT_WHOLE
