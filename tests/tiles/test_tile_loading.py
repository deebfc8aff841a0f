from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from axion_stage3.errors import (
    TileError,
    TileLayoutError,
    TilePixelsError,
    TileReadError,
    TileShapeError,
    TileUnitsError,
    UsageError,
)
from axion_stage3.testing.tile_factories import make_tile, save_bands
from axion_stage3.tiles.layouts import OPTICAL_LAYOUTS, OUTPUT_LAYOUTS, RADAR_LAYOUTS
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.pairing import TilePair
from axion_stage3.tiles.tile_loading import (
    LoadOptions,
    load_optical,
    load_output,
    load_pair,
    load_radar,
)
from axion_stage3.tiles.units import db_to_linear

if TYPE_CHECKING:
    from pathlib import Path

TILE = make_tile(11, 48, 40)
OPT, S1 = TILE.opt_v2, TILE.s1
FILL = LoadOptions(fill_invalid=True)


@pytest.fixture
def pair(tmp_path: Path) -> TilePair:
    return TilePair("x/tile_001.npz", tmp_path / "opt_v2.npz", tmp_path / "s1.npz")


def store(pair: TilePair, opt: np.ndarray[Any, Any] = OPT, s1: np.ndarray[Any, Any] = S1) -> None:
    """Write arrays as they are, with numpy's own writer."""
    np.savez(pair.opt_v2_path, opt_v2=opt)
    np.savez(pair.s1_path, s1=s1)


def spoiled(values: np.ndarray[Any, Any], value: float, *where: Any) -> np.ndarray[Any, Any]:
    result = values.copy()
    for index in where:
        result[index] = value
    return result


@pytest.mark.parametrize("optical", OPTICAL_LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("radar", RADAR_LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_every_layout_and_float_type_gives_the_same_arrays(
    pair: TilePair, optical: Any, radar: Any, dtype: str
) -> None:
    save_bands(pair.opt_v2_path, OPT, optical, dtype=dtype)
    save_bands(pair.s1_path, S1, radar, dtype=dtype)
    tile = load_pair(pair)
    for loaded, expected in ((tile.opt_v2, OPT), (tile.s1, S1)):
        np.testing.assert_array_equal(loaded, expected)
        assert loaded.dtype == np.float32
        assert loaded.flags.c_contiguous
        assert loaded.flags.writeable
    assert tile.valid_mask is None
    assert tile.name == pair.name


def test_half_floats_and_fortran_order(pair: TilePair) -> None:
    store(pair, np.asfortranarray(OPT.astype(np.float16)), np.asfortranarray(S1.astype(np.float16)))
    tile = load_pair(pair)
    np.testing.assert_allclose(tile.opt_v2, OPT, rtol=1e-3)
    np.testing.assert_allclose(tile.s1, S1, rtol=1e-3)
    assert tile.opt_v2.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["u2", "i2", ">u2", "i4", "u8", "i8", "f4"])
def test_digital_numbers_need_their_scale(pair: TilePair, dtype: str) -> None:
    store(pair, np.round(OPT * 10_000).astype(dtype))
    with pytest.raises(TileUnitsError, match="digital numbers") as caught:
        load_pair(pair)
    assert "--opt-scale 10000" in caught.value.hint
    tile = load_pair(pair, LoadOptions(opt_scale=10_000))
    np.testing.assert_allclose(tile.opt_v2, OPT, atol=5.1e-5)
    assert tile.opt_v2.dtype == np.float32


def test_linear_backscatter_needs_its_units(pair: TilePair) -> None:
    linear = db_to_linear(S1)
    linear[0, 0, 0], linear[1, 0, 1] = 0, -1e-4
    store(pair, s1=linear)
    with pytest.raises(TileUnitsError, match="linear") as caught:
        load_pair(pair)
    assert "--s1-units linear" in caught.value.hint
    s1 = load_pair(pair, LoadOptions(s1_units="linear")).s1
    np.testing.assert_allclose(s1.reshape(-1)[1:1900], S1.reshape(-1)[1:1900], atol=1e-3)
    assert s1[0, 0, 0] == s1[1, 0, 1] == pytest.approx(-50)
    assert s1.dtype == np.float32


@pytest.mark.parametrize("options", [LoadOptions(s1_units="linear"), LoadOptions(opt_scale=10_000)])
def test_a_wrong_announcement_is_refused(pair: TilePair, options: LoadOptions) -> None:
    store(pair, OPT / 50)
    load_pair(pair)
    with pytest.raises(TileUnitsError) as caught:
        load_pair(pair, options)
    assert "Leave out" in caught.value.hint


def test_extreme_but_real_pixels_pass(pair: TilePair) -> None:
    opt = spoiled(OPT, 1.6224, np.s_[:, :24])
    s1 = spoiled(np.minimum(S1, 0), 25.65, np.s_[:, 0, :3])
    s1[:, 1, :8] = 0
    s1[1, 2, 2] = -53.4
    store(pair, opt, s1)
    tile = load_pair(pair)
    np.testing.assert_array_equal(tile.opt_v2, opt)
    np.testing.assert_array_equal(tile.s1, s1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -9999.0, -32768.0, 1e20, 9.97e36])
