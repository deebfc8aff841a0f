"""Denoisers whose answers are known in closed form, to test samplers and what is built on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from axion_stage3.diffusion.denoiser import Denoiser


class GaussianDenoiser:
    """The ideal denoiser of residuals that are normally distributed, pixel by pixel.

    Args:
        mean: Mean of the residual: a number, or a tensor that broadcasts to the residual.
        std: Standard deviation of the residual, > 0; likewise.
    """

    def __init__(self, mean: Tensor | float, std: Tensor | float) -> None:
        self.mean = mean
        self.std = std

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        """Return E[residual | noisy] = mean + std²/(std² + sigma²) (noisy - mean)."""
        variance = self.std * self.std
        return self.mean + (noisy - self.mean) * (variance / (variance + sigma * sigma))

    def flow(self, noisy: Tensor, sigma: float, sigma_next: float) -> Tensor:
        """Solve the probability flow exactly from one noise level to another.

        The marginal at sigma is normal with variance std² + sigma²; the flow keeps the quantile.
        """
        variance = self.std * self.std
        spread = ((variance + sigma_next * sigma_next) / (variance + sigma * sigma)) ** 0.5
        return self.mean + (noisy - self.mean) * spread


class OracleDenoiser:
    """A denoiser that knows the clean residual.

    Args:
        clean: What it returns at every noise level, with the shape and dtype of the residual.
    """

    def __init__(self, clean: Tensor) -> None:
        self.clean = clean

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:  # noqa: ARG002
        """Return the clean residual."""
        return self.clean


class CountingDenoiser:
    """Passes calls on to another denoiser and keeps their noise levels.

    Args:
        denoiser: The denoiser that answers.

    Attributes:
        sigmas: Noise level of each call so far.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.sigmas: list[float] = []
        self._denoiser = denoiser

    @property
    def n_calls(self) -> int:
        """Number of calls so far."""
        return len(self.sigmas)

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        """Count the call and answer it."""
        self.sigmas.append(sigma)
        return self._denoiser(noisy, sigma)
