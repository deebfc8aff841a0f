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
lets through closes early and stays closed.) Then it is calibrated by measured figures, see
``gate_calibration.py``.

How much of a residual is drawn stands in ``detail_drawing.py``; that is calibrated by measured
figures too, and the mean's own detail amplified where it is blurred, see ``draw_calibration.py``.
Splitting into mean and residual follows CorrDiff (Mardani et al. 2023, eq. 3), the preconditioning
of the denoiser EDM (Karras et al. 2022, eq. 7 and Table 1, with sigma_data = 1).

Every operation is local: the result at a pixel does not depend on the size of the tile around it
(what equalizer and calibration measure fades with distance), so that windows are seamless.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.detail_drawing import strength_to_draw
from axion_stage3.diffusion.detail_gains import weighted_detail
from axion_stage3.diffusion.draw_calibration import DrawCalibration
from axion_stage3.diffusion.encoder import PACK, DetailHead, Encoder, NetworkConfig
from axion_stage3.diffusion.equalizer import DetailEqualizer
from axion_stage3.diffusion.gate_calibration import GateCalibration
from axion_stage3.diffusion.highpass import highpass
from axion_stage3.diffusion.residual_denoiser import (
    BoundDenoiser,
    ResidualDenoiser,
    denoise_at_level,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from axion_stage3.diffusion.residual_denoiser import Levels

_STRIDE = 8
_LOG_STRENGTH_RANGE = (-5.0, 2.0)
_LOG_DOUBT_RANGE = (-6.0, 0.5)
_HALF_OPEN_AT = 0.1
_FEATURE_LIMIT = 6.0
"""Bound of what the encoder sees, in standard deviations: a wild pixel does little around it."""

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
        members = self.config.gate_members
        self.gate_calibration = GateCalibration(members) if members else None
        self.denoiser = ResidualDenoiser(self.config)
        members = self.config.draw_members
        self.draw_calibration = DrawCalibration(members) if members else None
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

    def renew_gate_calibration(self) -> None:
        """Put one in that changes nothing yet, in the place of one or of none."""
        members = NetworkConfig.gate_members
        self.config = replace(self.config, gate_members=members)
        self.gate_calibration = GateCalibration(members)

    def drop_gate_calibration(self) -> None:
        """Take it out: what it was fitted to is about to change."""
        self.config = replace(self.config, gate_members=0)
        self.gate_calibration = None

    def renew_draw_calibration(self) -> None:
        """Put one in that changes nothing yet, in the place of one or of none."""
        members = NetworkConfig.draw_members
        self.config = replace(self.config, draw_members=members)
        self.draw_calibration = DrawCalibration(members)

    def drop_draw_calibration(self) -> None:
        """Take it out: what it was fitted to is about to change."""
        self.config = replace(self.config, draw_members=0)
        self.draw_calibration = None

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
        correction = gate * correction
        if self.gate_calibration is not None:
            correction = self.gate_calibration(correction, normalised[:, :4], doubt)
        mean = from_network_space(optical + correction * _per_band(self.optical_std))
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
        added = self.drawn_detail(expected, packed_residual)
        if self.draw_calibration is not None:
            added = self.draw_calibration(added, mean, self.expected_powers(expected))
        return mean + highpass(added)

    def drawn_detail(self, expected: ExpectedDetail, packed_residual: Tensor) -> Tensor:
        """Return W^-1 of a residual as strong as is foreseen, (B, 4, H, W) reflectance."""
        height, width = expected.mean.shape[-2:]
        residual = F.pixel_shuffle(packed_residual, PACK)[..., :height, :width].float()
        detail = self.whitened_detail(expected.mean)
        strength = strength_to_draw(detail, expected.spread, expected.strength)
        return _mix_bands(self.unwhitening, strength * residual)

    def expected_powers(self, expected: ExpectedDetail) -> tuple[Tensor, Tensor]:
        """Return squared strengths, in each optical band, of missing and of all detail."""
        # As if the whitened bands were independent.
        squares = self.unwhitening.square()
        spread, strength = expected.spread.square(), expected.strength.square()
        return _mix_bands(squares, spread), _mix_bands(squares, strength)


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
