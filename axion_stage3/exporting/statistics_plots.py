"""Pictures of a run's statistics: histograms of the fields, and every tile as a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.atomic_write import write_bytes
from axion_stage3.errors import InputError
from axion_stage3.exporting.output_folder import make_folder
from axion_stage3.exporting.plotting import (
    ACCENT,
    FAINT_INK,
    INK,
    RULE,
    SECOND_ACCENT,
    as_png,
    drawing,
    new_figure,
)
from axion_stage3.exporting.wording import counted, printable, shortened
from axion_stage3.statistics.distributions import OUTLIER_THRESHOLD, histogram, robust_z_scores

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.runs.statistics_table import StatisticsTable

HISTOGRAM_FIELDS: Final = {
    "change_mean": ("mean change from opt_v2", "reflectance"),
    "change_max": ("largest change from opt_v2", "reflectance"),
    "ndvi_mean": ("NDVI", ""),
    "opt_final_std": ("contrast (std of opt_final)", "reflectance"),
    "blue_mean": ("blue", "reflectance"),
    "green_mean": ("green", "reflectance"),
    "red_mean": ("red", "reflectance"),
    "nir_mean": ("near infrared", "reflectance"),
}
"""The fields that are drawn, as far as the run has them: quantity and unit."""

_N_COLUMNS: Final = 4
_N_LABELLED: Final = 6
_NAME_LETTERS: Final = 44
_LABEL_HEIGHT: Final = 0.03
"""Height of a label, as a share of the height of the axes."""


def write_plots(folder: Path, table: StatisticsTable) -> tuple[Path, Path]:
    """Write ``histograms.png`` and ``scatter.png``.

    Args:
        folder: Where to; made if missing.
        table: The statistics.

    Returns:
        The two files.

    Raises:
        InputError: The table lacks the fields that are drawn.
        MissingExtraError: matplotlib is not installed.
        OutputError: A file cannot be written.
    """
    pictures = (histograms(table), scatter(table))
    make_folder(folder)
    paths = (folder / "histograms.png", folder / "scatter.png")
    for path, picture in zip(paths, pictures, strict=True):
        write_bytes(path, picture)
    return paths


def histograms(table: StatisticsTable) -> bytes:
    """Draw how the main fields are spread over the tiles, with the median marked.

    Args:
        table: The statistics.

    Returns:
        A PNG file.

    Raises:
        InputError: The table has none of the fields.
        MissingExtraError: matplotlib is not installed.
    """
    known = {
        name: ", ".join(filter(None, words))
        for name, words in HISTOGRAM_FIELDS.items()
        if name in table.columns
    }
    if not known:
        raise _nothing_to_draw()
    n_columns = min(len(known), _N_COLUMNS)
    n_rows = -(-len(known) // n_columns)
    with drawing():
        figure = new_figure(2.5 * n_columns, 0.4 + 1.75 * n_rows)
        figure.suptitle(
            f"{counted(len(table.names), 'tile')}: how each statistic is spread", **_heading(0.012)
        )
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        figure.subplots_adjust(
            left=0.035,
            right=0.985,
            top=1 - 0.45 / figure.get_figheight(),
            bottom=0.12,
            hspace=0.62,
            wspace=0.2,
        )
        for axes in grid.flat[len(known) :]:
            axes.set_visible(False)
        for axes, (name, label) in zip(grid.flat, known.items(), strict=False):
            _draw_histogram(axes, table.columns[name], label)
        return as_png(figure)


def scatter(table: StatisticsTable) -> bytes:
    """Draw every tile by its brightness and its change; tiles that stand out have their name.

    Args:
        table: The statistics.

    Returns:
        A PNG file.

    Raises:
        InputError: The table lacks ``opt_final_mean`` or ``change_mean``.
        MissingExtraError: matplotlib is not installed.
    """
    if not {"opt_final_mean", "change_mean"} <= table.columns.keys():
        raise _nothing_to_draw()
    brightness, change = table.columns["opt_final_mean"], table.columns["change_mean"]
    scores = np.maximum(np.abs(robust_z_scores(brightness)), np.abs(robust_z_scores(change)))
    is_outlier = scores > OUTLIER_THRESHOLD
    with drawing():
        figure = new_figure(7.0, 4.6)
        figure.suptitle(
            f"{counted(len(table.names), 'tile')}: brightness and change", **_heading(0.02)
        )
        axes = figure.add_axes((0.095, 0.115, 0.875, 0.79))
        size = float(np.clip(4000 / max(len(table.names), 1), 3, 22))
        style: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.7}
        axes.scatter(brightness[~is_outlier], change[~is_outlier], color=ACCENT, **style)
        axes.scatter(
            brightness[is_outlier],
            change[is_outlier],
            color=SECOND_ACCENT,
            **style,
            label=f"outlier (robust |z| > {OUTLIER_THRESHOLD:g})",
        )
        axes.set_xlabel("mean of opt_final, reflectance", fontsize=8)
        axes.set_ylabel("mean change from opt_v2, reflectance", fontsize=8)
        axes.grid(color=RULE, linewidth=0.4)
        axes.set_axisbelow(True)
        if is_outlier.any():
            axes.legend(fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
            _label_outliers(axes, table, scores)
        return as_png(figure)


def _draw_histogram(axes: Any, values: NDArray[np.float64], label: str) -> None:
    bins = histogram(values)
    axes.spines.left.set_visible(False)
    axes.set_yticks([])
    axes.set_xlabel(label, fontsize=7.5, labelpad=2)
    if bins is None:
        return
    axes.stairs(bins.counts, bins.edges, fill=True, color=ACCENT)
    median = float(np.nanmedian(values))
    axes.axvline(median, color=SECOND_ACCENT, linewidth=1.2)
    beyond = f", {bins.n_beyond:,} beyond" if bins.n_beyond else ""
    axes.set_title(
        f"median {median:.3g}{beyond}", fontsize=7.5, color=FAINT_INK, loc="right", pad=3
    )
    axes.locator_params(axis="x", nbins=4)


def _label_outliers(axes: Any, table: StatisticsTable, scores: NDArray[np.float64]) -> None:
    """Name the farthest outliers, as far as their names do not fall on one another."""
    points = np.stack([table.columns["opt_final_mean"], table.columns["change_mean"]], axis=1)
    limits = np.array([axes.get_xlim(), axes.get_ylim()])
    places = (points - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
    taken: list[float] = []
    for index in np.argsort(-scores, kind="stable"):
        is_free = all(abs(places[index, 1] - height) > _LABEL_HEIGHT for height in taken)
        if scores[index] <= OUTLIER_THRESHOLD or len(taken) == _N_LABELLED:
            break
        if not is_free:
            continue
        taken.append(places[index, 1])
        is_right = places[index, 0] > 0.5
        axes.annotate(
            shortened(printable(table.names[index].rpartition("/")[2]), _NAME_LETTERS),
            points[index],
            xytext=(-5 if is_right else 5, 0),
            textcoords="offset points",
            fontsize=6.5,
            color=FAINT_INK,
            horizontalalignment="right" if is_right else "left",
            verticalalignment="center",
        )


def _heading(left: float) -> dict[str, Any]:
    return {
        "x": left,
        "y": 0.985,
        "horizontalalignment": "left",
        "verticalalignment": "top",
        "fontsize": 9.0,
        "fontweight": "bold",
        "color": INK,
    }


def _nothing_to_draw() -> InputError:
    return InputError(
        "The statistics lack the fields that are drawn.",
        hint="--recompute computes them from the output tiles.",
    )
