"""The grounding network: a heavy encoder once per tile, a light denoiser per step.

    n(x)       = sign(x) sqrt|x|                        reflectance to network space, invertible
    equalized  = n(opt_v2) with detail as strong as a sensor's    see ``equalizer.py``
    mean       = n^-1( equalized + correction )         minimum-error answer (``--timesteps 1``)
    correction = gate * (free + sum over k of trust_k * detail_k(equalized)
                              + loan_k * detail_k(visible) + leak_k * detail_k(s1))
    residual   = W highpass(x0 - mean) / its strength   the detail that the mean could not know
    opt_final  = mean + highpass( W^-1 added )          added: as much of the residual as is wanted,
                                                        and of the mean's own where it is blurred

The correction is made of two parts: a free one, and gains on bands of detail that are there
already (``trust`` below 0 takes detail away, above 0 sharpens; ``loan`` gives a band what the
visible ones have in common; ``leak`` takes the radar's speckle out or puts its edges in). To judge
how far detail is to be trusted is far easier to learn than to redraw it, and carries over to faults
that were never seen.

The gate, doubt / (doubt + 0.1), closes where nothing speaks against an equalized band: ``doubt`` is
its predicted error, learned from its true error alone. (A gate that is trained by what it
lets through closes early and stays closed.)

How much of a residual is drawn, and where the mean's own detail is amplified instead, stands in
``detail_drawing.py``.
Splitting into mean and residual follows CorrDiff (Mardani et al. 2023, eq. 3), the preconditioning
of the denoiser EDM (Karras et al. 2022, eq. 7 and Table 1, with sigma_data = 1).

Every operation is local: the result at a pixel does not depend on the size of the tile around it
(what the equalizer measures fades with distance), so that windows are seamless.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.denoiser import c_in, c_noise, c_out, c_skip
from axion_stage3.diffusion.detail_drawing import FINEST_PX, detail_to_add
from axion_stage3.diffusion.detail_gains import weighted_detail
from axion_stage3.diffusion.encoder import (
    PACK,
    DetailHead,
    Encoder,
    NetworkConfig,
    ResidualBlock,
    zeroed,
)
from axion_stage3.diffusion.equalizer import DetailEqualizer
from axion_stage3.diffusion.highpass import highpass, lowpass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_STRIDE = 8
_LOG_STRENGTH_RANGE = (-5.0, 2.0)
_LOG_DOUBT_RANGE = (-6.0, 0.5)
_HALF_OPEN_AT = 0.1
_FEATURE_LIMIT = 6.0
"""Bound of what the encoder sees, in standard deviations: a wild pixel does little around it."""

_NOISE_FREQUENCIES = 8

Levels: TypeAlias = "Mapping[float, Sequence[tuple[Tensor, Tensor]]]"
"""Weight and bias of each convolution of the denoiser at each noise level, in their order."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Encoding(NamedTuple):
    """What is known about a batch of tiles once the encoder has run.

    Attributes:
        mean: Minimum-error optical tile, (B, 4, H, W) float, reflectance.
        equalized: opt_v2 after the equalizer, (B, 4, H, W), network space.
        doubt: Predicted error of each of its bands, (B, 4, H, W), > 0, in standard deviations of
            network space.
        fine: Features at half resolution.
        middle: Features at a quarter of it.
    """

    mean: Tensor
    equalized: Tensor
    doubt: Tensor
    fine: Tensor
    middle: Tensor


class ExpectedDetail(NamedTuple):
    """What is to be drawn on top of the mean; strengths are of whitened detail, (B, 4, H, W), > 0.

    Attributes:
        mean: As in :class:`Encoding`.
        spread: Strength of the detail that the mean lacks.
        strength: Strength of all detail.
        features: Condition of the denoiser, packed at half resolution.
    """

    mean: Tensor
    spread: Tensor
    strength: Tensor
    features: Tensor


def channels_last(module: ModuleT) -> ModuleT:
    """Bring a module's weights into channels-last memory order; returns the module."""
    # The stubs of torch leave memory_format out of the overloads.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def to_network_space(reflectance: Tensor) -> Tensor:
    """Signed square root: evens out dark and bright surfaces; defined for every real value."""
    return reflectance.sign() * reflectance.abs().sqrt()


