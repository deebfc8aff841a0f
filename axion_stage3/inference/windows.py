"""Overlapping windows over a large tile, and their seamless blending.

A window's border is reflected where the tile goes on, so a prediction is wrong near it; how far in
depends on the receptive field of the network. Neighbours therefore overlap, and the blend uses
neither of them within a quarter of the overlap from its border: it passes from one to the other,
smoothly, in the half between. Window starts are multiples of 16 px, so that the grids
of the network in the window and in the whole tile coincide.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor

from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

OVERLAP_PX: Final = 128
"""Overlap of neighbouring windows, in pixels."""

_STRIDE_PX: Final = 16


class Span(NamedTuple):
    """One window along one axis: pixels ``start`` to ``stop - 1``."""

    start: int
    stop: int


def plan_spans(length: int, window_px: int) -> tuple[Span, ...]:
    """Cover ``length`` pixels by as few windows as possible, and these as short as possible.

    Args:
        length: Height or width of the tile, in pixels.
        window_px: Most pixels of a window, a multiple of 16 and at least twice the overlap.

    Returns:
        Windows in order; neighbours overlap by ``OVERLAP_PX``, starts are multiples of 16.
    """
    if length <= window_px:
        return (Span(0, length),)
    n_windows = math.ceil((length - OVERLAP_PX) / (window_px - OVERLAP_PX))
    step = math.ceil((length - OVERLAP_PX) / n_windows / _STRIDE_PX) * _STRIDE_PX
    starts = range(0, n_windows * step, step)
    return tuple(Span(start, min(start + step + OVERLAP_PX, length)) for start in starts)


def blend_weights(spans: tuple[Span, ...]) -> list[Tensor]:
    """Return each window's weight along one axis; the weights sum to 1 at every pixel.

    Args:
        spans: Neighbouring windows in order, from :func:`plan_spans`.

    Returns:
        One float32 tensor for each window, as long as the window.
    """
    centres = [(after.start + before.stop) / 2 for before, after in pairwise(spans)]
    weights = []
    for i, span in enumerate(spans):
        pixels = torch.arange(span.start, span.stop, dtype=torch.float64) + 0.5
        weight = torch.ones_like(pixels)
        if i > 0:
            weight -= 1.0 - _step(pixels - centres[i - 1])
        if i < len(spans) - 1:
            weight -= _step(pixels - centres[i])
        weights.append(weight.float())
    return weights


def predict_in_windows(
    predict: Callable[[Window], list[Tensor]], height: int, width: int, window_px: int
) -> list[Tensor]:
    """Predict window by window and blend.

    Args:
        predict: Returns the results for one window, each (B, bands, y, x).
        height: Height of the tile, in pixels.
        width: Width of the tile, in pixels.
        window_px: See :func:`plan_spans`.

    Returns:
        The blended results, each (B, bands, height, width).
    """
    rows, columns = plan_spans(height, window_px), plan_spans(width, window_px)
    if len(rows) == len(columns) == 1:
        return predict(Window(*rows[0], *columns[0]))
    blended: list[Tensor] = []
    for row, row_weight in zip(rows, blend_weights(rows), strict=True):
        for column, column_weight in zip(columns, blend_weights(columns), strict=True):
            window = Window(*row, *column)
            weight = row_weight[:, None] * column_weight
            parts = predict(window)
            if not blended:
                blended = [part.new_zeros(*part.shape[:2], height, width) for part in parts]
            for whole, part in zip(blended, parts, strict=True):
                window.cut(whole).addcmul_(part, weight)
    return blended


def _step(offset: Tensor) -> Tensor:
    """Smoothly from 0 to 1 (Hermite) over half the overlap, 0.5 at offset 0."""
    t = (offset / (OVERLAP_PX / 2) + 0.5).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
