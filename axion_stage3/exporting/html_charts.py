"""Charts of the report as SVG inside the page, coloured by its style sheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.exporting.html_text import escaped
from axion_stage3.exporting.wording import counted
from axion_stage3.statistics.distributions import histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_WIDTH: Final = 240
_HEIGHT: Final = 72
_BAR_WIDTH: Final = 240
_BAR_HEIGHT: Final = 8


def histogram_chart(label: str, values: NDArray[np.float64]) -> str:
    """A histogram with its median, as a ``figure``; empty if there is no finite value.

    Args:
        label: Quantity and unit.
        values: (tile,).
    """
    bins = histogram(values)
    if bins is None:
        return ""
    low, high = float(bins.edges[0]), float(bins.edges[-1])
    median = float(np.nanmedian(values))
    heights = bins.counts / max(int(bins.counts.max()), 1) * _HEIGHT
    width = _WIDTH / len(heights)
    steps = "".join(
        f"V{_HEIGHT - height:.1f}H{(place + 1) * width:.1f}" for place, height in enumerate(heights)
    )
    middle = (median - low) / (high - low) * _WIDTH
    beyond = f"{counted(bins.n_beyond, 'tile')} beyond" if bins.n_beyond else ""
    start, centre, end = axis_labels(low, median, high)
    spoken = f"{label}: from {start} to {end}, median {centre}; {beyond}"
    return (
        f'<figure class="chart"><figcaption>{escaped(label)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escaped(spoken)}">'
        f'<path class="bars" d="M0 {_HEIGHT}{steps}V{_HEIGHT}Z"/>'
        f'<path class="median" d="M{middle:.1f} 0V{_HEIGHT}"/></svg>'
        f'<p class="axis"><span>{start}</span>'
        f'<span class="middle">median {centre}</span><span>{end}</span></p>'
        f'<p class="axis">{beyond}</p>'
        "</figure>"
    )


def axis_labels(low: float, middle: float, high: float) -> tuple[str, str, str]:
    """Write three numbers of an axis with as many decimals as tell its ends apart."""
    span = high - low
    n_decimals = 2 if span <= 0 else min(max(2 - math.floor(math.log10(span)), 2), 8)
    low, middle, high = (round(number, n_decimals) + 0.0 for number in (low, middle, high))
    return f"{low:.{n_decimals}f}", f"{middle:.{n_decimals}f}", f"{high:.{n_decimals}f}"


def shares_chart(seconds: Mapping[str, float]) -> str:
    """Bars of how much of a total each part takes, as a table.

    Args:
        seconds: Part to its time, in seconds.
    """
    total = sum(seconds.values()) or 1.0
    parts = sorted(seconds.items(), key=lambda part: -part[1])
    rows = "".join(
        f'<tr><th scope="row">{escaped(name.replace("_", " "))}</th>'
        f'<td><svg class="bar" viewBox="0 0 {_BAR_WIDTH} {_BAR_HEIGHT}" '
        f'preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{value / total * _BAR_WIDTH:.1f}" height="{_BAR_HEIGHT}"/></svg></td>'
        f"<td>{value:,.1f} s</td><td>{value / total:.0%}</td></tr>"
        for name, value in parts
    )
    return f'<table class="shares"><tbody>{rows}</tbody></table>'
