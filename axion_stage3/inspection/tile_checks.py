"""The order in which a tile, a pair and an output are checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from axion_stage3.errors import TileGeoreferenceError
from axion_stage3.statistics.spectrum import HIGH_FREQUENCIES, band_power
from axion_stage3.tiles.checks_optical import (
    check_cloud,
    check_duplicated_bands,
    check_optical_units,
)
from axion_stage3.tiles.checks_output import Detail, check_alias, check_changed, check_detail
from axion_stage3.tiles.checks_pair import check_same_place
from axion_stage3.tiles.checks_pixels import (
    check_all_zero,
    check_clipped,
    check_constant_bands,
    check_no_data_border,
    check_range,
    check_training_range,
    check_usable,
)
from axion_stage3.tiles.checks_radar import check_polarisations, check_radar_units
from axion_stage3.tiles.checks_stripes import check_dead_lines, check_stripes
from axion_stage3.tiles.checks_structure import bad_georeference, check_sizes
from axion_stage3.tiles.findings import Finding, Severity, worst
from axion_stage3.tiles.georeference import agree
from axion_stage3.tiles.pixel_filling import fill_from_neighbours, resample_bilinear
from axion_stage3.tiles.tile_loading import USABLE_RANGE, LoadOptions
from axion_stage3.tiles.units import linear_to_db

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from axion_stage3.inspection.stored_tile import StoredTile

ALIAS_KEY: Final = "opt_v3"
SAVED_INPUT_KEY: Final = "opt_v2"
_LOW_DETAIL: Final = (0.2, 0.32)
_HIGH_DETAIL: Final = (0.38, 0.5)


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the checks need to know beside the pixels.

    Attributes:
        load: How stored values become reflectance and dB, as infer is told.
        training_ranges: Band name to lowest and highest usual value of the checkpoint's training
            tiles; empty if not known.
    """

    load: LoadOptions = field(default_factory=LoadOptions)
    training_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class CheckedTile:
    """A tile after its checks.

    Attributes:
        tile: The tile as it stands in its file.
        findings: Everything that was found in it.
        values: (band, y, x) float32 in reflectance or dB, without gaps; None if that cannot be had.
    """

    tile: StoredTile
    findings: tuple[Finding, ...]
    values: NDArray[np.float32] | None = None


def check_input(tile: StoredTile, options: CheckOptions) -> CheckedTile:
    """Check the pixels of an opt_v2 or s1 tile.

    Args:
        tile: The tile.
        options: What the checks need to know.
    """
    if tile.stored is None:
        return CheckedTile(tile, tile.findings)
    findings = list(tile.findings)
    is_usable = (tile.stored > USABLE_RANGE[0]) & (tile.stored < USABLE_RANGE[1])
    findings += check_usable(
        tile.stored, is_usable, tile.bands, tile.subject, is_filled=options.load.fill_invalid
    )
    values = _filled(tile.stored, is_usable)
    if values is None:
        return CheckedTile(tile, tuple(findings))
    if all_zero := check_all_zero(values, tile.subject):
        return CheckedTile(tile, (*findings, *all_zero))
    findings += _check_texture(values, tile)
    if tile.subject == "s1":
        wrong_units = check_radar_units(values, s1_units=options.load.s1_units)
        if options.load.s1_units == "linear" and not wrong_units:
            values = linear_to_db(values)
    else:
        values = values + np.float32(options.load.opt_offset)
        values = values / np.float32(options.load.opt_scale)
        wrong_units = check_optical_units(values, tile.subject, opt_scale=options.load.opt_scale)
    if wrong_units:
        return CheckedTile(tile, (*findings, *wrong_units))
    findings += _check_levels(values, tile, options)
    return CheckedTile(tile, tuple(findings), values)


