"""What can be foreseen before a run begins."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.config import InferenceConfig
    from axion_stage3.storage.locations import Location
    from axion_stage3.tiles.pairing import TilePair

_SAMPLED_PAIRS: Final = 200


def disk_warning(pairs: Sequence[TilePair], config: InferenceConfig) -> str | None:
    """Compare what the outputs will take with what is free.

    Args:
        pairs: The pairs to do.
        config: What is written for each, and where.

    Returns:
        A warning if the disk will probably fill up, None otherwise.
    """
    free_bytes = free_space(config.output_dir)
    if free_bytes is None:
        return None
    wanted_bytes = estimate_output_bytes(pairs, config)
    if wanted_bytes <= free_bytes:
        return None
    return (
        f"The outputs will take about {wanted_bytes / 2**30:.1f} GiB, and {config.output_dir} has "
        f"{free_bytes / 2**30:.1f} GiB free. If the disk fills up, the run stops; free some space "
        "and start it again, and it goes on."
    )


def free_space(folder: Location) -> int | None:
    """Free space where a folder is or will be, in bytes; None if it is not known, as in stores."""
    if isinstance(folder, ObjectUrl):
        return None
    for existing in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(existing).free
        except OSError:
            continue
    return None


def estimate_output_bytes(pairs: Sequence[TilePair], config: InferenceConfig) -> int:
    """Guess from the inputs' sizes: opt_final is written under two keys, all else once.

    Inputs that cannot be found any more say nothing.
    """
    sample = pairs[:: max(1, len(pairs) // _SAMPLED_PAIRS)]
    n_copies = 2 + (config.samples > 1) + 2 * config.save_intermediate
    sizes = [size for pair in sample if (size := _input_bytes(pair)) is not None]
    return n_copies * len(pairs) * sum(sizes) // max(1, len(sizes))


def _input_bytes(pair: TilePair) -> int | None:
    listed = pair.opt_v2_version.partition(":")[0]
    if listed:
        return int(listed)
    with suppress(OSError):
        return os.stat(pair.opt_v2_file).st_size  # noqa: PTH116 - runs before every run
    return None
