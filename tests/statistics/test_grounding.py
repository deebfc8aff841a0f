from __future__ import annotations

import json
import math
from dataclasses import astuple
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from axion_stage3.errors import CheckpointError, InputError, TileShapeError
from axion_stage3.statistics.grounding import GroundingReference, grounding_score
from axion_stage3.statistics.grounding_measures import MEASURES, measure_blocks
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.tile_loading import load_optical, load_radar

EXAMPLES = Path(__file__).parents[2] / "examples" / "tiles"


@cache
def real_pairs():
    """(truth, s1, opt_v2) of the example tiles."""
    names = sorted(
        path.relative_to(EXAMPLES / "truth") for path in EXAMPLES.rglob("truth/**/*.npz")
    )
    return [
        (
            load_optical(EXAMPLES / "truth" / name),
            load_radar(EXAMPLES / "s1" / name),
            load_optical(EXAMPLES / "opt_v2" / name),
        )
        for name in names
    ]


@cache
def references():
    """For each real pair, a reference that has not seen it."""
    pairs = real_pairs()
    return [
        GroundingReference.from_pairs([pair[:2] for j, pair in enumerate(pairs) if j != k])
        for k in range(len(pairs))
    ]


@cache
def synthetic_reference():
    tiles = [make_tile(seed, 96) for seed in range(12)]
    return GroundingReference.from_pairs([(tile.truth, tile.s1) for tile in tiles])


def blur(tile, radius_px=2):
    """Mean over a square: crude, but blur."""
    pad = [(0, 0)] + [(radius_px, radius_px)] * 2
    padded = np.pad(tile, pad, mode="reflect")
    window = (2 * radius_px + 1,) * 2
    return np.lib.stride_tricks.sliding_window_view(padded, window, (1, 2)).mean((3, 4))


def detail(tile):
    return tile - blur(tile, 4)


