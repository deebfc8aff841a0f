"""What the network is trained to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from axion_stage3.diffusion.denoiser import c_in, c_out, c_skip
from axion_stage3.diffusion.highpass import local_strength
from axion_stage3.diffusion.network import to_network_space

if TYPE_CHECKING:
    from axion_stage3.diffusion.network import Encoding, GroundingNetwork
    from axion_stage3.training.training_batch import TrainingBatch

_CURVED_FLOOR, _LINEAR_FLOOR = 4e-6, 2e-6
_DOUBT_WEIGHT = 0.01
_STRENGTH_WEIGHT = 0.02
_DETAIL_WEIGHT = 0.05
_LOG_SIGMA_MEAN, _LOG_SIGMA_STD = -0.3, 1.2
_N_LEVELS = 4
_LEAST_STRENGTH = 0.05
_DOUBT_WINDOW_PX = 5


class Losses(NamedTuple):
    """Parts of the loss, scalars.

    Attributes:
        mean: Error of the mean.
        doubt: Negative log-likelihood of the equalized tile's error under the predicted one.
        strengths: Error of the expected strengths of detail, in all and of what the mean lacks.
        detail: Error of the denoiser; 0 while only the mean is trained.
        total: What is minimised.
    """

    mean: Tensor
    doubt: Tensor
    strengths: Tensor
    detail: Tensor
    total: Tensor


def grounding_losses(
    network: GroundingNetwork,
    batch: TrainingBatch,
    random: torch.Generator | None,
) -> Losses:
    """Compute the losses of a batch.

    Args:
        network: The network in training mode.
        batch: Crops.
        random: Source of noise levels and noise for the denoiser; None trains all but the denoiser.
    """
    encoding = network.encode(batch.opt_v2, batch.s1)
    # Against what can be mended, not against the truth: casts of colour have the mean 0, so they
    # would add nothing to the gradient but noise, and far more of it than there is signal.
    mean = mean_error(encoding.mean, batch.mendable)
    doubt = _doubt_error(network, batch, encoding)
    # What is to be learned is never rounded: autocast would take the high pass for a convolution.
    with torch.no_grad(), torch.autocast(mean.device.type, enabled=False):
        residual = network.whitened_detail(batch.truth - encoding.mean)
        spread = local_strength(residual) + _LEAST_STRENGTH
        strength = local_strength(network.whitened_detail(batch.truth)) + _LEAST_STRENGTH
    expected = network.expect_detail(encoding)
    # The mean of the logarithm, so that where most tiles of this kind are right the spread stays
    # small; Laplace's likelihood, since the square of a Gaussian's would let one tile outweigh all.
    strengths = (spread / expected.spread).log().square().mean()
    strengths = strengths + (strength / expected.strength + expected.strength.log()).mean()
    detail = torch.zeros((), device=mean.device)
    if random is not None:
        # Of strength 1 everywhere: how strong it is to be is the affair of the encoder. Divided by
        # the expected spread, what varies from tile to tile would look like chance.
        detail = _denoising_error(network, residual / spread, expected.features, random)
    total = mean + _DOUBT_WEIGHT * doubt + _STRENGTH_WEIGHT * strengths + _DETAIL_WEIGHT * detail
    return Losses(mean, doubt, strengths, detail, total)


def mean_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Root mean square error of each sample, in network space and in reflectance, averaged.

    The root weighs a tile by its relative gain: to spoil a nearly right tile costs as much as to
    mend a bad one gains. (An L1 or Charbonnier loss learned nothing in as many steps: the median of
    what might be wrong with a pixel is nothing at all.)
    """
    # The square root's slope is unbounded at 0; dark pixels are held off it.
    curved = to_network_space(estimate.clamp_min(1e-4)) - to_network_space(truth.clamp_min(1e-4))
    return _root(curved, _CURVED_FLOOR) + 2.0 * _root(estimate - truth, _LINEAR_FLOOR)


def _doubt_error(network: GroundingNetwork, batch: TrainingBatch, encoding: Encoding) -> Tensor:
    """Laplace's negative log-likelihood of the equalized error around each pixel."""
    with torch.no_grad():
        error = encoding.equalized - to_network_space(batch.mendable)
        error = (error / network.optical_std[:, None, None]).abs()
        padding = _DOUBT_WINDOW_PX // 2
        error = avg_pool2d(error, _DOUBT_WINDOW_PX, 1, padding, count_include_pad=False)
    return (error / encoding.doubt + encoding.doubt.log()).mean()


def _root(error: Tensor, floor: float) -> Tensor:
    return (error.square().mean(dim=(1, 2, 3)) + floor).sqrt().mean()


def _denoising_error(
    network: GroundingNetwork, residual: Tensor, features: Tensor, random: torch.Generator
) -> Tensor:
    """EDM's loss with unit weight on F (Karras et al. 2022, eq. 8), some noise levels a sample."""
    # The denoiser costs little beside what it is conditioned on: several levels for each.
    clean = network.pack(residual).repeat(_N_LEVELS, 1, 1, 1)
    features = features.repeat(_N_LEVELS, 1, 1, 1)
    batch = clean.shape[0]
    log_sigma = torch.randn(batch, generator=random, device=clean.device)
    sigma = (log_sigma * _LOG_SIGMA_STD + _LOG_SIGMA_MEAN).exp()
    wide = sigma[:, None, None, None]
    noisy = clean + wide * torch.randn(clean.shape, generator=random, device=clean.device)
    estimate = network.denoiser(c_in(wide) * noisy, network.denoiser.modulation(sigma), features)
    target = (clean - c_skip(wide) * noisy) / c_out(wide)
    error: Tensor = estimate.float() - target
    return error.square().mean()
