"""What a run would do, shard by shard, and what it would cost; nothing is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.inference.devices import resolve_device
from axion_stage3.inference.engine import check_engine_options
from axion_stage3.inference.pair_finding import find_run_pairs
from axion_stage3.inference.preflight import estimate_output_bytes, free_space
from axion_stage3.inference.run_facts import facts_of_model, facts_of_run
from axion_stage3.inference.tile_selection import select_by_list
from axion_stage3.runs.fingerprint import RunFingerprint
from axion_stage3.runs.journal import RUNS_FOLDER
from axion_stage3.runs.journal_index import JournalIndex, read_journals
from axion_stage3.runs.parts import Shard, shard_index
from axion_stage3.runs.resume import plan_resume
from axion_stage3.statistics.spectral_indices import find_indices

if TYPE_CHECKING:
    from axion_stage3.config import InferenceConfig

PLAN_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard of a plan.

    Attributes:
        shard: ``3/16``; ``1/1`` if the run is not sharded.
        n_tiles: Tiles that belong to it.
        n_to_do: Those of them that are still to do.
        seconds: Time that one worker needs for them; null if it was never measured.
        output_bytes: Size of their output tiles.
    """

    shard: str
    n_tiles: int
    n_to_do: int
    seconds: float | None
    output_bytes: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do.

    Attributes:
        schema_version: Version of this layout.
        command: ``infer-plan``.
        output_dir: The output folder.
        n_pairs: Pairs in the two folders.
        n_tiles: Pairs that belong to the run, in all its shards.
        n_to_do: Those of them that are still to do.
        n_measured: Tiles of earlier sessions with this configuration that the estimate rests on.
        seconds_per_tile: Time of one worker; null if none was measured.
        bytes_per_tile: Size of an output tile, measured, or guessed from the inputs' sizes if
            n_measured is 0.
        free_bytes: Free space where the output folder is or will be; null if it is not known.
        shards: Each shard, the first first.
    """

    schema_version: int
    command: str
    output_dir: str
    n_pairs: int
    n_tiles: int
    n_to_do: int
    n_measured: int
    seconds_per_tile: float | None
    bytes_per_tile: int
    free_bytes: int | None
    shards: tuple[ShardPlan, ...]


def plan_run(config: InferenceConfig) -> RunPlan:
    """Say what a run would do, without doing any of it.

    The device need not be in this machine, so that a plan can be made where no GPU is.

    Args:
        config: The run. Of ``shard``, only the number of shards counts: all are planned.

    Raises:
        UsageError: The options cannot work.
        InputError: A folder or a list is missing, or there are no pairs.
        CheckpointError: The checkpoint is missing or unfit.
        OutputError: A journal cannot be read.
        RunConflictError: The run would refuse to begin.
        ResourceError: There is no such device.
    """
    find_indices(config.indices)
    check_engine_options(config)
    model = facts_of_model(
        load_checkpoint(config.checkpoint), config, _device_elsewhere(config.device)
    )
    facts = facts_of_run(model, config, (), None)
    fingerprint = RunFingerprint.of(facts.configuration, facts.checkpoint_sha256)
    pairing = find_run_pairs(config)
    pairs = select_by_list(pairing, config)
    index = read_journals(config.output_dir / RUNS_FOLDER)
    plan = plan_resume(
        pairs,
        index,
        fingerprint,
        config.output_dir,
        existing=config.existing,
        retry_failed=config.retry_failed,
    )
    measured = _measure(index, fingerprint.configuration_digest)
    bytes_per_tile = measured.bytes_per_tile or estimate_output_bytes(pairs, config) // len(pairs)
    n_shards = 1 if config.shard is None else Shard.parse(config.shard).n
    n_tiles = Counter(shard_index(pair.name, n_shards) for pair in pairs)
    n_to_do = Counter(shard_index(pair.name, n_shards) for pair in plan.to_do)
    seconds = measured.seconds_per_tile
    return RunPlan(
        schema_version=PLAN_SCHEMA,
        command="infer-plan",
        output_dir=str(config.output_dir),
        n_pairs=len(pairing.pairs),
        n_tiles=len(pairs),
        n_to_do=len(plan.to_do),
        n_measured=measured.n_tiles,
        seconds_per_tile=seconds,
        bytes_per_tile=bytes_per_tile,
        free_bytes=free_space(config.output_dir),
        shards=tuple(
            ShardPlan(
                shard=str(Shard(i + 1, n_shards)),
                n_tiles=n_tiles[i],
                n_to_do=n_to_do[i],
                seconds=None if seconds is None else seconds * n_to_do[i],
                output_bytes=bytes_per_tile * n_to_do[i],
            )
            for i in range(n_shards)
        ),
    )


def _device_elsewhere(name: str) -> torch.device:
    """The device that a machine with it would choose; CUDA need not be in this one."""
    return torch.device(name) if name.startswith("cuda") else resolve_device(name)


@dataclass(frozen=True, slots=True)
class _Measured:
    n_tiles: int
    seconds_per_tile: float | None
    bytes_per_tile: int


def _measure(index: JournalIndex, configuration_digest: str) -> _Measured:
    """Time and size of a tile in the sessions of one configuration.

    The time is that of whole sessions, from their start to their last line: waiting, starting and
    failing tiles are in it, as they will be in the next one.
    """
    written = index.written_by_journal()
    n_tiles, n_bytes, seconds = 0, 0, 0.0
    for session, (n_written, written_bytes) in zip(index.sessions, written, strict=True):
        if n_written and session.configuration_digest == configuration_digest:
            n_tiles += n_written
            n_bytes += written_bytes
            seconds += session.elapsed_seconds
    if not n_tiles:
        return _Measured(0, None, 0)
    return _Measured(n_tiles, seconds / n_tiles, n_bytes // n_tiles)
