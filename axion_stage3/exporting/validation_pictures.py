"""Pictures of held-out tiles while a network is trained: is it getting better to the eye?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.exporting.composites import (
    common_stretch,
    radar_composite,
    thumbnail,
    true_colour,
)
from axion_stage3.exporting.png import png_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.exporting.composites import Rgb
    from axion_stage3.training.validation import ValidationTile

PICTURE_PX: Final = 160
_GAP_PX: Final = 6


def validation_picture(tiles: Sequence[ValidationTile]) -> bytes:
    """Draw a row per tile: S1, opt_v2, opt_final, truth; optical ones under the truth's stretch.

    Args:
        tiles: At least one.

    Returns:
        A PNG file.
    """
    height = len(tiles) * (PICTURE_PX + _GAP_PX) + _GAP_PX
    canvas = np.full((height, 4 * (PICTURE_PX + _GAP_PX) + _GAP_PX, 3), 255, dtype=np.uint8)
    for row, tile in enumerate(tiles):
        for column, picture in enumerate(_pictures(tile)):
            top, left = (_GAP_PX + k * (PICTURE_PX + _GAP_PX) for k in (row, column))
            canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return png_bytes(canvas)


def _pictures(tile: ValidationTile) -> list[Rgb]:
    stretch = common_stretch([tile.truth])
    optical = [true_colour(x, stretch) for x in (tile.opt_v2, tile.opt_final, tile.truth)]
    return [thumbnail(picture, PICTURE_PX) for picture in (radar_composite(tile.s1), *optical)]
