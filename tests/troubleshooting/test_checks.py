"""The checks as pure functions: what they measure and how they word it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.errors import AxionError
from axion_stage3.inspection.band_statistics import band_statistics
from axion_stage3.inspection.tile_checks import detail_of
from axion_stage3.inspection.training_ranges import read_training_ranges
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS
from axion_stage3.tiles.checks_output import Detail, check_detail, check_statistics
from axion_stage3.tiles.checks_pair import check_same_place
from axion_stage3.tiles.checks_pixels import (
    check_clipped,
    check_constant_bands,
    check_no_data_border,
    check_usable,
    edge_runs,
)
from axion_stage3.tiles.checks_radar import check_polarisations
from axion_stage3.tiles.checks_stripes import check_stripes
from axion_stage3.tiles.findings import Severity, worst

if TYPE_CHECKING:
    from pathlib import Path

SHIFT_PX = 9


@pytest.mark.parametrize(
    ("rows", "columns", "place"),
    [
        (slice(0, 3), slice(None), "at the border"),
        (slice(10, 20), slice(5, 12), "in one block at row 10, column 5"),
        (slice(2, None, 7), slice(1, None, 5), "scattered"),
    ],
)
def test_unusable_pixels_are_placed(rows: slice, columns: slice, place: str) -> None:
    values = np.zeros((4, 40, 40), np.float32)
    values[2, rows, columns] = np.inf

    (finding,) = check_usable(values, np.isfinite(values), OPTICAL_BANDS, "opt_v2")

    assert finding.figures["place"] == place
    assert finding.bands == ("red",)
    assert finding.figures["n_infinite"] == np.isinf(values).sum()


def test_lost_band_cannot_be_filled() -> None:
    values = np.zeros((2, 20, 20), np.float32)
    values[1] = -9999

    (finding,) = check_usable(values, values > -999, RADAR_BANDS, "s1", is_filled=True)

    assert finding.severity == Severity.ERROR
    assert "400 no-data value; the whole of vh" in finding.message
    assert "cannot be filled" in finding.advice


def test_edge_runs_follow_straight_lines_only() -> None:
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)

    expected = [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert edge_runs(mask).astype(int).tolist() == expected


def test_a_dark_constant_band_is_a_warning_and_a_bright_one_an_error() -> None:
    dark = make_tile(0).opt_v2
    dark[3] = 1e-4
    bright = make_tile(0).opt_v2
    bright[3] = 0.3

    severities = [
        worst(check_constant_bands(tile, OPTICAL_BANDS, "opt_v2")) for tile in (dark, bright)
    ]
    assert severities == [Severity.WARNING, Severity.ERROR]


def test_stored_integers_are_not_taken_for_clipping() -> None:
    # Few distinct values: many pixels share the lowest one, and as many each of the others.
    tile = np.random.default_rng(0).integers(3, 9, (4, 64, 64)).astype(np.float32)

    assert check_clipped(tile, OPTICAL_BANDS, "opt_v2") == []


def test_corner_value_of_radar_is_a_border_and_of_optical_is_not() -> None:
    tile = make_tile(1)
    tile.s1[:, -12:] = -99.5
    tile.opt_v2[:, -12:] = 1e-4

    (finding,) = check_no_data_border(tile.s1, RADAR_BANDS, "s1")

    assert finding.figures["value"] == -99.5
    assert check_no_data_border(tile.opt_v2, OPTICAL_BANDS, "opt_v2") == []


@pytest.mark.parametrize("direction", ["columns", "rows"])
def test_stripes_are_told_by_direction(direction: str) -> None:
    tile = make_tile(5, 96).s1
    tile[:, :, ::4] += 3
    if direction == "rows":
        tile = np.ascontiguousarray(tile.swapaxes(1, 2))

    (finding,) = check_stripes(tile, RADAR_BANDS, "s1")

    assert finding.figures["direction"] == direction


def test_calm_water_may_be_brighter_in_vh() -> None:
    random = np.random.default_rng(0)
    vv, vh = random.normal(-29, 1, (64, 64)), random.normal(-26, 1, (64, 64))

    assert check_polarisations(np.stack([vv, vh])) == []
    assert [f.kind.id for f in check_polarisations(np.stack([vv, vh]) + 14)] == ["AX-T043"]


@pytest.mark.parametrize(
    ("down", "right", "words"),
    [
        (SHIFT_PX, 0, f"{SHIFT_PX} px lower than s1"),
        (-SHIFT_PX, SHIFT_PX, f"{SHIFT_PX} px higher and {SHIFT_PX} px further right than s1"),
        (0, -SHIFT_PX, f"{SHIFT_PX} px further left than s1"),
    ],
)
def test_shift_is_told_by_direction_and_pixels(down: int, right: int, words: str) -> None:
    tile = make_tile(3, 128)
    place = slice(16, -16)
    optical = np.roll(tile.opt_v2, (down, right), axis=(1, 2))[:, place, place]

    (finding,) = check_same_place(optical, tile.s1[:, place, place])

    assert finding.kind.id == "AX-T050"
    assert words in finding.message
    assert (finding.figures["rows_px"], finding.figures["columns_px"]) == (down, right)


def test_detail_of_noise_is_flat_and_of_a_picture_is_not() -> None:
    tile = make_tile(0, 128).truth
    noise = np.random.default_rng(0).normal(0.2, 0.02, tile.shape).astype(np.float32)

    assert detail_of(noise).flatness > 0.8
    assert detail_of(tile).flatness < 0.5
    assert detail_of(noise).power == pytest.approx(4 * 0.02**2 * np.pi * (0.25 - 0.04), rel=0.1)
    assert detail_of(np.full_like(tile, 0.3)) == Detail(0.0, 0.0)


@pytest.mark.parametrize(
    ("power", "flatness", "found"),
    [(0.2, 0.1, "AX-T061"), (0.3, 0.1, None), (1.6, 0.6, "AX-T062"), (9.0, 0.3, None)],
)
def test_detail_is_judged_by_power_and_flatness(
    power: float, flatness: float, found: str | None
) -> None:
    findings = check_detail(Detail(power, flatness), Detail(1.0, 0.1))

    assert [finding.kind.id for finding in findings] == ([found] if found else [])


def test_statistics_are_compared_within_a_tolerance() -> None:
    measured = {"tile_name": "a.npz", "blue_mean": 0.25, "nir_mean": 0.5}

    assert check_statistics({"blue_mean": 0.25001, "other": 3.0, "tile_name": "b"}, measured) == []
    (finding,) = check_statistics({"blue_mean": 0.26, "nir_mean": 0.5}, measured)
    assert "blue_mean 0.26, now 0.25" in finding.message


def test_band_statistics_leave_unusable_pixels_out() -> None:
    band = np.arange(100, dtype=np.float32).reshape(10, 10)
    band[0, :4] = [np.nan, np.inf, -9999, 0]

    numbers = band_statistics("blue", band)

    counts = (numbers.n_nan, numbers.n_infinite, numbers.n_no_data, numbers.n_zero)
    assert counts == (1, 1, 1, 1)
    assert (numbers.min, numbers.max) == (0, 99)
    assert numbers.histogram is not None
    assert sum(numbers.histogram.counts) == 97
    lost = band_statistics("blue", np.full((4, 4), np.nan, np.float32))
    assert (lost.mean, lost.histogram) == (None, None)


def _safetensors(path: Path, config: object) -> Path:
    facts = json.dumps({"epoch": 1, "config": config})
    header = json.dumps({"__metadata__": {"axion_stage3": facts}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def test_training_range_is_read_from_a_checkpoint(tmp_path: Path) -> None:
    ranges = {"blue": [0.01, 0.3], "vv": [-30, 4]}
    path = _safetensors(tmp_path / "a.safetensors", {"training_range": ranges})

    assert read_training_ranges(path) == {"blue": (0.01, 0.3), "vv": (-30.0, 4.0)}
    assert read_training_ranges(_safetensors(tmp_path / "b.safetensors", {})) == {}


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"PK\x03\x04" + bytes(90)])
def test_foreign_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)

    with pytest.raises(AxionError, match="training range cannot be read") as refusal:
        read_training_ranges(path)
    assert refusal.value.exit_code == 5