FAULTS = {
    "opt_v2": lambda truth, s1, opt_v2: opt_v2,
    "blurred": lambda truth, s1, opt_v2: blur(truth),
    "shifted by 3 px": lambda truth, s1, opt_v2: np.roll(truth, 3, axis=2),
    "wrong detail": lambda truth, s1, opt_v2: (
        blur(truth, 4) + detail(truth)[:, ::-1, ::-1].clip(-0.05, 0.05)
    ),
    "speckle leaked": lambda truth, s1, opt_v2: truth * np.exp(0.04 * detail(s1).mean(axis=0)),
    "despeckled radar leaked": lambda truth, s1, opt_v2: (
        truth * np.exp(0.06 * detail(blur(s1, 1)).mean(axis=0))
    ),
    "made from the radar": lambda truth, s1, opt_v2: (
        truth.mean(axis=(1, 2), keepdims=True) * np.exp(0.05 * (s1 - s1.mean()).mean(axis=0))
    ),
    "noisy": lambda truth, s1, opt_v2: (
        truth + np.random.default_rng(0).normal(0, 0.02, truth.shape)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_real_truth_scores_above_its_faulty_version(fault):
    is_above = []
    for (truth, s1, opt_v2), reference in zip(real_pairs(), references(), strict=True):
        faulty = FAULTS[fault](truth, s1, opt_v2)
        true_score = grounding_score(truth, s1, reference).score
        is_above.append(grounding_score(faulty, s1, reference).score < true_score)
    assert len(is_above) >= 10
    assert np.mean(is_above) >= 0.85


def test_the_score_rises_on_the_way_from_opt_v2_to_the_truth():
    steps = []
    for (truth, s1, opt_v2), reference in zip(real_pairs(), references(), strict=True):
        way = [(1 - share) * opt_v2 + share * truth for share in (0.0, 0.5, 1.0)]
        steps.append([grounding_score(tile, s1, reference).score for tile in way])
    start, middle, end = np.mean(steps, axis=0)
    assert start < middle < end


def test_each_factor_tells_its_own_fault():
    seen = {"blurred": "detail", "speckle leaked": "independence", "wrong detail": "structure"}
    for fault, factor in seen.items():
        falls = []
        for (truth, s1, opt_v2), reference in zip(real_pairs(), references(), strict=True):
            before = grounding_score(truth, s1, reference)
            after = grounding_score(FAULTS[fault](truth, s1, opt_v2), s1, reference)
            falls.append(getattr(after, factor) / getattr(before, factor))
        assert np.median(falls) < 0.6, fault


def test_detail_power_is_one_for_true_tiles_less_for_blur_more_for_noise():
    powers = {"truth": [], "blurred": [], "noisy": []}
    for (truth, s1, opt_v2), reference in zip(real_pairs(), references(), strict=True):
        for name, found in powers.items():
            tile = truth if name == "truth" else FAULTS[name](truth, s1, opt_v2)
            found.append(grounding_score(tile, s1, reference).detail_power)
    assert 0.6 < np.median(powers["truth"]) < 1.6
    assert np.median(powers["blurred"]) < 0.3
    assert np.median(powers["noisy"]) > 3


def test_brightness_contrast_calibration_and_orientation_do_not_matter():
    tile, reference = make_tile(50, 96, 80), synthetic_reference()
    expected = astuple(grounding_score(tile.truth, tile.s1, reference))
    for optical, s1 in [
        (tile.truth * 0.7, tile.s1),
        (tile.truth, tile.s1 + 2.0),
        (tile.truth[:, ::-1], tile.s1[:, ::-1]),
        (tile.truth.swapaxes(1, 2), tile.s1.swapaxes(1, 2)),
        (tile.truth.astype(np.float64), tile.s1.astype(np.float64)),
    ]:
        assert astuple(grounding_score(optical, s1, reference)) == pytest.approx(
            expected, rel=2e-3, abs=2e-3
        )


def test_a_band_without_edges_is_unrelated_to_the_radar_and_does_not_contradict_it():
    tile = make_tile(50, 64)
    flat = tile.truth.copy()
    flat[3] = 0.3
    score = grounding_score(flat, tile.s1, synthetic_reference())
    assert score.edges_nir == pytest.approx(0.0, abs=1e-6)
    intact = grounding_score(tile.truth, tile.s1, synthetic_reference())
    assert score.edges_visible == pytest.approx(intact.edges_visible, rel=1e-6)


def test_a_large_tile_has_the_mean_score_of_its_blocks():
    tile, reference = make_tile(51, 256, 250), synthetic_reference()
    blocks = [
        astuple(grounding_score(tile.truth[:, y, x], tile.s1[:, y, x], reference))
        for y in (slice(0, 128), slice(128, 256))
        for x in (slice(0, 125), slice(125, 250))
    ]
    whole = astuple(grounding_score(tile.truth, tile.s1, reference))
    assert whole == pytest.approx(np.mean(blocks, axis=0).tolist(), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.float32, (4, 50, 48), elements=st.floats(-1, 2, width=32), fill=st.just(0.2)),
    arrays(np.float32, (2, 50, 48), elements=st.floats(-60, 30, width=32), fill=st.just(-12.0)),
)
def test_any_tile_gets_a_score_from_0_to_1(optical, s1):
    score = grounding_score(optical, s1, synthetic_reference())
    assert all(math.isfinite(value) for value in astuple(score))
    for factor in (score.score, score.structure, score.independence, score.detail):
        assert 0.0 <= factor <= 1.0


def test_true_pairs_lie_around_zero_whatever_their_radar_texture():
    blocks = [block for truth, s1, _ in real_pairs() for block in measure_blocks(truth, s1)]
    reference = GroundingReference.from_pairs([pair[:2] for pair in real_pairs()])
    z = np.stack([reference.z_values(block) for block in blocks])
    texture = np.stack([block.texture for block in blocks])
    nir = MEASURES.index("edges_nir")
    raw = [block.values[nir] for block in blocks]
    assert z.mean(axis=0) == pytest.approx(np.zeros(len(MEASURES)), abs=1e-9)
    assert (z.std(axis=0) < 1.001).all()
    assert np.corrcoef(raw, texture[:, 0])[0, 1] > 0.5
    assert abs(np.corrcoef(z[:, nir], texture[:, 0])[0, 1]) < 0.2


def test_the_score_is_that_of_the_formula():
    reference = synthetic_reference()

    def excess(z, tolerance):
        return np.maximum(z - tolerance, 0.0) ** 2

    for truth, s1, opt_v2 in real_pairs():
        for optical in (truth, opt_v2):
            if max(optical.shape[1:]) >= 192:
                continue  # the mean over several blocks has a test of its own
            (block,) = measure_blocks(optical, s1)
            edges, likeness, steepness = np.split(reference.z_values(block), [2, 10])
            structure = np.sqrt(np.prod(1 / (1 + np.exp(-edges))))
            copied = np.concatenate([excess(abs(likeness), 1.5), excess(edges, 3.0)])
            independence = 1 / (1 + copied.mean())
            detail_factor = 1 / (1 + excess(abs(steepness), 1.5).mean())
            surplus = steepness * reference.spread[10:]
            power = np.exp(surplus.reshape(2, 4).cumsum(axis=1)[:, 1:].mean())
            expected = (
                structure * independence**0.5 * detail_factor**0.25,
                *(structure, independence, detail_factor, *block.values[:2]),
                np.sqrt((block.values[2:10] ** 2).mean()),
                power,
            )
            found = astuple(grounding_score(optical, s1, reference))
            assert found == pytest.approx(expected, rel=1e-12)


def test_a_reference_survives_json():
    reference = synthetic_reference()
    copy = GroundingReference.from_json(
        json.loads(json.dumps(reference.to_json(), allow_nan=False))
    )
    assert copy == reference


def damaged(**changes):
    document = json.loads(json.dumps(synthetic_reference().to_json()))
    for path, value in changes.items():
        *parents, last = path.split("__")
        entry = document
        for key in parents:
            entry = entry[key]
        entry[last] = value
    return document


@pytest.mark.parametrize(
    "document",
    [
        {},
        damaged(format=2),
        damaged(measures={}),
        damaged(textures=None),
        damaged(n_blocks="many"),
        damaged(measures__edges_nir__spread=0.0),
        damaged(measures__edges_nir__expected=math.nan),
        damaged(measures__edges_nir__by_texture=[1.0]),
        damaged(textures__radar_power_0__std=-1.0),
    ],
)
def test_a_foreign_reference_is_refused(document):
    with pytest.raises(CheckpointError, match="grounding reference"):
        GroundingReference.from_json(document)


def test_a_reference_needs_two_pairs_of_48_px():
    small, large = make_tile(0, 40), make_tile(1, 64)
    pairs = [(tile.truth, tile.s1) for tile in (small, large)]
    with pytest.raises(InputError, match="at least 2 true pairs of 48 px or more; there are 1"):
        GroundingReference.from_pairs(pairs)


@pytest.mark.parametrize(("height", "radar_height"), [(47, 47), (64, 60)])
def test_tiles_that_cannot_be_scored_are_refused(height, radar_height):
    tile = make_tile(2, 64)
    with pytest.raises(TileShapeError, match="at least 48 px"):
        grounding_score(tile.truth[:, :height], tile.s1[:, :radar_height], synthetic_reference())


def test_tile_statistics_hold_both_scores_and_the_gain():
    tile, reference = make_tile(4, 64), synthetic_reference()
    statistics = tile_statistics("a.npz", tile.truth, tile.opt_v2, tile.s1, reference)
    before = grounding_score(tile.opt_v2, tile.s1, reference).score
    after = grounding_score(tile.truth, tile.s1, reference).score
    # Scored together, the two share the radar's part; sums of float32 then round differently.
    assert statistics["grounding_opt_v2"] == pytest.approx(before, rel=1e-6)
    assert statistics["grounding_opt_final"] == pytest.approx(after, rel=1e-6)
    assert statistics["grounding_gain"] == pytest.approx(after - before, rel=1e-6)
    assert after > before


def test_tile_statistics_leave_the_score_out_where_there_is_none():
    tile, reference = make_tile(5, 64), synthetic_reference()
    small = tile.truth[:, :40, :40], tile.opt_v2[:, :40, :40], tile.s1[:, :40, :40]
    for arguments in ((*small, reference), (tile.truth, tile.opt_v2, None, reference)):
        assert not any("grounding" in name for name in tile_statistics("a.npz", *arguments))
