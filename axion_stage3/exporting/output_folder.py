"""The folder that exports, pictures and reports are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.errors import OutputError, UsageError
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.storage.locations import lies_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path


def require_apart(run: RunFolder, *targets: Path | None, truth_dir: Path | None = None) -> None:
    """Refuse to write into an input folder, as ``infer`` does.

    Args:
        run: The run; its input folders are those that it recorded and those that were given.
        *targets: Folders and files that are to be written; None where there is none.
        truth_dir: Folder of truth tiles, an input too; None if there are none.

    Raises:
        UsageError: One of them is an input folder, or lies in one.
    """
    recorded = RunFolder(run.output_dir)
    inputs = (run.opt_v2_dir, run.s1_dir, recorded.opt_v2_dir, recorded.s1_dir, truth_dir)
    refuse_inputs(inputs, targets)


def refuse_inputs(inputs: Iterable[Path | None], targets: Collection[Path | None]) -> None:
    """Refuse to write into some folders.

    Args:
        inputs: The folders; None where there is none.
        targets: Folders and files that are to be written; None where there is none.

    Raises:
        UsageError: One of them is such a folder, or lies in one.
    """
    for folder in inputs:
        for target in targets:
            if folder is not None and target is not None and lies_in(target, folder):
                raise UsageError(
                    f"Writing to {target} would change the input folder {folder}; input folders "
                    "are never written to.",
                    hint="Give a place beside it.",
                )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; nothing to do if it is there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror or error}.",
            hint="Choose another folder for what is written.",
            path=folder,
        ) from error
