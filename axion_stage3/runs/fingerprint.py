"""The hash that decides whether a tile is already done.

A fingerprint has two halves, joined by ``-``: the *configuration digest* (the options that change
results, and the checkpoint) and the *input digest* (the tile's name, the identity of its two
files, and the georeference that a table gives it). They are kept apart because they mean different
things on resume: another input means "make this tile again", another configuration means "these
outputs must not be mixed".

Identity of an input file is its size and its modification time in nanoseconds, as in make, rsync
and restic. The alternatives were weighed: hashing contents would read every input again on each
resume (hours for a million tiles, to find out that nothing changed); inode and ctime change when a
data set is moved, linked or chmod-ed, and would throw away finished work. What size and mtime
miss is a rewrite that keeps the size and sets the old time on purpose. Identity of an object in a
store is its size and its ETag (or what the store has in its place), as they were listed when the
run began: an object that changes after that is seen as changed by the next run.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final, Self

from axion_stage3.rasters.raster_pairing import RasterPair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from axion_stage3.paths import AnyPath
    from axion_stage3.tiles.pairing import TilePair

RESULT_FIELDS: Final = (
    "timesteps",
    "sampler",
    "seed",
    "samples",
    "precision",
    "save_intermediate",
    "opt_scale",
    "opt_offset",
    "s1_units",
    "fill_invalid",
    "resample_s1",
    "indices",
)
"""Options that change what stands in an output file or beside it. Batch size, device, order,
shards, engine and thread counts are left out: results do not depend on them beyond rounding, and a
run may be resumed elsewhere. ``timesteps`` and ``precision`` count as resolved (never None or
``auto``)."""

RESULTS_VERSION: Final = 1
"""Raised whenever a release gives other results for the same options, checkpoint and input."""

_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class RunFingerprint:
    """Gives each pair its fingerprint under one configuration and checkpoint.

    Attributes:
        configuration_digest: 16 hexadecimal digits; equal exactly when the options that change
            results, the checkpoint and ``RESULTS_VERSION`` are.
    """

    configuration_digest: str

    @classmethod
    def of(cls, configuration: Mapping[str, object], checkpoint_sha256: str) -> Self:
        """Make it from the effective configuration (JSON values) and the checkpoint's sha256.

        Only ``RESULT_FIELDS`` of ``configuration`` count; a field that is absent counts as null.
        """
        relevant = {name: configuration.get(name) for name in RESULT_FIELDS}
        document = {
            "results_version": RESULTS_VERSION,
            "checkpoint_sha256": checkpoint_sha256,
            "configuration": relevant,
        }
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return cls(blake2b(canonical.encode(), digest_size=_DIGEST_BYTES).hexdigest())

    def of_pair(self, pair: TilePair) -> str:
        """Fingerprint of one pair: ``<configuration digest>-<input digest>``.

        Take it *before* reading the tile: an input that changes while it is read then differs
        from its fingerprint, and the tile is made again on the next resume. Never raises; a file
        that is missing or unreadable has an identity of its own.
        """
        return f"{self.configuration_digest}-{_input_digest(pair)}"


def changed_fields(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The options that change results and differ, in words: ``["seed: 0 -> 1"]``."""
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in RESULT_FIELDS
        if before.get(name) != after.get(name)
    ]


def hash_names(names: Iterable[str]) -> str:
    """sha256 of tile names, one per line: says whether two runs were given the same tiles."""
    digest = sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _input_digest(pair: TilePair) -> str:
    opt_v2 = pair.opt_v2_version or _identity(pair.opt_v2_file)
    identity = f"{pair.name}\0{opt_v2}\0{pair.s1_version or _identity(pair.s1_file)}"
    if isinstance(pair, RasterPair):
        for path in pair.more_paths:
            identity += f"\0{_identity(path)}"
    if pair.georeference is not None:
        identity += f"\0{pair.georeference.crs}\0{pair.georeference.transform}"
    encoded = identity.encode("utf-8", "surrogatepass")
    return blake2b(encoded, digest_size=_DIGEST_BYTES).hexdigest()


def _identity(path: AnyPath) -> str:
    try:
        facts = os.stat(path)  # noqa: PTH116 - twice as fast as Path.stat, and runs per tile
    except OSError:
        return "missing"
    return f"{facts.st_size}:{facts.st_mtime_ns}"
