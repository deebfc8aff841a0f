"""What can be foreseen before a run begins."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.config import InferenceConfig
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
    try:
        free_bytes = shutil.disk_usage(config.output_dir).free
        wanted_bytes = estimate_output_bytes(pairs, config)
    except OSError:
        return None
    if wanted_bytes <= free_bytes:
        return None
    return (
        f"The outputs will take about {wanted_bytes / 2**30:.1f} GiB, and {config.output_dir} has "
        f"{free_bytes / 2**30:.1f} GiB free. If the disk fills up, the run stops; free some space "
        "and start it again, and it goes on."
    )


def estimate_output_bytes(pairs: Sequence[TilePair], config: InferenceConfig) -> int:
    """Guess from the inputs' sizes: opt_final is written under two keys, all else once.

    Raises:
        OSError: An input cannot be found any more.
    """
    sample = pairs[:: max(1, len(pairs) // _SAMPLED_PAIRS)]
    n_copies = 2 + (config.samples > 1) + 2 * config.save_intermediate
    sizes = [pair.opt_v2_path.stat().st_size for pair in sample]
    return n_copies * len(pairs) * sum(sizes) // max(1, len(sizes))
