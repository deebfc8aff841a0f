"""What the checks are told, from options and from what a run recorded."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axion_stage3.cli.path_values import require_file_places
from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.training_ranges import read_training_ranges
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.storage.locations import refuse_inputs
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


def require_result_place(file: Path | None, given: Mapping[str, Any], *tiles: str) -> None:
    """Refuse a file that cannot be written, or would stand among the inputs.

    Args:
        file: What is to be written; None if nothing is.
        given: ``output_dir`` (of a run), ``opt_v2_dir`` and ``s1_dir``, None where not given.
        *tiles: Files whose folders are inputs too.

    Raises:
        InputFolderError: There is no such output folder.
        OutputError: The file's folder is not there, or its place is taken.
        UsageError: It lies in a folder of inputs.
    """
    if file is None:
        return
    require_file_places(file)
    folders = [given["opt_v2_dir"], given["s1_dir"], *(Path(tile).parent for tile in tiles)]
    if given["output_dir"] is not None:
        run = RunFolder(given["output_dir"])
        folders += [run.opt_v2_dir, run.s1_dir]
    refuse_inputs(folders, (file,))