def from_network_space(value: Tensor) -> Tensor:
    """Inverse of :func:`to_network_space`."""
    return value * value.abs()


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
        levels: From :meth:`GroundingNetwork.levels`.
    """

    def __init__(self, denoise: Callable[..., Tensor], features: Tensor, levels: Levels) -> None:
        self._denoise = denoise
        self._features = features
        self._levels = levels

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        """Return the denoised packed residual (Karras et al. 2022, eq. 7)."""
        raw = self._denoise(noisy, self._levels[sigma], self._features)
        return torch.add(raw, noisy, alpha=c_skip(sigma))


class GroundingNetwork(nn.Module):
    """Encoder and denoiser with the constants that the training data fixed.

    Args:
        config: Sizes.
    """

    optical_mean: Tensor
    optical_std: Tensor
    radar_mean: Tensor
    radar_std: Tensor
    whitening: Tensor
    unwhitening: Tensor

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        members = self.config.equalizer_members
        self.equalizer = DetailEqualizer(members) if members else None
        self.encoder = Encoder(self.config)
        self.detail_head = DetailHead(self.config)
        self.denoiser = ResidualDenoiser(self.config)
        self.register_buffer("optical_mean", torch.tensor([0.27, 0.28, 0.27, 0.46]))
        self.register_buffer("optical_std", torch.tensor([0.08, 0.08, 0.10, 0.13]))
        self.register_buffer("radar_mean", torch.tensor([-11.8, -18.2]))
        self.register_buffer("radar_std", torch.tensor([5.0, 5.0]))
        self.register_buffer("whitening", _identity(4))
        self.register_buffer("unwhitening", _identity(4))

    def renew_equalizer(self) -> None:
        """Put an equalizer in that changes nothing yet, in the place of one or of none."""
        members = NetworkConfig.equalizer_members
        self.config = replace(self.config, equalizer_members=members)
        self.equalizer = DetailEqualizer(members)

    def freeze_mean(self) -> None:
        """Keep training from changing mean and doubt; what draws the detail goes on."""
        self.encoder.requires_grad_(requires_grad=False)

    def reduce_precision(self, dtype: torch.dtype) -> None:
        """Compute in autocast's precision, but for the head of the detail and the encoder's ends.

        Rounded, the head makes the largest errors of all.
        """
        self.encoder.reduce_precision(dtype)
        self.denoiser.to(dtype)

    def encode(self, opt_v2: Tensor, s1: Tensor) -> Encoding:
        """Run the heavy part, once per tile.

        Args:
            opt_v2: Stage 2 optical tiles, (B, 4, H, W) float32, reflectance; H, W >= 16.
            s1: Sentinel-1 tiles, (B, 2, H, W) float32, backscatter in dB.

        Returns:
            Mean, doubt and features. ``mean`` is the result of ``--timesteps 1``.
        """
        height, width = opt_v2.shape[-2:]
        optical = self.equalize(opt_v2)
        normalised = torch.cat(
            [
                self.normalised_optical(optical),
                _limited((s1 - _per_band(self.radar_mean)) / _per_band(self.radar_std)),
            ],
            dim=1,
        )
        correction, gains, fine, middle = self.encoder(_pack(_pad(normalised)))
        gains = gains[..., :height, :width].float()
        doubt = _bounded_exp(gains[:, :4], _LOG_DOUBT_RANGE)
        correction = correction[..., :height, :width].float()
        correction = correction + weighted_detail(normalised, gains[:, 4:])
        gate = doubt.detach() / (doubt.detach() + _HALF_OPEN_AT)
        correction = gate * correction * _per_band(self.optical_std)
        mean = from_network_space(optical + correction)
        return Encoding(mean, optical, doubt, fine, middle)

    def equalize(self, opt_v2: Tensor) -> Tensor:
        """Bring (B, 4, H, W) reflectance to network space, its detail as strong as a sensor's."""
        optical = to_network_space(opt_v2)
        if self.equalizer is None:
            return optical
        added: Tensor = self.equalizer(self.normalised_optical(optical))
        return optical + added * _per_band(self.optical_std)

    def normalised_optical(self, optical: Tensor) -> Tensor:
        """Bring (B, 4, H, W) from network space to standard deviations, wild pixels bounded."""
        return _limited((optical - _per_band(self.optical_mean)) / _per_band(self.optical_std))

    def expect_detail(self, encoding: Encoding) -> ExpectedDetail:
        """Return what is to be drawn, once per tile; ``--timesteps 1`` does without."""
        height, width = encoding.mean.shape[-2:]
        # Mean and doubt alone train the encoder: the gradients of strengths and detail are many
        # times larger and would leave it nothing to learn with.
        features = encoding.fine.detach().float(), encoding.middle.detach().float()
        log_strengths, condition = self.detail_head(*features)
        # In the order of the detail that they are compared with: mixed, products cost double.
        log_strengths = log_strengths[..., :height, :width].float().contiguous()
        spread, strength = _bounded_exp(log_strengths, _LOG_STRENGTH_RANGE).chunk(2, dim=1)
        condition = condition.to(encoding.fine.dtype)
        return ExpectedDetail(encoding.mean, spread, strength, condition)

    def pack(self, residual: Tensor) -> Tensor:
        """Bring a residual or noise (B, 4, H, W) into the denoiser's packed layout."""
        return _pack(_pad(residual))

    def bind(
        self,
        expected: ExpectedDetail,
        sigmas: Sequence[float],
        *,
        levels: Levels | None = None,
        denoise: Callable[..., Tensor] = denoise_at_level,
    ) -> BoundDenoiser:
        """Return the denoiser of packed residuals for these tiles at these noise levels.

        Args:
            expected: What is to be drawn.
            sigmas: The noise levels.
            levels: From :meth:`levels` for the same noise levels, where they are kept.
            denoise: Does what :func:`denoise_at_level` does, faster.
        """
        levels = self.levels(sigmas) if levels is None else levels
        return BoundDenoiser(denoise, expected.features, levels)

    def levels(self, sigmas: Sequence[float]) -> Levels:
        """Return the denoiser's weights at each noise level above 0, whatever the tile."""
        return {sigma: self.denoiser.at_level(sigma) for sigma in sigmas if sigma > 0}

    def whitened_detail(self, difference: Tensor) -> Tensor:
        """Return W highpass(difference), (B, 4, H, W), for truth - mean of unit size on average."""
        return _mix_bands(self.whitening, highpass(difference))

    def compose(self, expected: ExpectedDetail, packed_residual: Tensor) -> Tensor:
        """Return opt_final = mean + highpass(W^-1 detail to add), (B, 4, H, W) reflectance."""
        mean = expected.mean
        height, width = mean.shape[-2:]
        residual = F.pixel_shuffle(packed_residual, PACK)[..., :height, :width].float()
        finest = _mix_bands(self.whitening, mean - lowpass(mean, FINEST_PX))
        added = detail_to_add(
            residual, self.whitened_detail(mean), finest, expected.spread, expected.strength
        )
        return mean + highpass(_mix_bands(self.unwhitening, added))


