"""What a denoiser is, and the preconditioning (EDM) that makes one out of a network.

A sampler knows nothing of networks, conditions or tiles: it calls ``denoiser(noisy, sigma)`` and
gets an estimate of the clean residual back. Anything that keeps this contract can be sampled from.

The residual is whitened to unit variance, so that sigma_data of Karras et al. 2022 is 1 throughout.
"""

from __future__ import annotations

import math
from typing import Protocol, TypeVar

from torch import Tensor

Level = TypeVar("Level", float, Tensor)


class Denoiser(Protocol):
    """Estimates the clean residual; its condition (opt_v2, s1) is bound inside the object."""

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        """Return E[residual | noisy, condition].

        Args:
            noisy: residual + sigma * standard normal noise, any shape.
            sigma: Noise level, > 0, in units of the residual.

        Returns:
            A new tensor with the shape and dtype of ``noisy``; a later call must not change it.
        """
        ...


def c_skip(sigma: Level) -> Level:
    """Share of the noisy input that passes by the network: 1/(σ² + 1).

    Karras et al. 2022, Table 1 (EDM). D(x; σ) = c_skip x + c_out F(c_in x; c_noise).

    Args:
        sigma: Noise level, > 0; a number or a tensor.
    """
    return 1 / (sigma * sigma + 1)


def c_out(sigma: Level) -> Level:
    """Gain of the network's output: σ/√(σ² + 1)."""
    return sigma * c_in(sigma)


def c_in(sigma: Level) -> Level:
    """Gain of the network's input, which gives it unit variance: 1/√(σ² + 1)."""
    gain: Level = (sigma * sigma + 1) ** -0.5
    return gain


def c_noise(sigma: Level) -> Level:
    """Noise level as the network sees it: ln(σ)/4."""
    if isinstance(sigma, Tensor):
        return sigma.log() / 4
    return math.log(sigma) / 4
