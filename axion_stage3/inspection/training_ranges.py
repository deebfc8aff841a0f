"""The range of values that a checkpoint was trained on, read without torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from axion_stage3.errors import CheckpointError, CheckpointNotFoundError

BUNDLED_CHECKPOINT: Final = Path(__file__).parents[1] / "checkpoints" / "reference.safetensors"
_METADATA_KEY: Final = "axion_stage3"
_LENGTH_BYTES: Final = 8
_MAX_HEADER_BYTES: Final = 16 << 20


def read_training_ranges(checkpoint: Path | None = None) -> dict[str, tuple[float, float]]:
    """Read the 0.1 and 99.9 percentiles of each band over the training tiles of a checkpoint.

    Args:
        checkpoint: A ``.safetensors`` file; None for the bundled one, which may be missing.

    Returns:
        Band name to lowest and highest usual value, in reflectance or dB; empty if the checkpoint
        does not say.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointError: It is not a safetensors checkpoint of this project.
    """
    path = BUNDLED_CHECKPOINT if checkpoint is None else checkpoint
    if not path.is_file():
        if checkpoint is None:
            return {}
        raise CheckpointNotFoundError(
            f"There is no checkpoint at {path}.",
            hint="Leave --checkpoint out for the bundled one.",
            path=path,
        )
    try:
        with path.open("rb") as file:
            n_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if n_bytes > _MAX_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(file.read(n_bytes))
        config = json.loads(header["__metadata__"][_METADATA_KEY])["config"]
        return _ranges(config.get("training_range", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"The training range cannot be read from the checkpoint {path}: it is not a "
            f".safetensors checkpoint of this project ({error}).",
            hint="Leave --checkpoint out: the tiles are then compared with the bundled one.",
            path=path,
        ) from error


def _ranges(document: dict[str, Any]) -> dict[str, tuple[float, float]]:
    ranges = {band: (float(low), float(high)) for band, (low, high) in document.items()}
    if not all(math.isfinite(end) for ends in ranges.values() for end in ends):
        raise ValueError("its training range is not finite")
    return ranges
