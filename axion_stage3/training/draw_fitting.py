"""Fitting the calibration of the draw: how much a trained network draws, and amplifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor

from axion_stage3.diffusion.draw_calibration import draw_figures
from axion_stage3.diffusion.highpass import detail_bands, highpass, lowpass
from axion_stage3.diffusion.noise_schedule import NoiseSchedule
from axion_stage3.diffusion.samplers import plan_sampling, sample_residual
from axion_stage3.training.figure_fitting import (
    SquaredError,
    cell_figures,
    cell_means,
    fit_networks,
)
from axion_stage3.training.random_fields import normal

if TYPE_CHECKING:
    from axion_stage3.diffusion.network import ExpectedDetail, GroundingNetwork
    from axion_stage3.training.figure_fitting import Fitting
    from axion_stage3.training.training_batch import TrainingBatch

_SHARE_VARIED: Final = 0.5
_N_CALLS: Final = 9
_FINE_PX: Final = 1.0
"""Detail finer than this blur is to have the power that it has in the truth: mostly what lies
beyond 0.2 cycles/px."""

_LEAST_POWER: Final = 1e-8
_ERROR_FLOOR: Final = 3e-8
_DECIBEL_WEIGHT: Final = 0.055


class DrawMoments(NamedTuple):
    """What has to be known of crops with a draw each, reflectance.

    With gains 0 everything is drawn as it was foreseen.

    Attributes:
        figures: As the networks see them, (N, cells, n_figures).
        opt_final: Its squared error.
        fine: Power of its fine detail, as the squared error of nothing in its place.
        mean_error: Squared error of the mean, (N, cells, 4).
        true_power: Power of the truth's fine detail, (N, cells, 4).
    """

    figures: Tensor
    opt_final: SquaredError
    fine: SquaredError
    mean_error: Tensor
    true_power: Tensor

    def loss(self, gains: Tensor) -> Tensor:
        """How far the strength of fine detail is from the truth's, and what drawing costs.

        The former as twice the square of (strength / true strength - 1), of all bands together and
        of each by itself; the latter in decibels of squared error over that of the mean.
        """
        power, true_power = self.fine.with_gains(gains), self.true_power.mean(dim=1)
        off = _off(power.mean(dim=1), true_power.mean(dim=1)) + _off(power, true_power)
        error = self.opt_final.with_gains(gains).mean(dim=1) + _ERROR_FLOOR
        decibels = 10.0 * (error / (self.mean_error.mean(dim=(1, 2)) + _ERROR_FLOOR)).log10()
        return off + _DECIBEL_WEIGHT * decibels.mean()


def fit_draw_calibration(network: GroundingNetwork, fitting: Fitting) -> None:
    """Fit the calibration of the draw of a trained network.

    Args:
        network: Its calibration, a new one that changes nothing yet, is changed in place.
        fitting: What it is fitted to.
    """
    assert network.draw_calibration is not None
    random = torch.Generator(device=fitting.tiles.device).manual_seed(fitting.seed + 3)

    def measure(batch: TrainingBatch) -> DrawMoments:
        expected = network.expect_detail(network.encode(batch.opt_v2, batch.s1))
        mean, drawn = expected.mean, _draw(network, expected, random)
        bands = detail_bands(mean)
        figures = draw_figures(bands, network.expected_powers(expected))
        weighed = highpass(drawn), bands[0]
        opt_final = mean + weighed[0]
        fine_of_weighed = [_fine(detail) for detail in weighed]
        return DrawMoments(
            figures=cell_figures(figures),
            opt_final=SquaredError.of(weighed, batch.truth - opt_final),
            fine=SquaredError.of(fine_of_weighed, -_fine(opt_final)),
            mean_error=cell_means((batch.truth - mean).square()),
            true_power=cell_means(_fine(batch.truth).square()),
        )

    fit_networks(network.draw_calibration, measure, fitting, share_varied=_SHARE_VARIED)


def _draw(network: GroundingNetwork, expected: ExpectedDetail, random: torch.Generator) -> Tensor:
    """Detail as it is foreseen, drawn as by default, (B, 4, H, W)."""
    plan = plan_sampling("2m", _N_CALLS, NoiseSchedule())
    noise = network.pack(normal(tuple(expected.mean.shape), random))
    denoiser = network.bind(expected, plan.sigmas)
    residual = sample_residual(denoiser, noise, plan, lambda _step: noise)
    return network.drawn_detail(expected, residual)


def _fine(tiles: Tensor) -> Tensor:
    return tiles - lowpass(tiles, _FINE_PX)


def _off(power: Tensor, true_power: Tensor) -> Tensor:
    ratio = (power + _LEAST_POWER) / (true_power + _LEAST_POWER)
    return 2.0 * (ratio.sqrt() - 1.0).square().mean()
