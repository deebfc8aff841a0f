"""The light network that draws the detail, step by step, and its weights at each noise level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.denoiser import c_in, c_noise, c_out, c_skip
from axion_stage3.diffusion.encoder import PACK, NetworkConfig, ResidualBlock, zeroed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NOISE_FREQUENCIES = 8

Levels: TypeAlias = "Mapping[float, Sequence[tuple[Tensor, Tensor]]]"
"""Weight and bias of each convolution of the denoiser at each noise level, in their order."""


class ResidualDenoiser(nn.Module):
    """The light network F of EDM on the packed residual, conditioned by the encoder's features."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.denoiser_width
        self.enter = nn.Conv2d(4 * PACK**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.denoiser_blocks))
        self.leave = zeroed(nn.Conv2d(width, 4 * PACK**2, 3, padding=1))
        self.embed_noise = nn.Sequential(
            nn.Linear(2 * _NOISE_FREQUENCIES, 64),
            nn.SiLU(),
            nn.Linear(64, 2 * width * config.denoiser_blocks),
        )

    def modulation(self, sigma: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each block's film (gain, shift), (N, width, 1, 1), from N noise levels (N,)."""
        octaves = torch.arange(_NOISE_FREQUENCIES, device=sigma.device, dtype=torch.float32)
        angles = c_noise(sigma.float())[:, None] * (math.pi / 2) * 2.0 ** (octaves / 2)
        embedded = self.embed_noise(torch.cat([angles.sin(), angles.cos()], dim=1))
        gains, shifts = embedded[..., None, None].chunk(2, dim=1)
        n_blocks = len(self.blocks)
        return [
            (1.0 + gain, shift)
            for gain, shift in zip(gains.chunk(n_blocks, 1), shifts.chunk(n_blocks, 1), strict=True)
        ]

    def forward(
        self, scaled: Tensor, films: Sequence[tuple[Tensor, Tensor]], features: Tensor
    ) -> Tensor:
        """Evaluate F(c_in * noisy; sigma, condition), all packed at half resolution."""
        hidden = self.enter(scaled) + features
        for block, film in zip(self.blocks, films, strict=True):
            hidden = block(hidden, film)
        result: Tensor = self.leave(hidden)
        return result

    def at_level(self, sigma: float) -> list[tuple[Tensor, Tensor]]:
        """Return the weights of all convolutions with all that a noise level does multiplied in.

        A gain of a channel is one of the weights that make it: so neither the films nor the
        preconditioning (``c_in``, ``c_out``) cost a pass over the pixels at each step.
        """
        films = self.modulation(torch.tensor([sigma], device=self.enter.weight.device))
        enter, bias = _scaled(self.enter)
        level = [(enter * c_in(sigma), bias)]
        for block, (gain, shift) in zip(self.blocks, films, strict=True):
            assert isinstance(block, ResidualBlock)
            level += _scaled(block.first, gain.flatten(), shift.flatten()), _scaled(block.second)
        return [*level, _scaled(self.leave, c_out(sigma))]


def _scaled(
    convolution: nn.Conv2d, gain: Tensor | float = 1.0, shift: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Weight and bias of ``gain * convolution + shift``, in the precision of the weights."""
    assert convolution.bias is not None
    dtype = convolution.weight.dtype
    gain = torch.as_tensor(gain, device=convolution.weight.device).float()
    weight = (convolution.weight.float() * gain.reshape(-1, 1, 1, 1)).to(dtype)
    bias = (convolution.bias.float() * gain + shift).to(dtype)
    # The stubs of torch leave memory_format out of the overloads.
    return weight.contiguous(memory_format=torch.channels_last), bias


def denoise_at_level(
    noisy: Tensor, level: Sequence[tuple[Tensor, Tensor]], features: Tensor
) -> Tensor:
    """Evaluate c_out F(c_in * noisy; sigma, condition) by the weights of a noise level.

    The same as :meth:`ResidualDenoiser.forward` between its preconditioning, all packed.
    """
    enter, *blocks, leave = level
    hidden = F.conv2d(noisy, *enter, padding=1) + features
    for first, second in zip(blocks[::2], blocks[1::2], strict=True):
        inner = F.silu(F.conv2d(hidden, *first, padding=1), inplace=True)
        hidden = hidden + F.conv2d(inner, *second, padding=1)
    return F.conv2d(hidden, *leave, padding=1)


class BoundDenoiser:
    """A :class:`~axion_stage3.diffusion.denoiser.Denoiser` with condition and noise levels bound.

    What depends only on the tile (features) or only on sigma (levels) was computed once, before.

    Args:
        denoise: :func:`denoise_at_level`, or what does the same.
        features: Condition, of what is to be drawn.
        levels: From ``GroundingNetwork.levels``.
    """

    def __init__(self, denoise: Callable[..., Tensor], features: Tensor, levels: Levels) -> None:
        self._denoise = denoise
        self._features = features
        self._levels = levels

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        """Return the denoised packed residual (Karras et al. 2022, eq. 7)."""
        raw = self._denoise(noisy, self._levels[sigma], self._features)
        return torch.add(raw, noisy, alpha=c_skip(sigma))