def test_unusable_pixels_fail_and_are_counted_by_band(pair: TilePair, bad: float) -> None:
    store(pair, opt=spoiled(OPT, bad, (0, 3, 4), (0, 3, 5), (3, 0, 0)))
    with pytest.raises(TilePixelsError, match=r"blue 2, nir 1 of 1920 px") as caught:
        load_pair(pair)
    assert "--fill-invalid" in caught.value.hint
    assert caught.value.tile_name == pair.name
    assert caught.value.path == str(pair.opt_v2_path)
    store(pair, s1=spoiled(S1, bad, (1, 3, 4)))
    with pytest.raises(TilePixelsError, match=r"vh 1 of 1920 px"):
        load_pair(pair)


def test_filling_marks_what_it_filled(pair: TilePair) -> None:
    store(
        pair,
        spoiled(OPT, np.nan, (0, 3, 4), np.s_[:, 10:14, 10:14]),
        spoiled(S1, -9999, (1, 20, 21)),
    )
    tile = load_pair(pair, FILL)
    expected = np.ones(OPT.shape[1:], bool)
    expected[3, 4] = expected[10:14, 10:14] = expected[20, 21] = False
    assert tile.valid_mask is not None
    np.testing.assert_array_equal(tile.valid_mask, expected)
    np.testing.assert_array_equal(tile.opt_v2[:, expected], OPT[:, expected])
    np.testing.assert_array_equal(tile.s1[:, expected], S1[:, expected])
    assert np.isfinite(tile.opt_v2).all()
    assert OPT.min() <= tile.opt_v2.min() <= tile.opt_v2.max() <= OPT.max()
    assert S1.min() <= tile.s1.min()


@pytest.mark.parametrize("side", ["opt_v2", "s1"])
def test_the_mask_of_one_side_suffices(pair: TilePair, side: str) -> None:
    if side == "opt_v2":
        store(pair, opt=spoiled(OPT, np.nan, (1, 7, 8)))
    else:
        store(pair, s1=spoiled(S1, np.nan, (1, 7, 8)))
    mask = load_pair(pair, FILL).valid_mask
    assert mask is not None
    assert np.argwhere(~mask).tolist() == [[7, 8]]


def test_filling_comes_before_scaling(pair: TilePair) -> None:
    store(pair, spoiled(np.round(OPT * 10_000).astype(np.int16), -9999, np.s_[:, :5, :5]))
    tile = load_pair(pair, LoadOptions(opt_scale=10_000, fill_invalid=True))
    assert tile.opt_v2.min() >= 0
    np.testing.assert_allclose(tile.opt_v2[:, 5:], OPT[:, 5:], atol=5.1e-5)


def test_a_band_without_a_usable_pixel_cannot_be_filled(pair: TilePair) -> None:
    store(pair, opt=spoiled(OPT, np.nan, 3))
    with pytest.raises(TilePixelsError, match="nir 1920 of 1920") as caught:
        load_pair(pair, FILL)
    assert "No pixel of nir is usable" in caught.value.hint


def test_tiles_of_zeros_fail(pair: TilePair) -> None:
    store(pair, opt=np.zeros_like(OPT))
    for options in (LoadOptions(), FILL):
        with pytest.raises(TilePixelsError, match=r"opt_v2\.npz is zero throughout"):
            load_pair(pair, options)
    store(pair, s1=np.zeros_like(S1))
    with pytest.raises(TilePixelsError, match=r"s1\.npz is zero throughout"):
        load_pair(pair)


@pytest.mark.parametrize(
    ("opt", "hint"),
    [
        (OPT[:3], "Store one array"),
        (np.concatenate([OPT, OPT[:1]]), "Store one array"),
        (OPT[0], "Store one array"),
        (OPT[np.newaxis], "without the axis of the batch"),
        (np.moveaxis(OPT, 0, -1), "np.moveaxis(opt_v2, -1, 0)"),
        (np.zeros(()), "Store one array"),
    ],
    ids=["3 bands", "5 bands", "one band", "batch", "bands last", "scalar"],
)
def test_wrong_ranks_and_band_counts(pair: TilePair, opt: np.ndarray[Any, Any], hint: str) -> None:
    store(pair, opt)
    with pytest.raises(TileShapeError, match="blue, green, red, nir") as caught:
        load_pair(pair)
    assert str(opt.shape) in str(caught.value)
    assert "(4, H, W)" in str(caught.value)
    assert hint in caught.value.hint


