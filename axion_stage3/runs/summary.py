"""inference_summary.json and tile_statistics.json, made from the journals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.runs.journal_index import JournalIndex

SUMMARY_NAME: Final = "inference_summary.json"
STATISTICS_NAME: Final = "tile_statistics.json"
MAX_FAILED_TILES: Final = 1000


def build_summary(
    index: JournalIndex, configuration_digest: str, tiles: Iterable[str] | None = None
) -> dict[str, Any]:
    """The document of ``inference_summary.json``.

    Args:
        index: All journals of the output folder.
        configuration_digest: Outcomes of other configurations do not count.
        tiles: Names of the run's tiles; None for every tile the journals know (merging shards).
    """
    ...


def write_tile_statistics(
    path: Path,
    index: JournalIndex,
    configuration_digest: str,
    tiles: Iterable[str] | None = None,
) -> int:
    """Write ``tile_statistics.json``, sorted by name, one tile a line; returns the bytes."""
    ...
