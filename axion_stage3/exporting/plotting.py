"""The one way to matplotlib: the extra ``plots``, a fixed style, PNG bytes without a display."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.optional_imports import import_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

INK: Final = "#1d2429"
FAINT_INK: Final = "#66717a"
RULE: Final = "#d5dade"
ACCENT: Final = "#1f6f8b"
SECOND_ACCENT: Final = "#c4622d"
DOTS_PER_INCH: Final = 150

_STYLE: Final[dict[str, Any]] = {
    "font.family": ["DejaVu Sans"],
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": FAINT_INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": FAINT_INK,
    "ytick.labelcolor": FAINT_INK,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    # Tile names are shown letter by letter: no mathematics between dollar signs, no LaTeX.
    "text.parse_math": False,
    "text.usetex": False,
}


def require_matplotlib() -> Any:
    """Return the module matplotlib.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra("matplotlib", extra="plots", need="Pictures need")


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the project's style, whatever the user's matplotlibrc says.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = require_matplotlib()
    # The backend stays as it is: asking for one would load pyplot and look for a display.
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k}
    with matplotlib.rc_context({**defaults, **_STYLE}), warnings.catch_warnings():
        # Tile names may hold letters that the font lacks; a box is drawn in their place.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Make an empty figure on white; to be called within `drawing`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), dpi=DOTS_PER_INCH, facecolor="white")


def as_png(figure: Figure) -> bytes:
    """Render a figure; equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
