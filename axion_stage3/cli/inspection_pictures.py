"""A tile as a small picture: for the terminal, and as a PNG file."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.cli.text_layout import WIDTH
from axion_stage3.exporting.composites import (
    VH_RANGE_DB,
    VV_RANGE_DB,
    common_stretch,
    radar_composite,
    thumbnail,
    true_colour,
)
from axion_stage3.exporting.png import png_bytes
from axion_stage3.tiles.bands import OUTPUT_RANGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from axion_stage3.exporting.composites import Rgb
    from axion_stage3.tiles.findings import Subject

_ORDER: Final[tuple[Subject, ...]] = ("opt_v2", "s1", "opt_final")
_GAP: Final = 2
_MOST_COLUMNS: Final = 38
_SHADES: Final = " ░▒▓█"
_LUMINANCE: Final = (0.299, 0.587, 0.114)
_PNG_PANEL_PX: Final = 480
_PNG_GAP_PX: Final = 8
_RADAR_PERCENTILES: Final = (2.0, 98.0)
_SMALLEST_SPAN: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture beside others.

    Attributes:
        title: What it shows.
        image: (H, W, 3) uint8.
    """

    title: str
    image: Rgb


def panels_of(
    pixels: Mapping[Subject, NDArray[np.float32]],
    stored: Mapping[Subject, NDArray[np.float32]] | None = None,
) -> list[Panel]:
    """Draw opt_v2, s1 and opt_final, as far as they are there.

    Args:
        pixels: (band, y, x) in reflectance or dB, by kind of tile.
        stored: Tiles in other units, likewise; each is drawn by its own range of values.
    """
    stored = stored or {}
    # Wild values would leave nothing of the colours; what is beyond the range is reported anyway.
    optical = {
        subject: np.clip(values, *OUTPUT_RANGE)
        for subject, values in pixels.items()
        if subject != "s1"
    }
    stretch = common_stretch(list(optical.values())) if optical else None
    panels = []
    for subject in _ORDER:
        if subject in optical and stretch is not None:
            panels.append(Panel(subject, true_colour(optical[subject], stretch)))
        elif subject in pixels:
            panels.append(Panel("s1 (VV VH)", radar_composite(pixels[subject])))
        elif subject in stored and np.isfinite(stored[subject]).any(axis=(1, 2)).all():
            panels.append(Panel(f"{subject}, as stored", _drawn_by_range(subject, stored[subject])))
    return panels


def _drawn_by_range(subject: Subject, values: NDArray[np.float32]) -> Rgb:
    if subject != "s1":
        return true_colour(values, common_stretch([values]))
    low, high = np.nanpercentile(values, _RADAR_PERCENTILES, axis=(1, 2), keepdims=True)
    share = (values - low) / np.maximum(high - low, _SMALLEST_SPAN)
    ends = np.array([VV_RANGE_DB, VH_RANGE_DB], dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    return radar_composite((ends[:, 0] + share * (ends[:, 1] - ends[:, 0])).astype(np.float32))


def terminal_picture(panels: Sequence[Panel]) -> str:
    """The panels side by side: in colour where standard output shows it, else in shades.

    Returns:
        Lines of at most 80 columns; empty without panels.
    """
    if not panels:
        return ""
    columns = min(_MOST_COLUMNS, (WIDTH - _GAP * (len(panels) - 1)) // len(panels))
    small = [Panel(panel.title, thumbnail(panel.image, columns)) for panel in panels]
    titles = (" " * _GAP).join(
        f"{panel.title[: panel.image.shape[1]]:<{panel.image.shape[1]}}" for panel in small
    )
    picture = _side_by_side([panel.image for panel in small], _GAP)
    return titles.rstrip() + "\n" + (_half_blocks(picture) or _shades(picture))


def picture_png(panels: Sequence[Panel]) -> bytes:
    """The panels side by side as a PNG file, each pixel of a small tile several pixels wide."""
    images = []
    for panel in panels:
        factor = max(1, _PNG_PANEL_PX // max(panel.image.shape[:2]))
        images.append(panel.image.repeat(factor, axis=0).repeat(factor, axis=1))
    return png_bytes(_side_by_side(images, _PNG_GAP_PX, background=255))


def _side_by_side(images: Sequence[Rgb], gap: int, background: int = 0) -> Rgb:
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] for image in images) + gap * (len(images) - 1)
    joined = np.full((height, width, 3), background, dtype=np.uint8)
    left = 0
    for image in images:
        joined[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + gap
    return joined


def _half_blocks(image: Rgb) -> str:
    """Two pixels a character: the upper as the colour of the block, the lower as what is behind.

    Empty where standard output does not show 256 colours or more.
    """
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return ""
    from rich.color import Color
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    # Rich knows how many colours the terminal has, and takes the nearest.
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=WIDTH, legacy_windows=False)
    if console.color_system not in ("256", "truecolor"):
        return ""
    even = np.pad(image, ((0, image.shape[0] % 2), (0, 0), (0, 0)))
    for upper, lower in zip(even[::2], even[1::2], strict=True):
        line = Text()
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            style = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
            line.append("▀", style)
        console.print(line, no_wrap=True)
    return text.getvalue().rstrip("\n")


def _shades(image: Rgb) -> str:
    """Two pixels a character, by their mean brightness."""
    even = np.pad(image, ((0, image.shape[0] % 2), (0, 0), (0, 0)), mode="edge")
    brightness = (even @ np.array(_LUMINANCE) / 256).reshape(-1, 2, even.shape[1]).mean(axis=1)
    levels = (brightness * len(_SHADES)).astype(int)
    return "\n".join("".join(_SHADES[level] for level in row).rstrip() for row in levels)
