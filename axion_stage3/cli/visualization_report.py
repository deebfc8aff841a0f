"""What ``axion-stage3 visualize`` says it made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axion_stage3.exporting.wording import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from axion_stage3.exporting.visualization import Visualization


def visualization_lines(result: Visualization, *, is_limited: bool = True) -> Iterator[str]:
    """Where everything was written, and which tiles could not be drawn.

    Args:
        result: What was drawn.
        is_limited: Whether the limit chose the tiles, not their names.
    """
    if result.report is not None:
        yield f"Report: {printable(result.report)}"
    if result.figures:
        yield f"{counted(len(result.figures), 'figure')}: {_place(result.figures, 'figures')}"
    if result.contact_sheets:
        sheets = counted(len(result.contact_sheets), "contact sheet")
        yield f"{sheets}: {_place(result.contact_sheets)}"
    has_more = is_limited and result.n_chosen < result.n_tiles
    if has_more and (result.figures or result.contact_sheets):
        n_drawn = result.n_chosen - len(result.undrawn)
        yield f"{n_drawn:,} of {result.n_tiles:,} tiles were drawn; --limit 0 draws all."
    for tile in result.undrawn:
        yield f"Not drawn: {printable(tile.tile_name)}: {printable(tile.reason)}"


def _place(paths: Sequence[str], folder: str = "") -> str:
    """The one file, or the folder of several."""
    if len(paths) == 1:
        return printable(paths[0])
    parents = [parent for parent in Path(paths[0]).parents if not folder or parent.name == folder]
    return f"{printable(str(parents[0]))}/"
