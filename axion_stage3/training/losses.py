"""What the network is trained to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from axion_stage3.diffusion.denoiser import c_in, c_out, c_skip
from axion_stage3.diffusion.network import to_network_space

if TYPE_CHECKING:
    from axion_stage3.diffusion.network import GroundingNetwork

_CURVED_FLOOR, _LINEAR_FLOOR = 4e-6, 2e-6
_DOUBT_WEIGHT = 0.01
_SCALE_WEIGHT = 0.02
_DETAIL_WEIGHT = 0.05
_LOG_SIGMA_MEAN, _LOG_SIGMA_STD = -0.3, 1.2
_LARGEST_RESIDUAL = 8.0
_DOUBT_WINDOW_PX = 5
_LAPLACE = (torch.pi / 2) ** 0.5


class TrainingBatch(NamedTuple):
    """A batch of crops; optical ones (B, 4, H, W), reflectance.

    Attributes:
        truth: What was there.
        mendable: What a perfect network could make of opt_v2; the truth for a real Stage 2 output.
        opt_v2: Stage 2 output.
        s1: Radar, (B, 2, H, W), dB.
    """

    truth: Tensor
    mendable: Tensor
    opt_v2: Tensor
    s1: Tensor


class Losses(NamedTuple):
    """Parts of the loss, scalars.

    Attributes:
        mean: Error of the mean.
        doubt: Negative log-likelihood of opt_v2's error under the predicted one.
        scale: Negative log-likelihood of the detail under the predicted spread.
        detail: Error of the denoiser; 0 while only the mean is trained.
        total: What is minimised.
    """

    mean: Tensor
    doubt: Tensor
    scale: Tensor
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
        random: Source of noise levels and noise for the denoiser; None trains the mean and scale
            only.
    """
    encoding = network.encode(batch.opt_v2, batch.s1)
    # Against what can be mended, not against the truth: casts of colour have the mean 0, so they
    # would add nothing to the gradient but noise, and far more of it than there is signal.
    mean = mean_error(encoding.mean, batch.mendable)
    doubt = _doubt_error(network, batch, encoding.doubt)
    with torch.no_grad():
        whitened = network.whitened_residual(
            batch.truth, encoding._replace(scale=torch.ones_like(encoding.scale))
        )
    # Laplace's likelihood, scaled so that a Gaussian residual has its standard deviation as scale:
    # the square of a Gaussian's would let one bad tile outweigh all others.
    scale = (_LAPLACE * whitened.abs() / encoding.scale + encoding.scale.log()).mean()
    detail = torch.zeros((), device=mean.device)
    if random is not None:
        residual = (whitened / encoding.scale.detach()).clamp(-_LARGEST_RESIDUAL, _LARGEST_RESIDUAL)
        detail = _denoising_error(network, residual, encoding.features, random)
    total = mean + _DOUBT_WEIGHT * doubt + _SCALE_WEIGHT * scale + _DETAIL_WEIGHT * detail
    return Losses(mean, doubt, scale, detail, total)


def mean_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Root mean square error of each sample, in network space and in reflectance, averaged.

    The root weighs a tile by its relative gain: to spoil a nearly right tile costs as much as to
    mend a bad one gains. (An L1 or Charbonnier loss learned nothing in as many steps: the median of
    what might be wrong with a pixel is nothing at all.)
    """
    # The square root's slope is unbounded at 0; dark pixels are held off it.
    curved = to_network_space(estimate.clamp_min(1e-4)) - to_network_space(truth.clamp_min(1e-4))
    return _root(curved, _CURVED_FLOOR) + 2.0 * _root(estimate - truth, _LINEAR_FLOOR)


def _doubt_error(network: GroundingNetwork, batch: TrainingBatch, doubt: Tensor) -> Tensor:
    """Laplace's negative log-likelihood of the error of opt_v2 around each pixel."""
    with torch.no_grad():
        error = to_network_space(batch.opt_v2) - to_network_space(batch.mendable)
        error = (error / network.optical_std[:, None, None]).abs().mean(dim=1, keepdim=True)
        padding = _DOUBT_WINDOW_PX // 2
        error = avg_pool2d(error, _DOUBT_WINDOW_PX, 1, padding, count_include_pad=False)
    return (error / doubt + doubt.log()).mean()


def _root(error: Tensor, floor: float) -> Tensor:
    return (error.square().mean(dim=(1, 2, 3)) + floor).sqrt().mean()


def _denoising_error(
    network: GroundingNetwork, residual: Tensor, features: Tensor, random: torch.Generator
) -> Tensor:
    """EDM's loss with unit weight on F (Karras et al. 2022, eq. 8), one noise level per sample."""
    clean = network.pack(residual)
    batch = clean.shape[0]
    log_sigma = torch.randn(batch, generator=random, device=clean.device)
    sigma = (log_sigma * _LOG_SIGMA_STD + _LOG_SIGMA_MEAN).exp()
    wide = sigma[:, None, None, None]
    noisy = clean + wide * torch.randn(clean.shape, generator=random, device=clean.device)
    estimate = network.denoiser(c_in(wide) * noisy, network.denoiser.modulation(sigma), features)
    target = (clean - c_skip(wide) * noisy) / c_out(wide)
    error: Tensor = estimate.float() - target
    return error.square().mean()
