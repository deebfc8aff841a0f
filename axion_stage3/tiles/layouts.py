"""The key layouts in which tiles are stored, and how one is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from axion_stage3.errors import TileLayoutError
from axion_stage3.tiles.bands import SENTINEL2_BAND_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from axion_stage3.storage.locations import Location

_LISTED_KEYS: Final = 20


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of storing the bands of a tile.

    Attributes:
        name: Short name, for messages and options.
        keys: The NPZ keys, in the order of the bands.
        is_stacked: True for one array (band, y, x), False for one array (y, x) per band.
    """

    name: str
    keys: tuple[str, ...]
    is_stacked: bool


def _stacked(key: str) -> Layout:
    return Layout(name=key, keys=(key,), is_stacked=True)


def _per_optical_band(prefix: str) -> Layout:
    keys = tuple(f"{prefix}_b{number}" for number in SENTINEL2_BAND_NUMBERS)
    return Layout(name=f"{prefix}_bands", keys=keys, is_stacked=False)


OPTICAL_LAYOUTS: Final = (
    _stacked("opt_v2"),
    _per_optical_band("s2"),
    _per_optical_band("opt_v2"),
)
"""Layouts of opt_v2 tiles, the preferred first: ``opt_v2``, ``s2_bands``, ``opt_v2_bands``."""

RADAR_LAYOUTS: Final = (
    _stacked("s1"),
    Layout(name="s1_bands", keys=("s1_vv", "s1_vh"), is_stacked=False),
    Layout(name="vv_vh", keys=("vv", "vh"), is_stacked=False),
)
"""Layouts of s1 tiles, the preferred first: ``s1``, ``s1_bands``, ``vv_vh``."""

OUTPUT_LAYOUTS: Final = (_stacked("opt_final"), _stacked("opt_v3"))
"""Layouts of output tiles; ``opt_v3`` is an alias of ``opt_final``."""

TRUTH_LAYOUTS: Final = (_per_optical_band("s2"),)
"""Layouts of optical truth tiles."""


def recognise(
    names: Collection[str],
    layouts: Sequence[Layout],
    *,
    path: Location | None = None,
    tile_name: str | None = None,
) -> Layout:
    """Find the layout of a tile from its keys.

    Args:
        names: Keys found in the NPZ.
        layouts: Layouts understood, the preferred first.
        path: The tile's file, for the message.
        tile_name: The tile's name, for the message.

    Returns:
        The first layout whose keys are all there.

    Raises:
        TileLayoutError: None is complete; the message lists the keys found and the layouts.
    """
    for layout in layouts:
        if all(key in names for key in layout.keys):
            return layout
    where = "The tile" if path is None else str(path)
    understood = "; ".join(", ".join(layout.keys) for layout in layouts)
    raise TileLayoutError(
        f"{where} has none of the key layouts that are understood. "
        f"Keys found: {_listed(names)}. Layouts understood: {understood}.",
        hint=_missing_hint(names, layouts),
        path=path,
        tile_name=tile_name,
    )


def _listed(names: Collection[str]) -> str:
    if not names:
        return "none"
    # Keys come from the file: repr keeps control characters off the terminal.
    shown = [name if name.isidentifier() else repr(name)[:60] for name in sorted(names)]
    rest = len(shown) - _LISTED_KEYS
    return ", ".join(shown[:_LISTED_KEYS]) + (f" and {rest} more" if rest > 0 else "")


def _missing_hint(names: Collection[str], layouts: Sequence[Layout]) -> str:
    nearest = max(layouts, key=lambda layout: sum(key in names for key in layout.keys))
    missing = [key for key in nearest.keys if key not in names]
    if len(missing) < len(nearest.keys):
        return f"Only {', '.join(missing)} is missing: add it, or use another layout."
    return "Rename the keys in the NPZ to one of these layouts."
