"""Links in the output folder through which a run would write outside of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from axion_stage3.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_links_outward(output_dir: Path, folders: Iterable[str]) -> None:
    """Make sure that no sub-folder that is written to is a link out of the output folder.

    Args:
        output_dir: The output folder; it may itself be a link.
        folders: Names of the sub-folders.

    Raises:
        OutputError: A sub-folder leads out of the output folder.
    """
    root = Path(os.path.realpath(output_dir))
    for folder in folders:
        real = Path(os.path.realpath(output_dir / folder))
        if not real.is_relative_to(root):
            raise OutputError(
                f"The folder {output_dir / folder} leads out of the output folder, to {real}: "
                "nothing is written through links.",
                hint="Replace the link by a folder, or choose another folder for the output.",
                path=output_dir / folder,
            )
