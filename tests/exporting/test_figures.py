"""Figures, contact sheets and plots: PNG files of the right size, whatever the names are."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.errors import InputError, MissingExtraError, UsageError
from axion_stage3.exporting.composites import common_stretch
from axion_stage3.exporting.contact_sheets import TILES_PER_SHEET, contact_sheet
from axion_stage3.exporting.figures import tile_figure
from axion_stage3.exporting.panels import (
    Panel,
    difference_panel,
    index_panel,
    ndvi_panel,
    optical_panel,
    radar_composite_panel,
    radar_panel,
)
from axion_stage3.exporting.run_pictures import Picture
from axion_stage3.exporting.statistics_plots import histograms, scatter
from axion_stage3.exporting.tile_figures import run_tile_figure
from axion_stage3.runs.run_folder import RunTile
from axion_stage3.runs.statistics_table import StatisticsTable
from axion_stage3.statistics.spectral_indices import find_index
from axion_stage3.testing.tile_factories import make_tile

if TYPE_CHECKING:
    from collections.abc import Callable

pillow = pytest.importorskip("PIL.Image", reason="the extra plots is not installed")

HOSTILE = "\x1b[31m$\\frac{1}{0$ 名前 \u202e<b>&" + "very_long_" * 30 + ".npz"


def pixels(png: bytes) -> np.ndarray:
    with pillow.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def has_colour_near(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(image.astype(int) - colour).max(axis=-1) <= 2).any())


def test_a_row_of_panels_shows_each_of_them() -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    panels = [
        Panel(f"panel {place}", np.full((20, 20, 3), colour, dtype=np.uint8))
        for place, colour in enumerate(colours)
    ]
    image = pixels(tile_figure([panels]))
    thirds = np.array_split(image, 3, axis=1)
    for part, colour in zip(thirds, colours, strict=True):
        assert has_colour_near(part, colour)


def test_panels_may_be_of_any_kind_and_number() -> None:
    tile = make_tile(0, 24, 36)
    stretch = common_stretch([tile.opt_v2, tile.truth])
    rows = [
        [radar_composite_panel("S1", tile.s1), optical_panel("opt_v2", tile.opt_v2, stretch)],
        [
            radar_panel("vh", tile.s1),
            ndvi_panel("NDVI", tile.truth),
            index_panel(find_index("NDWI"), np.zeros_like(tile.truth)),
            difference_panel("change", tile.truth, tile.opt_v2),
        ],
    ]
    one, both = pixels(tile_figure(rows[:1])), pixels(tile_figure(rows))
    assert both.shape[1] > one.shape[1]
    assert both.shape[0] > 1.6 * one.shape[0]
    assert tile_figure(rows) == tile_figure(rows)
    with pytest.raises(UsageError):
        tile_figure([[]])


def test_the_figure_of_a_tile_takes_what_there_is() -> None:
    tile = make_tile(3, 32)
    spread = np.abs(tile.truth - tile.opt_v2)
    whole = RunTile("a.npz", tile.truth, tile.opt_v2, tile.s1, spread)
    bare = RunTile("a.npz", tile.truth)
    widths = [
        pixels(run_tile_figure(run_tile, truth)).shape[1]
        for run_tile, truth in ((bare, None), (whole, None), (whole, tile.truth))
    ]
    assert widths == sorted(set(widths))


DRAWINGS: dict[str, Callable[[str], bytes]] = {
    "figure": lambda name: run_tile_figure(RunTile(name, make_tile(1, 16).truth)),
    "sheet": lambda name: contact_sheet(
        [(name, (Picture(name, np.zeros((16, 24, 3), np.uint8)),), name)], title=name
    ),
    "scatter": lambda name: scatter(table_with(name)),
}


def table_with(name: str, n_tiles: int = 30) -> StatisticsTable:
    values = np.linspace(0.1, 0.2, n_tiles)
    far = np.concatenate([values, [5.0]])
    return StatisticsTable(
        (*(f"tile_{index}.npz" for index in range(n_tiles)), name),
        {"opt_final_mean": far, "change_mean": far},
        "outputs",
    )


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_hostile_names_are_drawn_letter_by_letter(drawing: str) -> None:
    assert pixels(DRAWINGS[drawing](HOSTILE)).size


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_without_matplotlib_the_pip_line_is_named(
    drawing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError) as caught:
        DRAWINGS[drawing]("a.npz")
    assert caught.value.hint == "pip install 'axion-stage3[plots]'"


def test_the_users_matplotlibrc_changes_nothing() -> None:
    import matplotlib as mpl

    picture = DRAWINGS["figure"]("a.npz")
    with mpl.rc_context({"image.origin": "lower", "text.antialiased": False}):
        assert DRAWINGS["figure"]("a.npz") == picture
        assert mpl.rcParams["image.origin"] == "lower"


def test_a_sheet_holds_so_many_tiles_and_no_more() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    cell = ("a.npz", (Picture("opt_v2", image), Picture("opt_final", image)), "0.1")
    full = pixels(contact_sheet([cell] * TILES_PER_SHEET, title="all"))
    assert full.shape[0] > full.shape[1]
    for n_tiles in (0, TILES_PER_SHEET + 1):
        with pytest.raises(UsageError):
            contact_sheet([cell] * n_tiles, title="")


def test_pictures_of_other_sizes_fill_their_place_on_a_sheet() -> None:
    shapes = [(16, 16), (150, 150), (40, 10), (7, 130)]
    cells = [
        (f"{shape}", (Picture("opt_final", np.full((*shape, 3), (250, 10, 10), np.uint8)),), "")
        for shape in shapes
    ]
    image = pixels(contact_sheet(cells, title="sizes")).astype(int)
    is_red = (np.abs(image - (250, 10, 10)).max(axis=-1) <= 2).sum()
    expected = 150 * 150 * (1 + 1 + 10 / 40 + 7 / 130)
    assert is_red == pytest.approx(expected, rel=0.05)


def test_what_a_tile_lacks_leaves_its_place_empty_on_a_sheet() -> None:
    colours = {"S1": (10, 10, 250), "opt_v2": (10, 250, 10), "opt_final": (250, 10, 10)}
    pictures = [
        Picture(caption, np.full((50, 50, 3), colour, np.uint8))
        for caption, colour in colours.items()
    ]
    cells = [("a.npz", tuple(pictures[1:]), ""), *[("b.npz", tuple(pictures), "")] * 3]
    image = pixels(contact_sheet(cells, title="gaps")).astype(int)

    for caption, columns in (("S1", 3), ("opt_v2", 4), ("opt_final", 4)):
        is_here = np.abs(image - colours[caption]).max(axis=-1) <= 2
        assert is_here.sum() == pytest.approx(columns * 150 * 150, rel=0.02)
        (first_row,) = np.nonzero(is_here[:300].any(axis=0))
        (second_row,) = np.nonzero(is_here[300:].any(axis=0))
        assert second_row.min() in first_row or caption == "S1"


def test_statistics_without_the_fields_cannot_be_plotted() -> None:
    empty = StatisticsTable(("a.npz",), {"other": np.ones(1)}, "outputs")
    for plot in (histograms, scatter):
        with pytest.raises(InputError, match="lack the fields"):
            plot(empty)


def test_histograms_of_one_tile_and_of_missing_values() -> None:
    columns = {"change_mean": np.array([0.1]), "ndvi_mean": np.array([np.nan])}
    assert pixels(histograms(StatisticsTable(("a.npz",), columns, "outputs"))).size
