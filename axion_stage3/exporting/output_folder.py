"""The folder that exports, pictures and reports are written to."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from axion_stage3.atomic_write import target_of_orphan
from axion_stage3.errors import OutputError
from axion_stage3.runs.run_folder import RunFolder
from axion_stage3.storage.locations import refuse_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ENDINGS: Final = (".tif", ".png", ".pgw", ".png.aux.xml", ".item.json")
"""What the files of a raster are called after its stem."""


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


def sweep_leftovers(output_dir: Path, names: Iterable[str], *documents: str) -> None:
    """Remove the temporary files that killed exports of the same tiles left.

    Those of other tiles may belong to an export that is running now.

    Args:
        output_dir: The folder of the export.
        names: Names of the tiles, and of other rasters that are about to be written.
        *documents: Other files that are about to be written.
    """
    stems: dict[Path, set[str]] = defaultdict(set)
    for name in names:
        path = output_dir / name
        stems[path.parent].add(path.stem)
    for folder, known in stems.items():
        with suppress(OSError):  # a sub-folder that is not there yet holds nothing
            for path in folder.iterdir():
                target = target_of_orphan(path.name) or ""
                stem = next((target.removesuffix(e) for e in _ENDINGS if target.endswith(e)), None)
                if stem in known or target in documents:
                    path.unlink(missing_ok=True)
