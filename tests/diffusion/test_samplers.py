"""Samplers against truth: closed-form Gaussian cases, orders of convergence, exact call counts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from axion_stage3.diffusion.noise_schedule import NoiseSchedule, karras_sigmas
from axion_stage3.diffusion.samplers import (
    SAMPLER_NAMES,
    SamplingPlan,
    dpm_solver_2m,
    euler,
    euler_ancestral,
    heun,
    plan_sampling,
    sample_residual,
)
from axion_stage3.errors import UsageError
from axion_stage3.testing.oracles import CountingDenoiser, GaussianDenoiser, OracleDenoiser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from axion_stage3.diffusion.denoiser import Denoiser

SCHEDULE = NoiseSchedule()
DETERMINISTIC = [name for name in SAMPLER_NAMES if name != "ancestral"]
BUDGETS = [1, 2, 3, 4, 5, 9, 10, 24]


def no_noise(step: int) -> Tensor:
    raise AssertionError(f"a deterministic sampler asked for noise of step {step}")


def response(plan: SamplingPlan, mean: float, std: float) -> tuple[float, float]:
    """Return the exact mean and variance of what a sampler draws in the Gaussian case.

    A sampler of an affine denoiser is affine in its noises. So pixel 0 gets no noise at all, which
    gives the mean, and each other pixel gets 1 in one noise, which gives that noise's coefficient.
    """
    unit = torch.eye(plan.n_step_noises + 2, dtype=torch.float64)
    drawn = sample_residual(GaussianDenoiser(mean, std), unit[1], plan, lambda step: unit[step + 2])
    return drawn[0].item(), (drawn[1:] - drawn[0]).square().sum().item()


def shrink(std: float, sigma: float) -> float:
    return std**2 / (std**2 + sigma**2)


def euler_gain(std: float, sigmas: Sequence[float]) -> float:
    """Closed form of one coefficient: product over steps of 1 + (u - t) / t (1 - shrink)."""
    return math.prod(1 + (u - t) * t / (std**2 + t**2) for t, u in pairwise(sigmas))


def heun_gain(std: float, sigmas: Sequence[float], n_euler_first: int) -> float:
    """Trapezium rule on dx/dsigma = sigma / (std² + sigma²) x; Euler first if asked, and last.

    In steps wider than tenfold only so much of the rule's correction as a tenfold one has.
    """
    gain = 1.0
    for step, (t, u) in enumerate(pairwise(sigmas)):
        slope, slope_next = t / (std**2 + t**2), u / (std**2 + u**2)
        ahead = 1 + (u - t) * slope
        is_euler = u == 0 or step < n_euler_first
        correction = 0.0 if is_euler else (u - t) * (slope_next * ahead - slope) / 2
        gain *= ahead + min(1.0, 10 * u / t) * correction
    return gain


def two_step_gain(std: float, sigmas: Sequence[float]) -> float:
    """DPM-Solver++(2M) as its paper has it, with h in -ln(sigma) and r_i = h_(i-1) / h_i."""
    x, before, h_before = 1.0, None, 0.0
    for t, u in pairwise(sigmas):
        denoised = shrink(std, t) * x
        h = math.log(t / u) if u > 0 else math.inf
        if before is None or u == 0:
            mixed = denoised
        else:
            half = h / (2 * h_before)
            mixed = (1 + half) * denoised - half * before
        x = u / t * x - math.expm1(-h) * mixed
        before, h_before = denoised, h
    return x


def ancestral_variance(std: float, sigmas: Sequence[float]) -> float:
    """Each step draws from q(x_u | x_t, x0_hat): Ho et al. 2020, eq. 7, in sigma space."""
    variance = sigmas[0] ** 2
    for t, u in pairwise(sigmas):
        gain = (u**2 + (t**2 - u**2) * shrink(std, t)) / t**2
        variance = gain**2 * variance + u**2 * (t**2 - u**2) / t**2
    return variance


@pytest.mark.parametrize("n_calls", BUDGETS)
@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.3), (1.7, 1.0), (-0.4, 4.0)])
def test_gaussian_mean_and_variance(name: str, n_calls: int, mean: float, std: float) -> None:
    plan = plan_sampling(name, n_calls, SCHEDULE)
    sigmas = plan.sigmas
    gain = {
        "euler": lambda: euler_gain(std, sigmas),
        "heun": lambda: heun_gain(std, sigmas, n_euler_first=1 - n_calls % 2),
        "2m": lambda: two_step_gain(std, sigmas),
        "ancestral": lambda: math.prod(
            u**2 / t**2 + (1 - u**2 / t**2) * shrink(std, t) for t, u in pairwise(sigmas)
        ),
    }[name]()
    variance = ancestral_variance(std, sigmas) if name == "ancestral" else (gain * sigmas[0]) ** 2
    drawn_mean, drawn_variance = response(plan, mean, std)
    # Sampling begins around 0, not around the mean, so that a share `gain` of it is missing.
    assert drawn_mean == pytest.approx(mean * (1 - gain), abs=1e-9)
    assert drawn_variance == pytest.approx(variance, abs=1e-9)


def test_few_calls_of_heun_do_not_multiply_what_the_denoiser_is_wrong_by() -> None:
    """Three calls go from 6 to 0.05 in one step, where an error of an answer counted 60 times."""

    class Wrong:
        def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
            return noisy * shrink(1.0, sigma) + (0.01 if sigma < 0.1 else 0.0)

    noise, plan = torch.zeros(1, dtype=torch.float64), plan_sampling("heun", 3, SCHEDULE)
    assert sample_residual(Wrong(), noise, plan, no_noise).abs().item() < 0.07


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_many_calls_draw_the_true_distribution(name: str) -> None:
    plan = plan_sampling(name, 4000, NoiseSchedule(sigma_max=400.0, sigma_min=2e-4))
    mean, variance = response(plan, mean=0.7, std=0.3)
    tolerance = {"euler": 5e-3, "ancestral": 5e-3}.get(name, 1e-4)
    assert mean == pytest.approx(0.7, abs=2e-3)
    assert math.sqrt(variance) == pytest.approx(0.3, rel=tolerance)


def test_shares_of_the_spread_kept_by_few_calls() -> None:
    """Measured figures of the Gaussian case with std 0.3, from sigma 1 to 0.02, rho 7."""
    schedule = NoiseSchedule(sigma_max=1.0, sigma_min=0.02, rho=7.0)

    def kept(name: str, n_calls: int) -> float:
        return math.sqrt(response(plan_sampling(name, n_calls, schedule), 0.0, 0.3)[1]) / 0.3

    figures = {name: (kept(name, 5), kept(name, 10)) for name in ("euler", "2m", "ancestral")}
    assert figures["euler"] == pytest.approx((0.775, 0.871), abs=5e-4)
    assert figures["2m"] == pytest.approx((0.990, 0.970), abs=5e-4)
    assert figures["ancestral"] == pytest.approx((0.673, 0.820), abs=5e-4)


def mixture(noisy: Tensor, sigma: float) -> Tensor:
    """Ideal denoiser of an even mixture of N(-1, 0.5²) and N(1, 0.5²): not affine in its input."""
    variance = 0.25 + sigma**2
    centre = torch.tanh(noisy / variance)
    return centre + 0.25 / variance * (noisy - centre)


START = torch.linspace(-4, 4, 41, dtype=torch.float64)


@pytest.fixture(scope="module")
def mixture_flow() -> Tensor:
    """The flow of the mixture from 2.5 to 0.05, far finer than what is measured with it."""
    return heun(mixture, START, karras_sigmas(10_000, 2.5, 0.05, 5.0)[:-1])


@pytest.mark.parametrize(
    ("integrate", "order"), [(euler, 1), (heun, 2), (dpm_solver_2m, 2)], ids=["euler", "heun", "2m"]
)
def test_order_of_convergence(
    integrate: Callable[[Denoiser, Tensor, Sequence[float]], Tensor],
    order: int,
    mixture_flow: Tensor,
) -> None:
    levels = [karras_sigmas(n_steps + 1, 2.5, 0.05, 5.0)[:-1] for n_steps in (80, 160, 320)]
    errors = [
        (integrate(mixture, START, sigmas) - mixture_flow).abs().max().item() for sigmas in levels
    ]
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert orders == pytest.approx([order, order], abs=0.12)


@pytest.mark.parametrize("integrate", [euler, heun, dpm_solver_2m], ids=["euler", "heun", "2m"])
def test_integration_reaches_the_exact_flow(
    integrate: Callable[[Denoiser, Tensor, Sequence[float]], Tensor],
) -> None:
    """To 1e-6 for the second-order samplers; Euler is held to its own order."""
    ideal = GaussianDenoiser(mean=0.4, std=0.3)
    start = torch.linspace(-4, 4, 9, dtype=torch.float64)
    levels = karras_sigmas(3000, 2.5, 0.05, 5.0)[:-1]
    error = (integrate(ideal, start, levels) - ideal.flow(start, 2.5, 0.05)).abs().max().item()
    assert error < (1e-3 if integrate is euler else 1e-6)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("n_calls", range(26))
def test_calls_are_exact_and_only_at_planned_levels(name: str, n_calls: int) -> None:
    plan = plan_sampling(name, n_calls, SCHEDULE)
    denoiser = CountingDenoiser(GaussianDenoiser(0.0, 1.0))
    steps: list[int] = []

    def step_noise(step: int) -> Tensor:
        steps.append(step)
        return torch.zeros(3)

    sample_residual(denoiser, torch.ones(3), plan, step_noise)
    assert denoiser.n_calls == plan.n_calls == n_calls
    assert set(denoiser.sigmas) == set(plan.sigmas[:-1])
    assert denoiser.sigmas == sorted(denoiser.sigmas, reverse=True)
    assert steps == list(range(plan.n_step_noises))


@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("n_calls", range(1, 12))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_oracle_is_repeated_exactly(name: str, n_calls: int, dtype: torch.dtype) -> None:
    clean = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    noise = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    drawn = sample_residual(
        OracleDenoiser(clean),
        noise,
        plan_sampling(name, n_calls, SCHEDULE),
        lambda step: torch.full((2, 4, 5, 6), float(step)),
    )
    assert drawn.dtype == dtype
    assert torch.equal(drawn, clean)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_no_calls_leave_the_mean_alone(name: str) -> None:
    noise = torch.randn(1, 4, 3, 3)
    drawn = sample_residual(mixture, noise, plan_sampling(name, 0, SCHEDULE), no_noise)
    assert torch.equal(drawn, torch.zeros(1, 4, 3, 3))


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_the_last_answer_is_the_result(name: str) -> None:
    """The step to 0 returns what the denoiser said at the lowest level, bit for bit."""
    answers: list[Tensor] = []

    def remembering(noisy: Tensor, sigma: float) -> Tensor:
        answers.append(mixture(noisy, sigma))
        return answers[-1]

    plan = plan_sampling(name, 7, SCHEDULE)
    noise = torch.randn(64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(sample_residual(remembering, noise, plan, lambda _: noise), answers[-1])


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_dtype_and_memory_order_are_kept_and_inputs_are_not_changed(name: str) -> None:
    noise = torch.randn(2, 16, 8, 8).to(torch.bfloat16, memory_format=torch.channels_last)
    before = noise.clone()
    plan = plan_sampling(name, 5, SCHEDULE)
    drawn = sample_residual(
        GaussianDenoiser(0.0, 1.0), noise, plan, lambda _: torch.ones_like(noise).float()
    )
    assert drawn.dtype == torch.bfloat16
    assert drawn.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(noise, before)


def test_tiles_of_a_batch_do_not_touch() -> None:
    noise = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(3))
    for name in DETERMINISTIC:
        plan = plan_sampling(name, 9, SCHEDULE)
        together = sample_residual(mixture, noise, plan, no_noise)
        alone = [sample_residual(mixture, tile[None], plan, no_noise) for tile in noise]
        torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)


def test_more_noise_levels_than_one_are_needed_to_move() -> None:
    start = torch.ones(3)
    assert torch.equal(euler_ancestral(mixture, start, [1.0], no_noise), start)


def test_unknown_samplers_and_impossible_budgets_are_refused() -> None:
    with pytest.raises(UsageError, match="no sampler 'ddpm'") as unknown:
        plan_sampling("ddpm", 9, SCHEDULE)
    assert all(name in unknown.value.hint for name in SAMPLER_NAMES)
    with pytest.raises(UsageError, match="0 timesteps") as negative:
        plan_sampling("2m", -1, SCHEDULE)
    assert "--timesteps 1" in negative.value.hint
