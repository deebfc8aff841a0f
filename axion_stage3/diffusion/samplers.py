"""Samplers: pure functions that turn noise into a residual by asking a denoiser.

Every step from noise level t down to u moves towards an estimate of the clean residual,

    x_u = r x_t + (1 - r) x0_hat        with r = u / t,

and the samplers differ in x0_hat. D is the denoiser's answer at t:

    Euler      x0_hat = D
    Heun       x0_hat = D + (D_ahead - D) / (2 r)         D_ahead: answer at u, after an Euler step;
                                                          r at least 0.1 here
    2M         x0_hat = D + (D - D_before) h / (2 h')     h, h': this and the last step in ln(sigma)
    ancestral  x0_hat = D, but r = u²/t², and fresh noise restores the level u

The step to u = 0 returns D itself, without rounding. Noise levels are plain numbers: what does not
depend on the tile is never computed on tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

import torch

from axion_stage3.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from axion_stage3.diffusion.denoiser import Denoiser
    from axion_stage3.diffusion.noise_schedule import NoiseSchedule

    StepNoise: TypeAlias = Callable[[int], Tensor]

SamplerName: TypeAlias = Literal["2m", "euler", "heun", "ancestral"]
SAMPLER_NAMES: Final[tuple[str, ...]] = get_args(SamplerName)
_LEAST_HEUN_RATIO: Final = 0.1


@dataclass(frozen=True)
class SamplingPlan:
    """What is known about the sampling before the first tile; made by :func:`plan_sampling`.

    Attributes:
        sampler: Name of the sampler.
        n_calls: Number of denoiser calls, exact for every sampler; 0 means no sampling.
        sigmas: Noise levels, decreasing, last 0. The denoiser is called at no other level.
    """

    sampler: SamplerName
    n_calls: int
    sigmas: tuple[float, ...]

    @property
    def n_step_noises(self) -> int:
        """Number of times that ``step_noise`` is called, with 0, 1, 2 and so on."""
        return max(self.n_calls - 1, 0) if self.sampler == "ancestral" else 0


def plan_sampling(name: str, n_calls: int, schedule: NoiseSchedule) -> SamplingPlan:
    """Spread a budget of denoiser calls over noise levels.

    Args:
        name: One of :data:`SAMPLER_NAMES`.
        n_calls: Denoiser calls to spend, >= 0: the timesteps less the one that gives the mean.
        schedule: Noise levels to begin and end with.

    Raises:
        UsageError: There is no such sampler, or ``n_calls`` is negative.
    """
    if name not in SAMPLER_NAMES:
        raise UsageError(
            f"There is no sampler {name!r}.", hint=f"Use --sampler {' | '.join(SAMPLER_NAMES)}."
        )
    if n_calls < 0:
        raise UsageError(
            f"{n_calls + 1} timesteps leave nothing to compute: the mean is the first.",
            hint="Use --timesteps 1 or more.",
        )
    # Heun pays two calls a step, but one for the step to 0 and for the first of an even budget.
    n_levels = n_calls // 2 + min(n_calls, 1) if name == "heun" else n_calls
    return SamplingPlan(cast("SamplerName", name), n_calls, schedule.sigmas(n_levels))


def sample_residual(
    denoiser: Denoiser, noise: Tensor, plan: SamplingPlan, step_noise: StepNoise
) -> Tensor:
    """Draw a residual.

    Args:
        denoiser: Called exactly ``plan.n_calls`` times.
        noise: Standard normal noise, any shape and floating dtype. It is not changed.
        plan: Sampler and noise levels.
        step_noise: Gives standard normal noise of the same shape for step 0, 1, ...; only the
            ancestral sampler asks for it.

    Returns:
        The residual, with the shape and dtype of ``noise``; zeros when the plan has no calls.
    """
    if plan.n_calls == 0:
        return torch.zeros_like(noise)
    noisy, sigmas = noise * plan.sigmas[0], plan.sigmas
    match plan.sampler:
        case "2m":
            return dpm_solver_2m(denoiser, noisy, sigmas)
        case "euler":
            return euler(denoiser, noisy, sigmas)
        case "heun":
            return heun(denoiser, noisy, sigmas, begins_with_euler=plan.n_calls % 2 == 0)
        case "ancestral":
            return euler_ancestral(denoiser, noisy, sigmas, step_noise)


def euler(denoiser: Denoiser, noisy: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Integrate the probability flow in first-order steps, one call each.

    Karras et al. 2022, eq. 1 and 3; the same as DDIM (Song et al. 2021, eq. 12 with sigma_t = 0)
    for x = x_ddim / sqrt(alpha) and sigma² = (1 - alpha) / alpha.

    Args:
        denoiser: Asked at each level but the last.
        noisy: State at ``sigmas[0]``, any shape.
        sigmas: Strictly decreasing noise levels; the last may be 0.

    Returns:
        State at ``sigmas[-1]``, same shape and dtype.
    """
    for sigma, sigma_next in pairwise(sigmas):
        noisy = _move(noisy, denoiser(noisy, sigma), sigma_next / sigma)
    return noisy


