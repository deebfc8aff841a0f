"""The grounding network: a heavy encoder once per tile, a light denoiser per step.

    n(x)       = sign(x) sqrt|x|                        reflectance to network space, invertible
    mean       = n^-1( n(opt_v2) + correction )         minimum-error answer (``--timesteps 1``)
    correction = gate * (free + sum over k of trust_k * detail_k(n(opt_v2)) + leak_k * detail_k(s1))
    residual   = W highpass(x0 - mean) / scale          the detail that the mean could not know
    opt_final  = mean + highpass( scale * W^-1 residual )

The correction is made of two parts: a free one, and gains on bands of detail that are there
already (``trust`` below 0 takes detail away, above 0 sharpens; ``leak`` takes the radar's speckle
out or puts its edges in). To judge how far detail is to be trusted is far easier to learn than to
redraw it, and carries over to faults that were never seen.

The gate, doubt / (doubt + 0.1), closes where nothing speaks against opt_v2: ``doubt`` is the
predicted error of opt_v2, learned from its true error alone. (A gate that is trained by what it
lets through closes early and stays closed.)

``scale`` is the predicted spread of the detail, near 0 where nothing speaks against opt_v2.
Splitting into mean and residual follows CorrDiff (Mardani et al. 2023, eq. 3), the preconditioning
of the denoiser EDM (Karras et al. 2022, eq. 7 and Table 1, with sigma_data = 1).

Every operation is local: the result at a pixel does not depend on the size of the tile around it,
so that windows are seamless. The blocks are plain 3x3 convolutions without normalisation layers, in
channels-last memory order: measured fastest on the CPU (docs/benchmarks.md).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.denoiser import c_in, c_noise, c_out, c_skip
from axion_stage3.diffusion.detail_gains import N_GAINS, weighted_detail
from axion_stage3.diffusion.highpass import highpass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PACK = 2
_STRIDE = 8
_LOG_SCALE_RANGE = (-5.0, 2.0)
_LOG_DOUBT_RANGE = (-6.0, 0.5)
_HALF_OPEN_AT = 0.1
_FEATURE_LIMIT = 6.0
"""Bound of what the encoder sees, in standard deviations: a wild pixel does little around it."""

_BLOCK_GAIN = 0.5
_NOISE_FREQUENCIES = 8

Films: TypeAlias = "Mapping[float, Sequence[tuple[Tensor, Tensor]]]"
"""Film (gain and shift, (1, width, 1, 1)) of each block of the denoiser, by noise level."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network; stored in the checkpoint.

    Attributes:
        widths: Channels at 1/2, 1/4 and 1/8 of the tile's resolution.
        blocks: Residual blocks at 1/2, 1/4, 1/8 (encoder) and 1/4, 1/2 (decoder).
        denoiser_width: Channels of the denoiser, at 1/2 of the tile's resolution.
        denoiser_blocks: Residual blocks of the denoiser.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    blocks: tuple[int, int, int, int, int] = (1, 2, 3, 2, 1)
    denoiser_width: int = 32
    denoiser_blocks: int = 2

    def as_document(self) -> dict[str, object]:
        """Return the sizes as a JSON document."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


class Encoding(NamedTuple):
    """What is known about a batch of tiles once the encoder has run.

    Attributes:
        mean: Minimum-error optical tile, (B, 4, H, W) float, reflectance.
        doubt: Predicted error of opt_v2, (B, 1, H, W), > 0, in standard deviations of network
            space.
        scale: Predicted spread of the whitened detail, (B, 1, H, W), > 0, reflectance.
        features: Condition of the denoiser, packed at half resolution.
    """

    mean: Tensor
    doubt: Tensor
    scale: Tensor
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


class ResidualBlock(nn.Module):
    """x + conv(silu(film(conv(x)))), the identity until the second convolution is initialised.

    Film is a gain and a shift of each channel (FiLM, Perez et al. 2018, eq. 2).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = _zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor, film: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Apply the block; ``film`` is (gain, shift), each broadcastable to (B, width, 1, 1)."""
        hidden = self.first(x)
        if film is not None:
            gain, shift = film
            hidden = torch.addcmul(shift.to(hidden.dtype), hidden, gain.to(hidden.dtype))
        hidden = F.silu(hidden, inplace=not torch.is_grad_enabled())
        result: Tensor = x + self.second(hidden)
        return result


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


class Encoder(nn.Module):
    """U-shaped encoder of (opt_v2, s1) at 1/2, 1/4 and 1/8 of the tile's resolution."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        down_fine, down_middle, bottom, up_middle, up_fine = config.blocks
        self.stem = nn.Conv2d(6 * _PACK**2, fine, 3, padding=1)
        self.down_fine = _blocks(fine, down_fine)
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.down_middle = _blocks(middle, down_middle)
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.bottom = _blocks(coarse, bottom)
        self.from_coarse = nn.ConvTranspose2d(coarse, middle, 2, stride=2)
        self.up_middle = _blocks(middle, up_middle)
        self.from_middle = nn.ConvTranspose2d(middle, fine, 2, stride=2)
        self.up_fine = _blocks(fine, up_fine)
        self.correction = _zeroed(nn.Conv2d(fine, 4 * _PACK**2, 3, padding=1))
        self.gains = _zeroed(nn.Conv2d(middle, 1 + N_GAINS, 3, padding=1))
        self.log_scale = _zeroed(nn.Conv2d(fine, _PACK**2, 3, padding=1))
        self.condition = nn.Conv2d(fine, config.denoiser_width, 3, padding=1)
        _keep_variance(self)

    def forward(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return correction, doubt and gains, log-scale, all (B, bands, y, x), and the condition.

        They have 4, 25 and 1 bands; the condition is packed, at half resolution.
        """
        fine = self.down_fine(self.stem(packed))
        middle = self.down_middle(self.to_middle(fine))
        coarse = self.bottom(self.to_coarse(middle))
        middle = self.up_middle(middle + self.from_coarse(coarse))
        fine = self.up_fine(fine + self.from_middle(middle))
        correction = F.pixel_shuffle(self.correction(fine), _PACK)
        gains = F.interpolate(self.gains(middle), scale_factor=2.0 * _PACK, mode="bilinear")
        # Mean and doubt alone train the encoder: the gradients of scale and detail are many times
        # larger and would leave it nothing to learn with.
        fine = fine.detach()
        log_scale = F.pixel_shuffle(self.log_scale(fine), _PACK)
        return correction, gains, log_scale, self.condition(fine)


def _keep_variance(encoder: Encoder) -> None:
    """Initialise convolutions so that features neither shrink nor grow on their way.

    torch's default divides the variance by three in every layer: after a few, the coarse levels
    have next to no say, and training takes several times as long to find that they matter.
    """
    if encoder.stem.weight.is_meta:
        return  # no numbers to draw, and torch would import its compiler to do so: 1.2 s
    for module in encoder.modules():
        if isinstance(module, ResidualBlock):
            nn.init.kaiming_normal_(module.first.weight, nonlinearity="linear")
            nn.init.kaiming_normal_(module.second.weight, nonlinearity="linear")
            module.second.weight.data.mul_(_BLOCK_GAIN)
    for name in ("stem", "to_middle", "to_coarse"):
        nn.init.kaiming_normal_(getattr(encoder, name).weight, nonlinearity="linear")
    for name in ("from_coarse", "from_middle"):
        weight = getattr(encoder, name).weight
        nn.init.normal_(weight, std=weight.shape[0] ** -0.5)


class ResidualDenoiser(nn.Module):
    """The light network F of EDM on the packed residual, conditioned by the encoder's features."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.denoiser_width
        self.enter = nn.Conv2d(4 * _PACK**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.denoiser_blocks))
        self.leave = _zeroed(nn.Conv2d(width, 4 * _PACK**2, 3, padding=1))
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