def check_pair(opt_v2: CheckedTile, s1: CheckedTile, options: CheckOptions) -> list[Finding]:
    """Check whether two tiles belong together.

    Args:
        opt_v2: The optical tile.
        s1: The radar tile.
        options: What the checks need to know.
    """
    opt_v2_size, s1_size = opt_v2.tile.size, s1.tile.size
    if opt_v2_size is None or s1_size is None:
        return []
    findings = check_sizes(
        {"opt_v2": opt_v2_size, "s1": s1_size}, is_resampled=options.load.resample_s1
    )
    try:
        agree(
            [
                ("opt_v2", opt_v2.tile.georeference, opt_v2_size),
                ("s1", s1.tile.georeference, s1_size),
            ]
        )
    except TileGeoreferenceError as error:
        return [*findings, bad_georeference(error, "pair")]
    if worst(findings) == Severity.ERROR or opt_v2.values is None or s1.values is None:
        return findings
    backscatter = s1.values if not findings else resample_bilinear(s1.values, *opt_v2_size)
    return [*findings, *check_same_place(opt_v2.values, backscatter)]


def check_output(tile: StoredTile, opt_v2: NDArray[np.float32] | None = None) -> CheckedTile:
    """Check an output: the automatic validation of infer, and whether it makes sense.

    Args:
        tile: The output, read with the companion ``opt_v3``.
        opt_v2: (4, H, W) reflectance that it was made from; None if it is not at hand.
    """
    if tile.stored is None:
        return CheckedTile(tile, tile.findings)
    findings = list(tile.findings)
    is_usable = np.isfinite(tile.stored)
    findings += check_usable(tile.stored, is_usable, tile.bands, tile.subject)
    if ALIAS_KEY in tile.companions:
        findings += check_alias(tile.stored, tile.companions[ALIAS_KEY])
    values = _filled(tile.stored, is_usable)
    if values is None:
        return CheckedTile(tile, tuple(findings))
    if all_zero := check_all_zero(values, tile.subject):
        return CheckedTile(tile, (*findings, *all_zero))
    if out_of_range := check_range(values, tile.bands, tile.subject):
        return CheckedTile(tile, (*findings, *out_of_range), values)
    findings += _check_texture(values, tile)
    findings += check_duplicated_bands(values, tile.subject)
    if opt_v2 is not None:
        findings += _check_against(values, opt_v2)
    return CheckedTile(tile, tuple(findings), values)


def detail_of(reflectance: NDArray[np.float32]) -> Detail:
    """Measure how much fine detail a tile (4, y, x) has, and of what kind."""
    low, high = (band_power(reflectance, *ring) for ring in (_LOW_DETAIL, _HIGH_DETAIL))
    areas = [outer**2 - inner**2 for inner, outer in (_LOW_DETAIL, _HIGH_DETAIL)]
    has_detail = low > 0
    flatness = high[has_detail] / low[has_detail] * (areas[0] / areas[1])
    return Detail(
        power=float(band_power(reflectance, *HIGH_FREQUENCIES).sum()),
        flatness=float(np.median(flatness)) if has_detail.any() else 0.0,
    )


def _check_against(values: NDArray[np.float32], opt_v2: NDArray[np.float32]) -> list[Finding]:
    sizes = {
        name: (pixels.shape[1], pixels.shape[2])
        for name, pixels in (("opt_v2", opt_v2), ("opt_final", values))
    }
    findings = check_sizes(sizes, "opt_final")
    if findings:
        return findings
    return [
        *check_changed(values, opt_v2),
        *check_detail(detail_of(values), detail_of(opt_v2)),
    ]


def _check_texture(values: NDArray[np.float32], tile: StoredTile) -> list[Finding]:
    """The checks that hold in any unit."""
    checks = (
        check_constant_bands,
        check_clipped,
        check_no_data_border,
        check_stripes,
        check_dead_lines,
    )
    return [finding for check in checks for finding in check(values, tile.bands, tile.subject)]


def _check_levels(
    values: NDArray[np.float32], tile: StoredTile, options: CheckOptions
) -> list[Finding]:
    """The checks of an input whose units are right."""
    findings = check_training_range(values, tile.bands, options.training_ranges, tile.subject)
    if tile.subject == "s1":
        return [*findings, *check_polarisations(values)]
    return [
        *findings,
        *check_range(values, tile.bands, tile.subject),
        *check_duplicated_bands(values, tile.subject),
        *check_cloud(values, tile.subject),
    ]


def _filled(
    stored: NDArray[np.float32], is_usable: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """The tile with its gaps filled; None if a band has nothing to fill them from."""
    if is_usable.all():
        return stored
    if not is_usable.any(axis=(1, 2)).all():
        return None
    return np.stack(
        [fill_from_neighbours(band, usable) for band, usable in zip(stored, is_usable, strict=True)]
    )
