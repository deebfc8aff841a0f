"""What is computed on the device is what numpy computes of the same tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.inference.device_statistics import figures_of, measure_batch
from axion_stage3.inference.output_checks import is_in_range
from axion_stage3.statistics.grounding_measures import MEASURES
from axion_stage3.statistics.tile_statistics import describe_tile, tile_statistics
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_pair

if TYPE_CHECKING:
    from axion_stage3.statistics.grounding import GroundingReference

EXAMPLES = Path(__file__).parents[2] / "examples" / "tiles"
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]


@pytest.fixture(scope="module")
def reference() -> GroundingReference:
    reference = load_checkpoint().grounding_reference
    assert reference is not None
    return reference


def example_batch(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """opt_final, opt_v2 and s1 of four real tiles, continued by reflection where they are small."""
    pairs = [load_pair(p) for p in find_pairs(EXAMPLES / "opt_v2", EXAMPLES / "s1").pairs[:4]]

    def resized(tile: np.ndarray) -> np.ndarray:
        margins = [(0, 0)] + [
            (0, max(0, n - m)) for n, m in zip((height, width), tile.shape[1:], strict=True)
        ]
        return np.pad(tile, margins, "symmetric")[:, :height, :width]

    opt_v2 = np.stack([resized(pair.opt_v2) for pair in pairs])
    s1 = np.stack([resized(pair.s1) for pair in pairs])
    change = np.random.default_rng(1).normal(0, 0.02, opt_v2.shape).astype(np.float32)
    return opt_v2 + change, opt_v2, s1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(120, 120), (48, 61), (260, 200), (24, 17)])
def test_figures_on_the_device_are_those_of_numpy(
    reference: GroundingReference, device: str, size: tuple[int, int]
) -> None:
    opt_final, opt_v2, s1 = batch = example_batch(*size)
    is_scored = min(size) >= 48
    tensors = (torch.from_numpy(array).to(device) for array in batch)
    rows = measure_batch(*tensors, is_scored=is_scored).cpu().numpy()
    for i, row in enumerate(rows):
        expected = tile_statistics("a.npz", opt_final[i], opt_v2[i], s1[i], reference)
        statistics = describe_tile("a.npz", figures_of(row), reference, {})
        assert list(statistics) == list(expected)
        assert ("grounding_gain" in statistics) == is_scored
        for name in list(expected)[1:]:
            # A pixel exactly between two classes of the score may fall on either side.
            is_score = name.startswith("grounding")
            tolerance = {"abs": 2e-5} if is_score else {"rel": 1e-6}
            assert statistics[name] == pytest.approx(expected[name], **tolerance), (i, name)


@pytest.mark.parametrize("device", DEVICES)
def test_a_band_without_edges_is_unrelated_to_the_radar(device: str) -> None:
    _, opt_v2, s1 = (torch.from_numpy(array).to(device) for array in example_batch(64, 64))
    flat = opt_v2.clone()
    flat[:, 3] = 0.3
    for row in measure_batch(flat, opt_v2, s1, is_scored=True).cpu().numpy():
        ((before, after),) = figures_of(row).blocks
        edges = [MEASURES.index(name) for name in ("edges_visible", "edges_nir")]
        assert after.values[edges] == pytest.approx([before.values[edges[0]], 0.0], abs=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 10.5, -10.5])
def test_one_bad_value_shows_in_the_figures_of_its_tile_alone(device: str, value: float) -> None:
    opt_final, opt_v2, s1 = example_batch(24, 24)
    opt_final[2, 3, 5, 7] = value
    tensors = (torch.from_numpy(array).to(device) for array in (opt_final, opt_v2, s1))
    rows = measure_batch(*tensors, is_scored=False).cpu().numpy()
    figures = [figures_of(row) for row in rows]
    passes = [is_in_range(one.least, one.greatest) for one in figures]
    assert passes == [True, True, False, True]


def test_a_tile_is_measured_the_same_in_any_batch() -> None:
    tensors = [torch.from_numpy(array) for array in example_batch(64, 64)]
    whole = measure_batch(*tensors, is_scored=True)
    for i in range(4):
        alone = measure_batch(*(tensor[i : i + 1] for tensor in tensors), is_scored=True)
        torch.testing.assert_close(alone[0], whole[i], rtol=1e-5, atol=1e-4)
