"""The parts of the network that see a tile once: the encoder, and the head that foresees detail.

The blocks are plain 3x3 convolutions without normalisation layers, in channels-last memory order:
measured fastest on the CPU (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.detail_gains import N_GAINS

PACK = 2
"""The tile is packed so many pixels high and wide into channels; no layer is finer than that."""

_BLOCK_GAIN = 0.5
_GROWTH_LIMIT = 10.0
"""No feature or gain of the way up goes further; on the families of validation they reach 9.4.

Without a bound, bands that are unlike as in no training tile grow from block to block, to a
reflectance of 1800.
"""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network; stored in the checkpoint.

    Attributes:
        widths: Channels at 1/2, 1/4 and 1/8 of the tile's resolution.
        blocks: Residual blocks at 1/2, 1/4, 1/8 (encoder) and 1/4, 1/2 (decoder).
        denoiser_width: Channels of the denoiser, at 1/2 of the tile's resolution.
        denoiser_blocks: Residual blocks of the denoiser.
        equalizer_members: Networks of the equalizer that must agree; 0 for no equalizer.
        gate_members: Networks that calibrate the gate and must agree; 0 for none.
        draw_members: Networks that calibrate how much is drawn and must agree; 0 for none.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    blocks: tuple[int, int, int, int, int] = (1, 2, 3, 2, 1)
    denoiser_width: int = 32
    denoiser_blocks: int = 2
    equalizer_members: int = 5
    gate_members: int = 5
    draw_members: int = 8

    def as_document(self) -> dict[str, object]:
        """Return the sizes as a JSON document."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


class ResidualBlock(nn.Module):
    """x + conv(silu(film(conv(x)))), the identity until the second convolution is initialised.

    Film is a gain and a shift of each channel (FiLM, Perez et al. 2018, eq. 2).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zeroed(nn.Conv2d(width, width, 3, padding=1))

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


def zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """Let a convolution answer 0 until it has learned better; returns it."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


class Encoder(nn.Module):
    """U-shaped encoder of (opt_v2, s1) at 1/2, 1/4 and 1/8 of the tile's resolution."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        down_fine, down_middle, bottom, up_middle, up_fine = config.blocks
        self.stem = nn.Conv2d(6 * PACK**2, fine, 3, padding=1)
        self.down_fine = _blocks(fine, down_fine)
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.down_middle = _blocks(middle, down_middle)
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.bottom = _blocks(coarse, bottom)
        self.from_coarse = nn.ConvTranspose2d(coarse, middle, 2, stride=2)
        self.up_middle = _blocks(middle, up_middle)
        self.from_middle = nn.ConvTranspose2d(middle, fine, 2, stride=2)
        self.up_fine = _blocks(fine, up_fine)
        self.correction = zeroed(nn.Conv2d(fine, 4 * PACK**2, 3, padding=1))
        self.gains = zeroed(nn.Conv2d(middle, 4 + N_GAINS, 3, padding=1))
        _keep_variance(self)

    def reduce_precision(self, dtype: torch.dtype) -> None:
        """Bring the weights into the precision of autocast, so that it casts none at every call.

        With 8 bits its ends stay in float32: what sees the pixels and what weighs detail, where
        rounding makes the largest errors.
        """
        self.to(dtype)
        if dtype == torch.bfloat16:
            self.stem.float()
            self.gains.float()

    def forward(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return correction (B, 4, y, x), doubt with gains (B, 52, y, x), fine, middle features."""
        with torch.autocast(packed.device.type, enabled=False):
            stem = self.stem(packed.to(self.stem.weight.dtype))
        fine = self.down_fine(stem)
        middle = self.down_middle(self.to_middle(fine))
        coarse = _bounded(self.bottom(self.to_coarse(middle)))
        middle = _bounded(self.up_middle(middle + self.from_coarse(coarse)))
        fine = _bounded(self.up_fine(fine + self.from_middle(middle)))
        correction = F.pixel_shuffle(self.correction(fine), PACK)
        # What they weigh is not channels-last: products of the two orders take twice as long.
        with torch.autocast(packed.device.type, enabled=False):
            gains = _bounded(self.gains(middle.to(self.gains.weight.dtype))).contiguous()
        gains = F.interpolate(gains, scale_factor=2.0 * PACK, mode="bilinear")
        return correction, gains, fine, middle


class DetailHead(nn.Module):
    """What the encoder's features tell about detail: how strong it is, and of what kind."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        fine, middle, _ = config.widths
        self.from_fine = nn.Conv2d(fine, fine, 3, padding=1)
        self.from_middle = nn.Conv2d(middle, fine, 3, padding=1)
        self.log_strengths = zeroed(nn.Conv2d(fine, 2 * 4 * PACK**2, 3, padding=1))
        self.condition = nn.Conv2d(fine, config.denoiser_width, 3, padding=1)

    def forward(self, fine: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-strengths (B, 8, y, x) and the condition, packed."""
        coarse = F.interpolate(self.from_middle(middle), scale_factor=float(PACK), mode="bilinear")
        hidden = F.silu(self.from_fine(fine) + coarse)
        return F.pixel_shuffle(self.log_strengths(hidden), PACK), self.condition(hidden)


def _bounded(features: Tensor) -> Tensor:
    return features.clamp(-_GROWTH_LIMIT, _GROWTH_LIMIT)


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
