"""The calibrated draw: what its gains do, what its figures tell, and what the bundled one gains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.draw_calibration import (
    N_DRAW_FIGURES,
    DrawCalibration,
    draw_figures,
)
from axion_stage3.diffusion.highpass import detail_bands, lowpass
from axion_stage3.diffusion.network import from_network_space, to_network_space
from axion_stage3.inference.predictor import Predictor
from axion_stage3.statistics.spectrum import hf_power_ratio
from axion_stage3.tiles.tile_loading import load_optical, load_radar

TILES = Path(__file__).parents[2] / "examples" / "tiles"


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def powers(value: float, like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full_like(like, value), torch.full_like(like, value)


def figures_of(mean: Tensor, powers: tuple[Tensor, Tensor]) -> Tensor:
    return draw_figures(detail_bands(mean), powers)


@torch.no_grad()
def test_without_training_everything_is_drawn_as_foreseen() -> None:
    drawn, mean = noise(1, 4, 40, 56), noise(1, 4, 40, 56, seed=1)
    added = DrawCalibration(3)(drawn.clone(), mean, powers(1.0, mean))
    assert torch.equal(added, drawn)


@torch.no_grad()
def test_each_band_is_drawn_and_amplified_by_its_own_gains() -> None:
    calibration = DrawCalibration(2)
    of_drawn, of_finest = (-9.0, -0.5, 0.0, 9.0), (9.0, 0.0, 0.5, -9.0)
    pairs = [gain for both in zip(of_drawn, of_finest, strict=True) for gain in both]
    calibration.biases[-1][..., :] = torch.tensor(pairs)
    drawn, mean = noise(1, 4, 33, 47), noise(1, 4, 33, 47, seed=1)
    shares = torch.tensor([0.0, 0.5, 1.0, 7.0])[:, None, None]
    amplified = torch.tensor([6.0, 0.0, 0.5, -1.0])[:, None, None]
    amplified = amplified**3 / (amplified.square() + 0.03)  # little of small ones
    expected = shares * drawn + amplified * detail_bands(mean)[0]
    added = calibration(drawn.clone(), mean, powers(1.0, mean))
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_figures_tell_blur_and_how_strong_what_is_foreseen_is_beside_the_mean() -> None:
    mean = 0.1 * noise(1, 4, 64, 96)
    found = figures_of(mean, (4.0 * mean.square(), 9.0 * mean.square()))
    assert found.shape == (1, 4, 6, N_DRAW_FIGURES)
    *weaker, missing, wanted, level = found.unflatten(-1, (-1, 4)).unbind(dim=-2)
    torch.testing.assert_close(wanted - missing, torch.full_like(wanted, float(np.log(1.5))))
    torch.testing.assert_close(level, torch.full_like(level, float(np.log(0.2))), rtol=0, atol=0.1)
    blurred = figures_of(lowpass(mean, 1.5), powers(0.01, mean))
    faded = blurred.unflatten(-1, (-1, 4))[..., 0, :]
    assert (faded < weaker[0] - 0.5).all()
    # Neither contrast nor brightness changes what tells blur.
    brighter = figures_of(3.0 * mean + 0.2, powers(0.01, mean))
    torch.testing.assert_close(brighter[..., :12], found[..., :12], rtol=1e-3, atol=1e-3)


def test_the_bundled_one_draws_nearer_to_the_truth() -> None:
    """More where blur leaves too little, less in right bands beside a wrong one."""
    calibrated, without = load_checkpoint(), load_checkpoint()
    without.network.drop_draw_calibration()
    predictors = [Predictor(checkpoint, "cpu", "fp32") for checkpoint in (without, calibrated)]
    off, errors = [], []
    for path in sorted((TILES / "truth").glob("*.npz"))[:6]:
        truth = load_optical(path)
        s1 = torch.from_numpy(load_radar(TILES / "s1" / path.name))[None]
        sharp = torch.from_numpy(truth)[None]
        blurred = from_network_space(lowpass(to_network_space(sharp), 1.5))
        green_alone = sharp.clone()
        green_alone[0, 1] = torch.from_numpy(load_optical(TILES / "opt_v2" / path.name))[1]

        def drawn(opt_v2: Tensor, s1: Tensor = s1, name: str = path.name) -> list[np.ndarray]:
            found = (p.predict(opt_v2, s1, [name], timesteps=10) for p in predictors)
            return [np.asarray(prediction.opt_final[0]) for prediction in found]

        off.append([abs(float(np.log(hf_power_ratio(o, truth)))) for o in drawn(blurred)])
        errors.append([np.log10(np.square(o - truth).mean()) for o in drawn(green_alone)])
    before, after = np.mean(off, axis=0)
    assert after < 0.8 * before
    before, after = np.mean(errors, axis=0)
    assert after < before - 0.05
