"""Contact sheets: many tiles on a page, each before and after under one stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import UsageError
from axion_stage3.exporting.plotting import (
    DOTS_PER_INCH,
    FAINT_INK,
    INK,
    as_png,
    drawing,
    new_figure,
)
from axion_stage3.exporting.run_pictures import Picture
from axion_stage3.exporting.wording import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.exporting.composites import Rgb

TILES_PER_SHEET: Final = 24
PICTURE_PX: Final = 150

SheetTile = tuple[str, tuple[Picture, ...], str]
"""Name of a tile, its pictures side by side, and what stands below the name."""

_N_COLUMNS: Final = 3
_MARGIN_PX: Final = 36
_HEAD_PX: Final = 46
_GAP_PX: Final = 5
_COLUMN_GAP_PX: Final = 34
_CAPTION_PX: Final = 50
_PX_PER_LETTER: Final = 8.6
_POINTS_PER_PX: Final = 72 / DOTS_PER_INCH


def contact_sheet(tiles: Sequence[SheetTile], *, title: str, note: str = "") -> bytes:
    """Draw a page of tiles.

    Args:
        tiles: 1 to `TILES_PER_SHEET` tiles. Pictures of one caption stand below each other; where
            a tile has none, its place stays empty.
        title: Heading.
        note: Stands at the right of the heading.

    Returns:
        A PNG file.

    Raises:
        UsageError: There is no tile, or there are too many.
        MissingExtraError: matplotlib is not installed.
    """
    if not 1 <= len(tiles) <= TILES_PER_SHEET:
        raise UsageError(
            f"A sheet holds 1 to {TILES_PER_SHEET} tiles, not {len(tiles)}.",
            hint="Spread them over several sheets.",
        )
    captions = _captions(tiles)
    n_pictures = len(captions)
    cell_width = n_pictures * PICTURE_PX + (n_pictures - 1) * _GAP_PX
    cell_height = PICTURE_PX + _CAPTION_PX
    n_columns = min(len(tiles), _N_COLUMNS)
    n_rows = -(-len(tiles) // n_columns)
    width = 2 * _MARGIN_PX + n_columns * cell_width + (n_columns - 1) * _COLUMN_GAP_PX
    height = _MARGIN_PX + _HEAD_PX + n_rows * cell_height + _MARGIN_PX // 2
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    with drawing():
        figure = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        n_letters = int((width - 2 * _MARGIN_PX) / (1.6 * _PX_PER_LETTER))
        _write(axes, _MARGIN_PX, _MARGIN_PX, shortened(printable(title), n_letters), 22, "bold")
        right = width - _MARGIN_PX
        _write(axes, right, _MARGIN_PX, note, 13, colour=FAINT_INK, aligned="right")
        for place, (name, pictures, caption) in enumerate(tiles):
            row, column = divmod(place, n_columns)
            left = _MARGIN_PX + column * (cell_width + _COLUMN_GAP_PX)
            top = _MARGIN_PX + _HEAD_PX + row * cell_height
            places = [left + index * (PICTURE_PX + _GAP_PX) for index in range(n_pictures)]
            for picture in pictures:
                _paste(canvas, picture.image, top, places[captions.index(picture.caption)])
            for at, head in zip(places, captions, strict=True):
                if row == 0:
                    _write(axes, at, top - 5, head, 13, colour=FAINT_INK)
            below = top + PICTURE_PX
            words = shortened(printable(name), int(cell_width / _PX_PER_LETTER))
            _write(axes, left, below + 19, words, 14)
            _write(axes, left, below + 36, caption, 12.5, colour=FAINT_INK)
        axes.imshow(canvas, interpolation="nearest", aspect="auto", extent=(0, width, height, 0))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        return as_png(figure)


def _captions(tiles: Sequence[SheetTile]) -> list[str]:
    """The captions of all pictures, in the order of the tile that has most of them."""
    by_number = sorted((pictures for _, pictures, _ in tiles), key=len, reverse=True)
    return list(dict.fromkeys(picture.caption for pictures in by_number for picture in pictures))


def _paste(canvas: Rgb, image: Rgb, top: int, left: int) -> None:
    """Put a picture into its square, enlarged by repeated pixels and centred."""
    height, width = image.shape[:2]
    scale = PICTURE_PX / max(height, width)
    rows = np.minimum((np.arange(max(round(height * scale), 1)) / scale).astype(int), height - 1)
    columns = np.minimum((np.arange(max(round(width * scale), 1)) / scale).astype(int), width - 1)
    top += (PICTURE_PX - rows.size) // 2
    left += (PICTURE_PX - columns.size) // 2
    canvas[top : top + rows.size, left : left + columns.size] = image[rows][:, columns]


def _write(
    axes: Any, left: float, base: float, text: str, px: float, weight: str = "normal",
    *, colour: str = INK, aligned: str = "left",
) -> None:  # fmt: skip
    axes.text(
        left,
        base,
        text,
        fontsize=px * _POINTS_PER_PX,
        fontweight=weight,
        color=colour,
        verticalalignment="baseline",
        horizontalalignment=aligned,
    )
