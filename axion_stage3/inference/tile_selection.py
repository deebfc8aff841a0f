"""Which of the pairs that were found belong to this run, and to which part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.runs.fingerprint import hash_names
from axion_stage3.runs.parts import Shard, TileList
from axion_stage3.tiles.tile_list import read_tile_list, select_listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.config import InferenceConfig
    from axion_stage3.runs.parts import Part
    from axion_stage3.tiles.pairing import Pairing, TilePair

_DIGEST_DIGITS: Final = 16


def select_pairs(pairing: Pairing, config: InferenceConfig) -> tuple[TilePair, ...]:
    """Leave out the pairs that the list of tiles does not name, or that are of another shard.

    Args:
        pairing: All pairs of the two folders.
        config: Says which tiles are wanted.

    Returns:
        The pairs, sorted by name.

    Raises:
        TileListError: The list cannot be read, or names tiles that are not there.
    """
    pairs = select_by_list(pairing, config)
    if config.shard is None:
        return pairs
    shard = Shard.parse(config.shard)
    return tuple(pair for pair in pairs if shard.holds(pair.name))


def select_by_list(pairing: Pairing, config: InferenceConfig) -> tuple[TilePair, ...]:
    """Leave out the pairs that the list of tiles does not name, and keep all shards.

    Arguments, returns and errors as for `select_pairs`.
    """
    if config.tiles is None:
        return pairing.pairs
    return select_listed(
        pairing,
        read_tile_list(config.tiles),
        opt_v2_dir=config.opt_v2_dir,
        s1_dir=config.s1_dir,
        source=config.tiles,
    )


def part_of(pairs: Sequence[TilePair], config: InferenceConfig) -> Part | None:
    """Name the part of a run that selected pairs are; None if they are a whole run."""
    if config.shard is not None:
        return Shard.parse(config.shard)
    if config.tiles is None:
        return None
    return TileList(hash_names(sorted(pair.name for pair in pairs))[:_DIGEST_DIGITS])
