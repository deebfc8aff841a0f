"""One start of a run on an output folder: lease, resume plan, manifest and journal in one order.

    lease > journals > plan > orphans swept > manifest "running" > journal > ... > journal closed
    > manifest "finished" > lease released

A refusal (another run, another configuration) comes before anything but the lease is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from axion_stage3.runs.lease import Lease, Shard
from axion_stage3.runs.resume import ExistingPolicy, ResumePlan

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from axion_stage3.runs.journal import EndState
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.tiles.pairing import TilePair


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run before it starts.

    Attributes:
        command: The command line, for the manifest.
        configuration: The effective configuration (JSON values). ``timesteps`` and ``precision``
            must be resolved (never None or ``auto``): they are part of the fingerprint.
        checkpoint_sha256: Of the checkpoint file.
        device: The device that is used.
        seed: The run's seed.
        shard: The part of the run, None for all of it.
    """

    command: tuple[str, ...]
    configuration: Mapping[str, Any]
    checkpoint_sha256: str
    device: str
    seed: int
    shard: Shard | None = None


class RunSession:
    """A run in progress on one output folder; made by ``open``, ended by ``close``.

    Use as a context manager: leaving it without ``close`` closes it as ``interrupted`` after a
    KeyboardInterrupt and as ``failed`` after any other exception.

    Attributes:
        output_dir: The output folder.
        plan: What is to do.
        session: Number of this session.
    """

    output_dir: Path
    plan: ResumePlan
    session: int

    @classmethod
    def open(
        cls,
        output_dir: Path,
        facts: RunFacts,
        pairs: Sequence[TilePair],
        *,
        existing: ExistingPolicy = "resume",
        retry_failed: bool = False,
    ) -> Self:
        """Take the lease, read the journals, plan, and begin.

        Raises:
            RunConflictError: Another run is writing here, or outputs of another configuration are
                there and ``existing`` does not say what to do with them.
            OutputError: The output folder cannot be read or written.
        """
        ...

    def fingerprint(self, pair: TilePair) -> str:
        """Fingerprint of a pair; take it just before reading the tile."""
        ...

    def record(self, outcome: TileOutcome) -> None:
        """Add an outcome to the journal; after the output has been written, never before.

        Safe to call from several threads. When a tile fails whose older output was to be replaced,
        that output and the JSON beside it are removed: no file of another configuration or of an
        older input stays behind under the name of a tile that failed.

        Raises:
            OutputError: The journal cannot be written.
            RunConflictError: Another run took the lease over.
        """
        ...

    def summary(self) -> dict[str, Any]:
        """The document of ``inference_summary.json`` for all pairs of this run, from the journals."""
        ...

    def write_summary(self) -> dict[str, Any]:
        """Write ``inference_summary.json`` and ``tile_statistics.json``; returns the summary."""
        ...

    def close(self, state: EndState, exit_code: int) -> None:
        """Close the journal, write the final manifest and release the lease."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
