"""The samplers draw what the schedulers of diffusers draw, given the same noise levels.

Schedulers know noise by alpha = 1 / (1 + sigma²). Those that work in sigma space keep x; the others
keep x_vp = sqrt(alpha) x. Each is given exactly as many training levels as it is to visit.
"""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from axion_stage3.diffusion.noise_schedule import NoiseSchedule
from axion_stage3.diffusion.samplers import (
    dpm_solver_2m,
    euler,
    euler_ancestral,
    heun,
)

with warnings.catch_warnings():
    # Importing diffusers sets off deprecation warnings of its own dependencies.
    warnings.simplefilter("ignore")
    from diffusers import (
        DDIMScheduler,
        DPMSolverMultistepScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
    )

# Their schedulers read torch tensors in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

N_STEPS = [1, 2, 5, 9]
NOISE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def denoise(noisy: Tensor, sigma: float) -> Tensor:
    """A smooth denoiser that is not affine, so that wrong states show in the result."""
    return 0.1 + (noisy + 0.3 * torch.sin(noisy)) / (1 + 2 * sigma**2)


def training_noise(n_steps: int) -> dict[str, Any]:
    """Return the scheduler arguments that make our noise levels its training levels."""
    ascending = NoiseSchedule().sigmas(n_steps)[::-1]
    alphas = [1 / (1 + sigma**2) for sigma in ascending]
    betas = [1 - after / before for before, after in pairwise(alphas)]
    return {"num_train_timesteps": n_steps, "trained_betas": betas, "prediction_type": "sample"}


@pytest.mark.parametrize("n_steps", N_STEPS)
def test_euler_is_their_euler(n_steps: int) -> None:
    scheduler = EulerDiscreteScheduler(**training_noise(n_steps))
    scheduler.set_timesteps(n_steps)
    sigmas = scheduler.sigmas.tolist()
    start = x = NOISE * sigmas[0]
    for t, sigma in zip(scheduler.timesteps, sigmas[:-1], strict=True):
        scheduler.scale_model_input(x, t)
        x = scheduler.step(denoise(x, sigma), t, x).prev_sample
    torch.testing.assert_close(euler(denoise, start, sigmas), x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_steps", [n for n in N_STEPS if n != 2])
def test_heun_is_their_heun(n_steps: int) -> None:
    """Where no step is wider than tenfold: theirs multiplies errors there, ours does not."""
    scheduler = HeunDiscreteScheduler(**training_noise(n_steps))
    scheduler.set_timesteps(n_steps)
    # Theirs lists the level of each call: inner levels are asked twice.
    asked = scheduler.sigmas[:-1].tolist()
    sigmas = [asked[0], *asked[1::2], 0.0]
    start = x = NOISE * sigmas[0]
    for t, sigma in zip(scheduler.timesteps, asked, strict=True):
        x = scheduler.step(denoise(x, sigma), t, x).prev_sample
    torch.testing.assert_close(heun(denoise, start, sigmas), x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_steps", N_STEPS)
def test_2m_is_their_second_order_multistep_solver(n_steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(
        **training_noise(n_steps),
        solver_order=2,
        algorithm_type="dpmsolver++",
        solver_type="midpoint",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(timesteps=list(range(n_steps))[::-1])
    sigmas = scheduler.sigmas.tolist()
    start = NOISE * sigmas[0]
    x_vp = start / math.sqrt(1 + sigmas[0] ** 2)
    for t, sigma in zip(scheduler.timesteps, sigmas[:-1], strict=True):
        x = x_vp * math.sqrt(1 + sigma**2)
        x_vp = scheduler.step(denoise(x, sigma), t, x_vp).prev_sample
    torch.testing.assert_close(dpm_solver_2m(denoise, start, sigmas), x_vp, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 1.0], ids=["euler", "ancestral"])
@pytest.mark.parametrize("n_steps", N_STEPS)
def test_euler_is_ddim_and_ancestral_is_ddpm(n_steps: int, eta: float) -> None:
    """DDIM with eta = 1 is DDPM's ancestral sampling (Song et al. 2021, section 4.1)."""
    scheduler = DDIMScheduler(
        **training_noise(n_steps), clip_sample=False, set_alpha_to_one=True, steps_offset=0
    )
    scheduler.set_timesteps(n_steps)
    alphas = scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    sigmas = [*((1 - alphas) / alphas).sqrt().flip(0).tolist(), 0.0]
    noises = torch.randn(n_steps, *NOISE.shape, generator=torch.Generator().manual_seed(1))
    start = NOISE * sigmas[0]
    x_vp = start * alphas[-1].sqrt()
    for step, t in enumerate(scheduler.timesteps.tolist()):
        sigma = sigmas[step]
        x_vp = scheduler.step(
            denoise(x_vp / alphas[t].sqrt(), sigma),
            t,
            x_vp,
            eta=eta,
            variance_noise=noises[step].double(),
        ).prev_sample
    ours = (
        euler(denoise, start, sigmas)
        if eta == 0
        else euler_ancestral(denoise, start, sigmas, noises.__getitem__)
    )
    torch.testing.assert_close(ours, x_vp, rtol=0, atol=1e-9)
