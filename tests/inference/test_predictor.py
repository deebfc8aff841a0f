from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from inference_workbench import tile_arrays

from axion_stage3.diffusion.samplers import SAMPLER_NAMES
from axion_stage3.errors import (
    ResourceError,
    TilePixelsError,
    TileShapeError,
    TileUnitsError,
    UsageError,
)
from axion_stage3.inference.predictor import Predictor, ground

if TYPE_CHECKING:
    from pathlib import Path

    from axion_stage3.diffusion.checkpoint import Checkpoint


@pytest.fixture
def predictor(checkpoint: Checkpoint) -> Predictor:
    return Predictor(checkpoint, "cpu")


@pytest.mark.parametrize("device", ["mps", "tpu", "cuda:one"])
def test_a_device_that_nothing_runs_on_is_refused(checkpoint: Checkpoint, device: str) -> None:
    with pytest.raises(UsageError, match=f"Unknown device '{device}'"):
        Predictor(checkpoint, device)


def test_one_timestep_is_the_networks_mean_bit_for_bit(
    predictor: Predictor, checkpoint: Checkpoint
) -> None:
    opt_v2, s1, names = tile_arrays(3, 40)
    with torch.inference_mode():
        mean = checkpoint.network.encode(torch.from_numpy(opt_v2), torch.from_numpy(s1)).mean
    for sampler in SAMPLER_NAMES:
        prediction = predictor.predict(opt_v2, s1, names, timesteps=1, sampler=sampler)
        assert torch.equal(prediction.opt_final, mean)
    assert not torch.equal(mean, torch.from_numpy(opt_v2))


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_tile_does_not_depend_on_its_batch(predictor: Predictor, sampler: str) -> None:
    opt_v2, s1, names = tile_arrays(8, 24, 19)
    whole = predictor.predict(opt_v2, s1, names, sampler=sampler).opt_final
    backwards = predictor.predict(
        opt_v2[::-1].copy(), s1[::-1].copy(), names[::-1], sampler=sampler
    )
    torch.testing.assert_close(backwards.opt_final.flip(0), whole, rtol=0, atol=1e-5)
    for i in (0, 5):
        alone = predictor.predict(
            opt_v2[i : i + 1], s1[i : i + 1], names[i : i + 1], sampler=sampler
        )
        torch.testing.assert_close(alone.opt_final[0], whole[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (16, 57), (33, 21)])
def test_any_size_from_16_px(predictor: Predictor, size: tuple[int, int]) -> None:
    prediction = predictor.predict(*tile_arrays(2, *size))
    assert prediction.opt_final.shape == (2, 4, *size)
    assert prediction.opt_final.dtype == torch.float32
    assert prediction.std is None
    assert bool(torch.isfinite(prediction.opt_final).all())


def test_seed_and_name_decide_the_detail(predictor: Predictor) -> None:
    opt_v2, s1, names = tile_arrays(1, 24)
    first = predictor.predict(opt_v2, s1, names).opt_final
    assert torch.equal(predictor.predict(opt_v2, s1, names).opt_final, first)
    assert not torch.equal(predictor.predict(opt_v2, s1, names, seed=1).opt_final, first)
    assert not torch.equal(predictor.predict(opt_v2, s1, ["other.npz"]).opt_final, first)


def test_the_checkpoint_says_how_many_timesteps(predictor: Predictor) -> None:
    batch = tile_arrays(1, 24)
    default = predictor.predict(*batch).opt_final
    assert torch.equal(predictor.predict(*batch, timesteps=4).opt_final, default)
    assert not torch.equal(predictor.predict(*batch, timesteps=5).opt_final, default)


def test_more_samples_add_the_spread_and_leave_opt_final_alone(predictor: Predictor) -> None:
    batch = tile_arrays(2, 24)
    single = predictor.predict(*batch)
    several = predictor.predict(*batch, samples=4)
    assert torch.equal(several.opt_final, single.opt_final)
    assert several.std is not None
    assert several.std.shape == single.opt_final.shape
    assert float(several.std.min()) > 0
    more = predictor.predict(*batch, samples=5)
    assert more.std is not None
    # Adding one draw x to n draws with mean m changes the squares by (x - m)² n / (n + 1) >= 0.
    assert bool((more.std**2 * 4 >= several.std**2 * 3 * (1 - 1e-5)).all())