def heun(
    denoiser: Denoiser, noisy: Tensor, sigmas: Sequence[float], *, begins_with_euler: bool = False
) -> Tensor:
    """Integrate in second-order steps of two calls; the step to 0 is an Euler step of one.

    Karras et al. 2022, Algorithm 1 without churn: S_churn = 0. In steps wider than tenfold, which
    are those of a few calls, the correction is held to that of a tenfold one: it would multiply
    what the denoiser's second answer is wrong by.

    Args:
        denoiser: Asked at each level above zero, twice at inner ones.
        noisy: State at ``sigmas[0]``, any shape.
        sigmas: Strictly decreasing noise levels; the last may be 0.
        begins_with_euler: Save one call in the first step.

    Returns:
        State at ``sigmas[-1]``, same shape and dtype.
    """
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        ratio = sigma_next / sigma
        estimate = denoiser(noisy, sigma)
        if sigma_next > 0 and not (begins_with_euler and step == 0):
            ahead = denoiser(_move(noisy, estimate, ratio), sigma_next)
            estimate = torch.lerp(estimate, ahead, 0.5 / max(ratio, _LEAST_HEUN_RATIO))
        noisy = _move(noisy, estimate, ratio)
    return noisy


def dpm_solver_2m(denoiser: Denoiser, noisy: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Integrate in second-order steps of one call each, which remember the call before.

    DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095), Algorithm 2, for alpha = 1 and
    lambda = -ln(sigma). The first step, which has no call before it, and the step to 0 are
    first-order.

    Args:
        denoiser: Asked at each level but the last.
        noisy: State at ``sigmas[0]``, any shape.
        sigmas: Strictly decreasing noise levels; the last may be 0.

    Returns:
        State at ``sigmas[-1]``, same shape and dtype.
    """
    before: tuple[float, Tensor] | None = None
    for sigma, sigma_next in pairwise(sigmas):
        estimate = denoised = denoiser(noisy, sigma)
        if before is not None and sigma_next > 0:
            sigma_before, denoised_before = before
            growth = math.log(sigma / sigma_next) / math.log(sigma_before / sigma)
            estimate = torch.lerp(denoised_before, denoised, 1 + growth / 2)
        noisy = _move(noisy, estimate, sigma_next / sigma)
        before = sigma, denoised
    return noisy


def euler_ancestral(
    denoiser: Denoiser, noisy: Tensor, sigmas: Sequence[float], step_noise: StepNoise
) -> Tensor:
    """Step down further than asked and add fresh noise up to the next level, one call each.

    DDPM's posterior sampling (Ho et al. 2020, eq. 7; DDIM with eta = 1) in sigma space: down to
    u²/t, then noise of variance u² - (u²/t)².

    Args:
        denoiser: Asked at each level but the last.
        noisy: State at ``sigmas[0]``, any shape.
        sigmas: Strictly decreasing noise levels; the last may be 0.
        step_noise: Gives the standard normal noise of a step; not asked for the step to 0.

    Returns:
        State at ``sigmas[-1]``, same shape and dtype.
    """
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        ratio = (sigma_next / sigma) ** 2
        noisy = _move(noisy, denoiser(noisy, sigma), ratio)
        if sigma_next > 0:
            fresh = step_noise(step).to(noisy)
            noisy = torch.add(noisy, fresh, alpha=sigma_next * math.sqrt(1 - ratio))
    return noisy


def _move(noisy: Tensor, estimate: Tensor, ratio: float) -> Tensor:
    """Return ratio * noisy + (1 - ratio) * estimate; at ratio 0 the estimate itself."""
    return torch.lerp(estimate, noisy, ratio) if ratio > 0 else estimate
