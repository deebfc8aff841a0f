"""What the checks are told, from options and from what a run recorded."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.training_ranges import read_training_ranges
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.tiles.tile_loading import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_options(given: Mapping[str, Any]) -> CheckOptions:
    """Combine the options given, what the run recorded, and the defaults, in this order.

    Args:
        given: Parameters of the command by name, None where an option was not given: ``checkpoint``
            (its training range is what tiles are compared with), ``output_dir`` (of a run), and
            fields of `LoadOptions`.

    Raises:
        UsageError: An option cannot work.
        InputFolderError: There is no such output folder.
        CheckpointError: The training range cannot be read.
    """
    output_dir = given["output_dir"]
    base = LoadOptions() if output_dir is None else RunFolder(output_dir).load_options
    names = [field.name for field in fields(base) if given.get(field.name) is not None]
    load = replace(base, **{name: given[name] for name in names})
    return CheckOptions(load=load, training_ranges=read_training_ranges(given["checkpoint"]))