def test_single_bands_must_be_flat_and_alike(pair: TilePair) -> None:
    store(pair)
    bands = {f"s2_b{number}": OPT[0] for number in (2, 3, 4, 8)}
    np.savez(pair.opt_v2_path, **(bands | {"s2_b8": OPT[0, ::2, ::2]}))
    with pytest.raises(TileShapeError, match=r"differ in size: .*s2_b8 \(24, 20\)"):
        load_pair(pair)
    np.savez(pair.opt_v2_path, **(bands | {"s2_b3": OPT[:1]}))
    with pytest.raises(TileShapeError, match=r"must have the shape \(H, W\).*s2_b3 \(1, 48, 40\)"):
        load_pair(pair)


@pytest.mark.parametrize("size", [(15, 48), (48, 15), (0, 0), (1, 1)])
def test_tiles_below_16_px_fail(pair: TilePair, size: tuple[int, int]) -> None:
    store(pair, OPT[:, : size[0], : size[1]])
    if size[1] == 48:
        store(pair, np.ones((4, 15, 48), np.float32))
    with pytest.raises(TileShapeError, match=f"{size[0]} x {size[1]} px; at least 16 x 16"):
        load_pair(pair)


def test_16_px_are_enough(pair: TilePair) -> None:
    store(pair, OPT[:, :16, :17], S1[:, :16, :17])
    assert load_pair(pair).opt_v2.shape == (4, 16, 17)


def test_different_sizes_are_both_named(pair: TilePair) -> None:
    store(pair, s1=S1[:, :24, :20])
    with pytest.raises(TileShapeError, match=r"\(2, 24, 20\), opt_v2 \(4, 48, 40\)") as caught:
        load_pair(pair)
    assert "--resample-s1" in caught.value.hint


def test_radar_is_resampled_in_power(pair: TilePair) -> None:
    power = np.full((2, 24, 20), 0.01, np.float32)
    power[:, :, 10:] = 0.03
    store(pair, s1=10 * np.log10(power))
    tile = load_pair(pair, LoadOptions(resample_s1=True))
    assert tile.s1.shape == (2, 48, 40)
    assert tile.s1.dtype == np.float32
    across = db_to_linear(tile.s1)[0, 5, 17:23]
    np.testing.assert_allclose(across, [0.01, 0.01, 0.015, 0.025, 0.03, 0.03], rtol=1e-3)
    assert tile.valid_mask is None


def test_resampling_carries_the_mask(pair: TilePair) -> None:
    store(pair, s1=spoiled(S1, np.nan, np.s_[:, 0:8, 0:8])[:, ::2, ::2])
    tile = load_pair(pair, LoadOptions(resample_s1=True, fill_invalid=True))
    assert tile.valid_mask is not None
    assert tile.valid_mask.shape == (48, 40)
    assert not tile.valid_mask[:8, :8].any()
    assert tile.valid_mask[10:].all()
    assert tile.valid_mask[:, 10:].all()
    assert np.isfinite(tile.s1).all()


def test_values_beyond_float32_are_no_warning_but_a_reason(pair: TilePair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store(pair, opt=spoiled(OPT.astype(np.float64), 1e300, (0, 0, 0)))
        with pytest.raises(TilePixelsError, match="blue 1 of"):
            load_pair(pair)
        store(pair, s1=spoiled(S1, 9e5, (0, 0, 0))[:, ::2, ::2])
        assert np.isfinite(load_pair(pair, LoadOptions(resample_s1=True)).s1).all()


@pytest.mark.parametrize("kind", ["bool", "complex64", "U4", "object"])
def test_pixels_must_be_real_numbers(pair: TilePair, kind: str) -> None:
    store(pair, OPT.astype(kind))
    with pytest.raises(TileError, match=r"booleans|only real numbers"):
        load_pair(pair)


def test_each_failure_names_tile_and_file(pair: TilePair) -> None:
    store(pair)
    pair.s1_path.write_bytes(pair.s1_path.read_bytes()[:-40])
    with pytest.raises(TileReadError) as read_error:
        load_pair(pair)
    write_npz(pair.s1_path, {"sar": S1})
    with pytest.raises(TileLayoutError, match="Keys found: sar") as layout_error:
        load_pair(pair)
    for error in (read_error.value, layout_error.value):
        assert error.tile_name == "x/tile_001.npz"
        assert error.path == str(pair.s1_path)


def test_single_tiles_load_alone(pair: TilePair, tmp_path: Path) -> None:
    store(pair)
    np.testing.assert_array_equal(load_optical(pair.opt_v2_path), OPT)
    np.testing.assert_array_equal(load_radar(pair.s1_path), S1)
    odd = OPT * 20 - 10
    write_npz(tmp_path / "out.npz", {"opt_final": odd}, {"opt_v3": "opt_final"})
    np.testing.assert_array_equal(load_output(tmp_path / "out.npz"), odd)
    assert OUTPUT_LAYOUTS[0].keys == ("opt_final",)
    with pytest.raises(TileLayoutError, match="Layouts understood: opt_final; opt_v3"):
        load_output(pair.opt_v2_path)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_scales_must_be_positive(scale: float) -> None:
    with pytest.raises(UsageError, match="opt_scale"):
        LoadOptions(opt_scale=scale)