def _bounded_exp(value: Tensor, log_range: tuple[float, float]) -> Tensor:
    # Bounded by a sigmoid, not a clamp: its slope never vanishes, so a wild step can be undone.
    lowest, highest = log_range
    return (lowest + (highest - lowest) * value.sigmoid()).exp()


def _identity(size: int) -> Tensor:
    """As ``torch.eye``, which on the meta device imports torch's compiler: 1.2 s."""
    return torch.tensor([[float(i == j) for j in range(size)] for i in range(size)])


def _limited(normalised: Tensor) -> Tensor:
    return normalised.clamp(-_FEATURE_LIMIT, _FEATURE_LIMIT)


def _per_band(values: Tensor) -> Tensor:
    return values[:, None, None]


def _mix_bands(matrix: Tensor, tiles: Tensor) -> Tensor:
    return torch.einsum("ij,bjyx->biyx", matrix, tiles)


def _pad(tiles: Tensor) -> Tensor:
    bottom, right = (-tiles.shape[-2]) % _STRIDE, (-tiles.shape[-1]) % _STRIDE
    return F.pad(tiles, (0, right, 0, bottom), mode="reflect") if bottom or right else tiles


def _pack(tiles: Tensor) -> Tensor:
    return F.pixel_unshuffle(tiles, PACK).contiguous(memory_format=torch.channels_last)
