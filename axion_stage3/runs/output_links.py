"""Links in the output folder through which a run would write outside of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from axion_stage3.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_links_outward(output_dir: Path, tiles: Iterable[str]) -> None:
    """Make sure that no sub-folder that the tiles go to is a link out of the output folder.

    Args:
        output_dir: The output folder; it may itself be a link.
        tiles: Names of the tiles.

    Raises:
        OutputError: A sub-folder leads out of the output folder.
    """
    root = Path(os.path.realpath(output_dir))
    for folder in {tile.rpartition("/")[0] for tile in tiles}:
        real = Path(os.path.realpath(output_dir / folder))
        if not real.is_relative_to(root):
            raise OutputError(
                f"The folder {output_dir / folder} leads out of the output folder, to {real}: "
                "nothing is written through links.",
                hint="Replace the link by a folder, or choose another --output-dir.",
                path=output_dir / folder,
            )
