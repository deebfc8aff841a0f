"""What a worker notes of its tiles, in the order that docs/guarantees.md rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.atomic_write import remove_outdated
from axion_stage3.runs.outcome import TileOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from axion_stage3.runs.fingerprint import RunFingerprint
    from axion_stage3.runs.journal import Journal
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import TilePair


class TileRecorder:
    """Records what becomes of a worker's tiles; safe to use from several threads.

    Args:
        journal: The worker's journal.
        fingerprint: Of the run's configuration and checkpoint.
        output_dir: The output folder.
        replaced: Names of tiles of which an output is there or on record, to be replaced.
        check: Raises if the worker may no longer write.
    """

    def __init__(
        self,
        journal: Journal,
        fingerprint: RunFingerprint,
        output_dir: Location,
        replaced: Collection[str],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._fingerprint = fingerprint
        self._output_dir = output_dir
        self._replaced = replaced
        self._check = check

    def fingerprint(self, pair: TilePair) -> str:
        """Fingerprint of a pair; take it just before reading the tile.

        If an output of the tile is there or on record, the journal first takes note that it is
        being replaced: killed between the new output and its line, the run would leave a record
        that describes a file which is no longer the same. Where lines wait before they are
        written, the session has noted this of all its tiles when it began.

        Raises:
            OutputError: The journal cannot be written.
        """
        fingerprint = self._fingerprint.of_pair(pair)
        if pair.name in self._replaced and not self._journal.is_buffered:
            self._journal.append(TileOutcome(pair.name, "replacing", fingerprint))
        return fingerprint

    def record(self, outcome: TileOutcome) -> None:
        """Add an outcome to the journal; after the output has been written, never before.

        When a tile fails whose older output was to be replaced, that output and the JSON beside it
        are removed: nothing of another configuration or of an older input stays behind under the
        name of a tile that failed.

        Raises:
            OutputError: The journal cannot be written.
            RunConflictError: The worker may no longer write.
        """
        self._check()
        if outcome.outcome in ("failed", "invalid") and outcome.tile in self._replaced:
            _remove_output(self._output_dir / outcome.tile)
        self._journal.append(outcome)

    def give_up(self, outcome: TileOutcome) -> None:
        """Record that a tile failed whose worker may have left an output that nobody vouches for.

        Raises:
            OutputError: The journal cannot be written.
            RunConflictError: The worker may no longer write.
        """
        self._check()
        _remove_output(self._output_dir / outcome.tile)
        self._journal.append(outcome)


def _remove_output(output: Location) -> None:
    """Remove an output tile and the JSON beside it, if they are there."""
    remove_outdated(output)
    remove_outdated(output.with_suffix(".json"))
