"""Noise that the device computes, here by the CPU, is a tile's own in every way through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from inference_workbench import tile_arrays

from axion_stage3.inference import batch_noise
from axion_stage3.inference.predictor import Predictor

if TYPE_CHECKING:
    from axion_stage3.diffusion.checkpoint import Checkpoint


@pytest.fixture
def predictor(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    monkeypatch.setattr(batch_noise, "_COMPUTING_DEVICES", ("cpu",))
    return Predictor(checkpoint, "cpu")


def test_it_is_not_the_noise_that_the_cpu_draws(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = predictor.predict(*tile_arrays(1, 24)).opt_final
    monkeypatch.setattr(batch_noise, "_COMPUTING_DEVICES", ())
    assert not torch.equal(computed, predictor.predict(*tile_arrays(1, 24)).opt_final)


@pytest.mark.parametrize("sampler", ["2m", "ancestral"])
def test_windows_have_the_noise_of_the_whole(predictor: Predictor, sampler: str) -> None:
    tile = tile_arrays(1, 264, 280)
    whole, windows = (
        predictor.predict(*tile, sampler=sampler, window_px=size).opt_final for size in (512, 256)
    )
    # Rounding, which the draw of this random network makes larger; other noise differs by far more.
    torch.testing.assert_close(windows, whole, rtol=0, atol=5e-5)


@pytest.mark.parametrize("sampler", ["2m", "ancestral"])
def test_a_tile_is_the_same_alone_in_a_batch_and_among_several_draws(
    predictor: Predictor, sampler: str
) -> None:
    opt_v2, s1, names = tile_arrays(3, 24)
    batch = predictor.predict(opt_v2, s1, names, sampler=sampler).opt_final
    draws = predictor.predict(opt_v2, s1, names, sampler=sampler, samples=3)
    torch.testing.assert_close(draws.opt_final, batch, rtol=0, atol=1e-5)
    assert draws.std is not None
    assert float(draws.std.min()) > 0
    alone = predictor.predict(opt_v2[1:2], s1[1:2], names[1:2], sampler=sampler).opt_final
    torch.testing.assert_close(alone[0], batch[1], rtol=0, atol=1e-5)
    other = predictor.predict(opt_v2, s1, names, sampler=sampler, seed=1).opt_final
    assert not torch.equal(other, batch)