class BoundDenoiser:
    """A :class:`~axion_stage3.diffusion.denoiser.Denoiser` with condition and noise levels bound.

    What depends only on the tile (features) or only on sigma (films) was computed once, before.

    Args:
        denoise: :meth:`ResidualDenoiser.forward`, or what does the same.
        features: Of the encoding.
        films: From :meth:`GroundingNetwork.films`.
    """

    def __init__(self, denoise: Callable[..., Tensor], features: Tensor, films: Films) -> None:
        self._network = denoise
        self._features = features
        self._films = films

    def __call__(self, noisy: Tensor, sigma: float) -> Tensor:
        """Return the denoised packed residual (Karras et al. 2022, eq. 7)."""
        raw = self._network(noisy * c_in(sigma), self._films[sigma], self._features)
        return torch.add(noisy * c_skip(sigma), raw, alpha=c_out(sigma))


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
        self.encoder = Encoder(self.config)
        self.denoiser = ResidualDenoiser(self.config)
        self.register_buffer("optical_mean", torch.tensor([0.27, 0.28, 0.27, 0.46]))
        self.register_buffer("optical_std", torch.tensor([0.08, 0.08, 0.10, 0.13]))
        self.register_buffer("radar_mean", torch.tensor([-11.8, -18.2]))
        self.register_buffer("radar_std", torch.tensor([5.0, 5.0]))
        self.register_buffer("whitening", _identity(4))
        self.register_buffer("unwhitening", _identity(4))

    def encode(self, opt_v2: Tensor, s1: Tensor) -> Encoding:
        """Run the heavy part, once per tile.

        Args:
            opt_v2: Stage 2 optical tiles, (B, 4, H, W) float32, reflectance; H, W >= 16.
            s1: Sentinel-1 tiles, (B, 2, H, W) float32, backscatter in dB.

        Returns:
            Mean, doubt, scale and features. ``mean`` is the result of ``--timesteps 1``.
        """
        height, width = opt_v2.shape[-2:]
        optical = to_network_space(opt_v2)
        normalised = torch.cat(
            [
                (optical - _per_band(self.optical_mean)) / _per_band(self.optical_std),
                (s1 - _per_band(self.radar_mean)) / _per_band(self.radar_std),
            ],
            dim=1,
        ).clamp(-_FEATURE_LIMIT, _FEATURE_LIMIT)
        correction, gains, log_scale, features = self.encoder(_pack(_pad(normalised)))
        gains = gains[..., :height, :width].float()
        doubt = _bounded_exp(gains[:, :1], _LOG_DOUBT_RANGE)
        correction = correction[..., :height, :width].float()
        correction = correction + weighted_detail(normalised, gains[:, 1:])
        gate = doubt.detach() / (doubt.detach() + _HALF_OPEN_AT)
        correction = gate * correction * _per_band(self.optical_std)
        mean = from_network_space(optical + correction)
        scale = _bounded_exp(log_scale[..., :height, :width].float(), _LOG_SCALE_RANGE)
        return Encoding(mean, doubt, scale, features)

    def pack(self, residual: Tensor) -> Tensor:
        """Bring a residual or noise (B, 4, H, W) into the denoiser's packed layout."""
        return _pack(_pad(residual))

    def bind(
        self,
        encoding: Encoding,
        sigmas: Sequence[float],
        *,
        films: Films | None = None,
        denoise: Callable[..., Tensor] | None = None,
    ) -> BoundDenoiser:
        """Return the denoiser of packed residuals for these tiles at these noise levels.

        Args:
            encoding: The encoded tiles.
            sigmas: The noise levels.
            films: From :meth:`films` for the same levels, where they are kept.
            denoise: Does what the denoiser's ``forward`` does, faster.
        """
        films = self.films(sigmas) if films is None else films
        return BoundDenoiser(denoise or self.denoiser, encoding.features, films)

    def films(self, sigmas: Sequence[float]) -> Films:
        """Return the films of the denoiser at each noise level above 0, whatever the tile."""
        levels = [sigma for sigma in sigmas if sigma > 0]
        table = self.denoiser.modulation(torch.tensor(levels, device=self.optical_mean.device))
        return {
            sigma: [(gain[i : i + 1], shift[i : i + 1]) for gain, shift in table]
            for i, sigma in enumerate(levels)
        }

    def whitened_residual(self, truth: Tensor, encoding: Encoding) -> Tensor:
        """Return W highpass(truth - mean) / scale, (B, 4, H, W), unit variance on average."""
        detail = highpass(truth - encoding.mean)
        return _mix_bands(self.whitening, detail) / encoding.scale

    def compose(self, encoding: Encoding, packed_residual: Tensor) -> Tensor:
        """Return opt_final = mean + highpass(scale * W^-1 residual), (B, 4, H, W) reflectance."""
        height, width = encoding.mean.shape[-2:]
        residual = F.pixel_shuffle(packed_residual, _PACK)[..., :height, :width].float()
        return encoding.mean + highpass(_mix_bands(self.unwhitening, residual) * encoding.scale)


def _bounded_exp(value: Tensor, log_range: tuple[float, float]) -> Tensor:
    # Bounded by a sigmoid, not a clamp: its slope never vanishes, so a wild step can be undone.
    lowest, highest = log_range
    return (lowest + (highest - lowest) * value.sigmoid()).exp()


def _identity(size: int) -> Tensor:
    """As ``torch.eye``, which on the meta device imports torch's compiler: 1.2 s."""
    return torch.tensor([[float(i == j) for j in range(size)] for i in range(size)])


def _per_band(values: Tensor) -> Tensor:
    return values[:, None, None]


def _mix_bands(matrix: Tensor, tiles: Tensor) -> Tensor:
    return torch.einsum("ij,bjyx->biyx", matrix, tiles)


def _pad(tiles: Tensor) -> Tensor:
    bottom, right = (-tiles.shape[-2]) % _STRIDE, (-tiles.shape[-1]) % _STRIDE
    return F.pad(tiles, (0, right, 0, bottom), mode="reflect") if bottom or right else tiles


def _pack(tiles: Tensor) -> Tensor:
    return F.pixel_unshuffle(tiles, _PACK).contiguous(memory_format=torch.channels_last)