def test_two_samples_spread_by_half_their_difference(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_v2, s1, names = tile_arrays(1, 24)
    first = predictor.predict(opt_v2, s1, names).opt_final
    std = predictor.predict(opt_v2, s1, names, samples=2).std
    from axion_stage3.inference import batch_noise as module

    real = module.batch_initial_noise
    monkeypatch.setattr(
        module,
        "batch_initial_noise",
        lambda seed, names, draw, shape: real(seed, names, draw + 1, shape),
    )
    second = predictor.predict(opt_v2, s1, names).opt_final
    expected = torch.stack([first, second]).std(dim=0)
    torch.testing.assert_close(std, expected, rtol=1e-4, atol=1e-6)


def test_the_mean_has_no_spread(predictor: Predictor) -> None:
    std = predictor.predict(*tile_arrays(1, 24), timesteps=1, samples=3).std
    assert std is not None
    assert not std.any()


@pytest.mark.parametrize("sampler", ["2m", "ancestral"])
def test_windows_have_no_seam(predictor: Predictor, sampler: str) -> None:
    opt_v2, s1, names = tile_arrays(1, 264, 280)
    options = {"timesteps": 6, "sampler": sampler, "samples": 2}
    one_pass = predictor.predict(opt_v2, s1, names, window_px=512, **options)
    windows = predictor.predict(opt_v2, s1, names, window_px=256, **options)
    assert not torch.equal(windows.opt_final, one_pass.opt_final)
    assert float((one_pass.opt_final - torch.from_numpy(opt_v2)).abs().mean()) > 0.01
    assert float((windows.opt_final - one_pass.opt_final).abs().max()) < 0.01
    assert windows.std is not None
    assert one_pass.std is not None
    assert float((windows.std - one_pass.std).abs().max()) < 0.01


def test_tiles_beyond_the_comfortable_size_go_by_windows(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    sampler = predictor._sampler
    real = sampler.encode

    def encode(opt_v2: torch.Tensor, *rest: Any) -> object:
        widths.append(opt_v2.shape[-1])
        return real(opt_v2, *rest)

    monkeypatch.setattr(sampler, "encode", encode)
    predictor.predict(*tile_arrays(1, 16, 512), timesteps=1)
    assert widths == [512]
    predictor.predict(*tile_arrays(1, 16, 513), timesteps=1)
    assert len(widths) == 3
    assert max(widths[1:]) < 512


def test_reduced_precision_stays_near_full_precision(
    predictor: Predictor, checkpoint: Checkpoint
) -> None:
    batch = tile_arrays(2, 32)
    full = predictor.predict(*batch).opt_final
    reduced = Predictor(checkpoint, "cpu", "bf16").predict(*batch).opt_final
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, full)
    assert float((reduced - full).square().mean().sqrt()) < 2e-2 * float(full.std())
    assert checkpoint.network.encoder.stem.weight.dtype == torch.float32


def test_what_before_call_raises_ends_the_prediction(checkpoint: Checkpoint) -> None:
    calls: list[int] = []

    def before_call() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise StopAsyncIteration

    predictor = Predictor(checkpoint, "cpu", before_call=before_call)
    with pytest.raises(StopAsyncIteration):
        predictor.predict(*tile_arrays(1, 16), timesteps=10)
    assert len(calls) == 3


def test_ground_takes_arrays_and_matches_the_predictor(
    predictor: Predictor, checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axion_stage3.inference import predictor as module

    monkeypatch.setattr(module, "_GROUND_BATCH_PX", 2 * 24 * 24)
    opt_v2, s1, names = tile_arrays(5, 24)
    grounded = ground(
        opt_v2.astype(np.float64), s1, checkpoint=checkpoint_path, names=names, device="cpu"
    )
    assert grounded.dtype == np.float32
    expected = predictor.predict(opt_v2, s1, names).opt_final
    np.testing.assert_allclose(grounded, expected.numpy(), rtol=0, atol=1e-5)


def test_ground_numbers_tiles_without_names(predictor: Predictor, checkpoint: Checkpoint) -> None:
    opt_v2, s1, _ = tile_arrays(2, 16)
    expected = predictor.predict(opt_v2, s1, ["0", "1"]).opt_final
    grounded = ground(opt_v2, s1, checkpoint=checkpoint, device="cpu")
    np.testing.assert_array_equal(grounded, expected.numpy())


def test_ground_takes_tensors_and_arrays_that_cannot_be_written(checkpoint: Checkpoint) -> None:
    opt_v2, s1, _ = tile_arrays(1, 16)
    expected = ground(opt_v2, s1, checkpoint=checkpoint, device="cpu")
    tensors = torch.from_numpy(opt_v2).double().requires_grad_(), torch.from_numpy(s1)
    np.testing.assert_array_equal(ground(*tensors, checkpoint=checkpoint, device="cpu"), expected)
    opt_v2.flags.writeable = s1.flags.writeable = False
    np.testing.assert_array_equal(ground(opt_v2, s1, checkpoint=checkpoint), expected)
    flipped = (tiles[..., ::-1].copy()[..., ::-1] for tiles in (opt_v2, s1))
    np.testing.assert_array_equal(ground(*flipped, checkpoint=checkpoint), expected)


@pytest.mark.parametrize(
    ("opt_shape", "s1_shape"),
    [
        ((4, 32, 32), (2, 32, 32)),
        ((1, 3, 32, 32), (1, 2, 32, 32)),
        ((1, 4, 32, 32), (1, 2, 32, 31)),
        ((2, 4, 32, 32), (1, 2, 32, 32)),
        ((0, 4, 32, 32), (0, 2, 32, 32)),
        ((1, 4, 15, 32), (1, 2, 15, 32)),
    ],
)
def test_ground_refuses_other_shapes(
    checkpoint: Checkpoint, opt_shape: tuple[int, ...], s1_shape: tuple[int, ...]
) -> None:
    with pytest.raises(TileShapeError, match=r"\(B, 4, H, W\)") as caught:
        ground(np.zeros(opt_shape), np.zeros(s1_shape), checkpoint=checkpoint)
    assert str(opt_shape) in str(caught.value)
    assert str(s1_shape) in str(caught.value)


def test_ground_refuses_values_that_are_not_finite(checkpoint: Checkpoint) -> None:
    opt_v2, s1, _ = tile_arrays(1, 16)
    s1[0, 1, 3, 3] = np.inf
    with pytest.raises(TilePixelsError, match="s1 has NaN or infinite"):
        ground(opt_v2, s1, checkpoint=checkpoint)


def test_ground_refuses_other_units_and_names_the_tile(checkpoint: Checkpoint) -> None:
    opt_v2, s1, names = tile_arrays(2, 16)
    with pytest.raises(TileUnitsError, match="digital numbers") as caught:
        ground(np.stack([opt_v2[0], 1e4 * opt_v2[1]]), s1, checkpoint=checkpoint, names=names)
    assert caught.value.tile_name == names[1]
    assert "--" not in caught.value.hint  # there is no command line here
    with pytest.raises(TileUnitsError, match="linear backscatter"):
        ground(opt_v2, 10 ** (s1 / 10), checkpoint=checkpoint)


def test_unusable_arguments_are_refused(predictor: Predictor, checkpoint: Checkpoint) -> None:
    opt_v2, s1, names = tile_arrays(2, 16)
    with pytest.raises(UsageError, match="1 names were given for 2 tiles"):
        predictor.predict(opt_v2, s1, names[:1])
    with pytest.raises(UsageError, match="no sampler 'ddim'"):
        predictor.predict(opt_v2, s1, names, sampler="ddim")
    with pytest.raises(UsageError, match="0 timesteps"):
        predictor.predict(opt_v2, s1, names, timesteps=0)
    with pytest.raises(UsageError, match="1001 timesteps"):
        predictor.predict(opt_v2, s1, names, timesteps=1001)
    with pytest.raises(UsageError, match="Unknown device 'tpu'"):
        Predictor(checkpoint, "tpu")
    with pytest.raises(UsageError, match="Unknown precision 'int8'"):
        Predictor(checkpoint, "cpu", "int8")  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ResourceError, match="sees no CUDA device"):
        Predictor(checkpoint, "cuda")
    assert Predictor(checkpoint, "auto").device.type == "cpu"
