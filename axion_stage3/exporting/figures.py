"""Figures of tiles: rows of panels with titles, colour bars and the tile's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.errors import UsageError
from axion_stage3.exporting.plotting import (
    DOTS_PER_INCH,
    FAINT_INK,
    INK,
    as_png,
    drawing,
    new_figure,
)
from axion_stage3.exporting.wording import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from axion_stage3.exporting.panels import Panel

_PANEL_INCHES: Final = 2.1
_GAP: Final = 0.16
_MARGIN: Final = 0.22
_TITLE: Final = 0.26
_FOOT: Final = 0.42
_HEAD_LINE: Final = 0.2
_BAR_HEIGHT: Final = 0.07
_LETTERS_PER_INCH: Final = 13.5

_COLOUR_MAPS: Final = {"grey": "gray", "heat": "inferno", "vegetation": "YlGn"}


def tile_figure(
    rows: Sequence[Sequence[Panel]], *, title: str = "", numbers: Sequence[str] = ()
) -> bytes:
    """Draw rows of panels, the pixels unsmoothed.

    Args:
        rows: The panels, row by row; rows may differ in length. A row without any title or without
            any note and colour bar takes no space for it.
        title: Heading, such as the tile's name; cut in the middle where it is too long.
        numbers: Short texts below the heading, such as ``change mean 0.021``.

    Returns:
        A PNG file.

    Raises:
        UsageError: There is no panel.
        MissingExtraError: matplotlib is not installed.
    """
    if not any(rows):
        raise UsageError("A figure needs at least one panel.", hint="Give panels.")
    n_columns = max(len(row) for row in rows)
    width = 2 * _MARGIN + n_columns * _PANEL_INCHES + (n_columns - 1) * _GAP
    head = _head_lines(title, numbers, width - 2 * _MARGIN)
    head_height = _HEAD_LINE * len(head) + (0.08 if head else 0.0)
    height = 2 * _MARGIN + head_height + sum(_row_height(row) for row in rows)
    with drawing():
        figure = new_figure(width, height)
        top = height - _MARGIN
        for index, (text, is_title) in enumerate(head):
            figure.text(
                _MARGIN / width,
                (top - _HEAD_LINE * (index + 0.5)) / height,
                text,
                fontsize=9.0 if is_title else 7.5,
                fontweight="bold" if is_title else "normal",
                color=INK if is_title else FAINT_INK,
                verticalalignment="center",
            )
        top -= head_height
        for row in rows:
            _draw_row(figure, row, top)
            top -= _row_height(row)
        return as_png(figure)


def _head_lines(title: str, numbers: Sequence[str], width: float) -> list[tuple[str, bool]]:
    """The heading and the numbers, wrapped; True marks the heading."""
    lines = (
        [(shortened(printable(title), int(width * _LETTERS_PER_INCH * 0.8)), True)] if title else []
    )
    line = ""
    for number in numbers:
        longer = f"{line}   ·   {number}" if line else number
        if line and len(longer) > width * _LETTERS_PER_INCH:
            lines.append((line, False))
            longer = number
        line = longer
    return [*lines, (line, False)] if line else lines


def _has_title(row: Sequence[Panel]) -> bool:
    return any(panel.title for panel in row)


def _has_foot(row: Sequence[Panel]) -> bool:
    return any(panel.note or panel.scale for panel in row)


def _panel_height(row: Sequence[Panel]) -> float:
    """Height of the row's tallest panel, all being equally wide."""
    return _PANEL_INCHES * max(float(panel.image.shape[0] / panel.image.shape[1]) for panel in row)


def _row_height(row: Sequence[Panel]) -> float:
    if not row:
        return 0.0
    spacing = _TITLE * _has_title(row) + (_FOOT if _has_foot(row) else _GAP)
    return _panel_height(row) + spacing


def _draw_row(figure: Figure, row: Sequence[Panel], top: float) -> None:
    width, height = figure.get_size_inches()
    for column, panel in enumerate(row):
        left = _MARGIN + column * (_PANEL_INCHES + _GAP)
        upper = top - _TITLE * _has_title(row)
        panel_height = _PANEL_INCHES * panel.image.shape[0] / panel.image.shape[1]
        box = (
            left / width,
            (upper - panel_height) / height,
            _PANEL_INCHES / width,
            panel_height / height,
        )
        axes = figure.add_axes(box)
        image = _draw_panel(axes, panel)
        figure.text(
            left / width, (upper + 0.07) / height, panel.title, fontsize=8.0, fontweight="bold"
        )
        foot = upper - panel_height - 0.07
        if panel.scale is not None:
            bar = figure.add_axes(
                (
                    left / width,
                    (foot - _BAR_HEIGHT) / height,
                    _PANEL_INCHES / width,
                    _BAR_HEIGHT / height,
                )
            )
            _draw_bar(figure, bar, image, panel)
        elif panel.note:
            figure.text(
                left / width,
                (foot - 0.07) / height,
                panel.note,
                fontsize=6.5,
                color=FAINT_INK,
                verticalalignment="center",
            )


def _draw_panel(axes: Axes, panel: Panel) -> AxesImage:
    axes.set_axis_off()
    scale = panel.scale
    # Tiles with more pixels than the panel has dots are averaged, not sampled.
    is_shrunk = max(panel.image.shape[:2]) > _PANEL_INCHES * DOTS_PER_INCH
    interpolation = "antialiased" if is_shrunk else "nearest"
    if scale is None:
        return axes.imshow(panel.image, interpolation=interpolation, aspect="auto")
    return axes.imshow(
        panel.image,
        interpolation=interpolation,
        aspect="auto",
        cmap=_COLOUR_MAPS[scale.colours],
        vmin=scale.low,
        vmax=scale.high,
    )


def _draw_bar(figure: Figure, axes: Axes, image: AxesImage, panel: Panel) -> None:
    assert panel.scale is not None
    bar = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    middle = (panel.scale.low + panel.scale.high) / 2
    ticks = [panel.scale.low, panel.scale.high]
    bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    axes.tick_params(length=0, labelsize=6.5, pad=2)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes.text(
        middle,
        -0.35,
        panel.scale.label,
        transform=axes.get_xaxis_transform(),
        fontsize=6.5,
        color=FAINT_INK,
        horizontalalignment="center",
        verticalalignment="top",
    )
