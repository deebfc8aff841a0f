"""What the checks are told, from options and from what a run recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.training_ranges import read_training_ranges
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.tiles.tile_loading import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def check_options(
    given: Mapping[str, Any], *, checkpoint: Path | None = None, output_dir: Path | None = None
) -> CheckOptions:
    """Combine the options given, what the run recorded, and the defaults, in this order.

    Args:
        given: Fields of `LoadOptions` by name; None means not given.
        checkpoint: Checkpoint whose training range tiles are compared with; None: the bundled one.
        output_dir: Output folder of a run.

    Raises:
        UsageError: An option cannot work.
        InputFolderError: There is no such output folder.
        CheckpointError: The training range cannot be read.
    """
    base = LoadOptions() if output_dir is None else RunFolder(output_dir).load_options
    load = replace(base, **{name: value for name, value in given.items() if value is not None})
    return CheckOptions(load=load, training_ranges=read_training_ranges(checkpoint))
