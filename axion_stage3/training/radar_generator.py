"""Radar-to-optical generators: what Stage 1 and 2 do, in small, to make plausible wrong detail.

A generator draws an optical tile from the radar and from its coarse colours (a strong blur of the
truth: Stage 2 gets those about right). It is trained with the energy score (Gneiting and Raftery
2007, eq. 22) on small patches, so that its draws are as sharp and as varied as the truth without
agreeing with it. The generators are cross-fitted by group: each tile gets
draws from a generator that never saw its group, since one that did would remember the right answer.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from axion_stage3.atomic_write import write_bytes
from axion_stage3.diffusion.encoder import ResidualBlock
from axion_stage3.diffusion.network import channels_last, to_network_space
from axion_stage3.errors import CheckpointError
from axion_stage3.training.dataset import TileSet
from axion_stage3.training.random_fields import gaussian_blur, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from axion_stage3.training.dataset import TrainingTile

N_NOISE_BANDS: Final = 4
N_FOLDS: Final = 2
_PATCH_PX = 6
_COARSE_SIGMA_PX: Final = (6.0, 24.0)
_RADAR_MEAN_DB = (-11.8, -18.2)
_RADAR_STD_DB = 5.0
_OPTICAL_MEAN, _OPTICAL_STD = 0.3, 0.1
_FINE_WIDTH, _COARSE_WIDTH = 40, 80


class DrawCounts(NamedTuple):
    """How many optical tiles a generator draws from one radar tile.

    Attributes:
        sharp: Single draws: sharp, inventing detail.
        smooth: Means over eight draws: smooth, copying the radar.
    """

    sharp: int = 3
    smooth: int = 1


N_DRAWS: Final = DrawCounts()


class RadarGenerator(nn.Module):
    """(s1, coarse colours, noise) -> optical tile; a two-level U-shaped network."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d((2 + 4 + N_NOISE_BANDS) * 4, _FINE_WIDTH, 3, padding=1)
        self.fine_in = ResidualBlock(_FINE_WIDTH)
        self.down = nn.Conv2d(_FINE_WIDTH, _COARSE_WIDTH, 4, stride=4)
        self.coarse = nn.Sequential(*(ResidualBlock(_COARSE_WIDTH) for _ in range(3)))
        self.up = nn.ConvTranspose2d(_COARSE_WIDTH, _FINE_WIDTH, 4, stride=4)
        self.fine_out = ResidualBlock(_FINE_WIDTH)
        self.leave = nn.Conv2d(_FINE_WIDTH, 16, 3, padding=1)

    def forward(self, s1: Tensor, coarse: Tensor, noise: Tensor) -> Tensor:
        """Draw tiles.

        Args:
            s1: (B, 2, H, W), dB; H, W divisible by 8.
            coarse: (B, 4, H, W), blurred truth, network space.
            noise: (B, N_NOISE_BANDS, H, W), standard normal.

        Returns:
            (B, 4, H, W) in network space.
        """
        mean = torch.tensor(_RADAR_MEAN_DB, device=s1.device)[:, None, None]
        radar = ((s1 - mean) / _RADAR_STD_DB).clamp(-5, 5)
        colours = (coarse - _OPTICAL_MEAN) / _OPTICAL_STD
        packed = F.pixel_unshuffle(torch.cat([radar, colours, noise], dim=1), 2)
        packed = packed.contiguous(memory_format=torch.channels_last)
        fine = self.fine_in(self.enter(packed))
        fine = self.fine_out(fine + self.up(self.coarse(self.down(fine))))
        detail: Tensor = F.pixel_shuffle(self.leave(fine), 2)
        return coarse + _OPTICAL_STD * detail


def energy_score(first: Tensor, second: Tensor, truth: Tensor) -> Tensor:
    """Energy score of two independent draws over small patches: E|X - t| - E|X - X'| / 2.

    Args:
        first: A draw, (B, 4, H, W).
        second: Another draw from the same radar.
        truth: What was there.

    Returns:
        Scalar; least when the draws follow the distribution of the truth.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        squared = (a - b).square().sum(dim=1, keepdim=True)
        return (F.avg_pool2d(squared, _PATCH_PX, stride=_PATCH_PX // 2) + 1e-6).sqrt().mean()

    accuracy = 0.5 * (distance(first, truth) + distance(second, truth))
    return accuracy - 0.5 * distance(first, second)


def fit_generators(
    tiles: Sequence[TrainingTile],
    *,
    n_steps: int,
    batch: int,
    crop_px: int,
    seed: int,
    device: torch.device,
    autocast: Callable[[], torch.autocast],
    on_step: Callable[[float], None] = lambda _progress: None,
) -> list[RadarGenerator]:
    """Train two generators, each on one half of the groups.

    Args:
        tiles: Training tiles only.
        n_steps: Steps for each generator.
        batch: Crops per step.
        crop_px: Height and width of a crop, a multiple of 8; no tile is smaller.
        seed: Of initialisation, crops and noise.
        device: Where to train.
        autocast: Makes the mixed-precision context.
        on_step: Called after each step with the share of all steps done.

    Returns:
        Generator k, trained on the groups of the fold that is not k (see :func:`fold_of`).
    """
    folds = fold_of(tiles)
    generators = []
    for fold in range(N_FOLDS):
        held_in = [t for t in tiles if folds[t.group] != fold] or list(tiles)
        empty = [np.zeros((1, *t.truth.shape), np.float32) for t in held_in]
        tile_set = TileSet(held_in, empty, device)
        random = torch.Generator(device=device).manual_seed(seed * 2 + fold)
        torch.manual_seed(seed * 2 + fold)
        network = channels_last(RadarGenerator().to(device))
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=n_steps)
        for step in range(n_steps):
            crops = tile_set.sample(batch, crop_px, random)
            noise = torch.randn(
                2 * batch, N_NOISE_BANDS, crop_px, crop_px, generator=random, device=device
            )
            truth = to_network_space(crops.truth)
            coarse = gaussian_blur(truth, uniform((batch,), *_COARSE_SIGMA_PX, random))
            with autocast():
                draws = network(crops.s1.repeat(2, 1, 1, 1), coarse.repeat(2, 1, 1, 1), noise)
            first, second = draws.float().chunk(2)
            loss = energy_score(first, second, truth)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            on_step((fold + (step + 1) / n_steps) / N_FOLDS)
        generators.append(network.eval())
    return generators


def fold_of(tiles: Sequence[TrainingTile]) -> dict[str, int]:
    """Deal the groups onto two folds: alternately, by name."""
    return {group: k % N_FOLDS for k, group in enumerate(sorted({tile.group for tile in tiles}))}


@torch.no_grad()
def draw_for_tile(generator: RadarGenerator, tile: TrainingTile, n_draws: DrawCounts) -> np.ndarray:
    """Draw optical tiles that depend only on the generator and the tile.

    Args:
        generator: A trained generator that never saw the tile's group.
        tile: Radar, coarse colours and the name that seeds the noise.
        n_draws: How many of each kind.

    Returns:
        (sharp + smooth, 4, H, W) float32, network space; the sharp ones first.
    """
    device = next(generator.parameters()).device
    key = hashlib.blake2b(tile.name.encode(), digest_size=6).digest()
    random = torch.Generator().manual_seed(int.from_bytes(key, "little"))
    height, width = tile.s1.shape[1:]
    bands = np.concatenate([tile.s1, tile.truth])[None]
    padded = F.pad(torch.from_numpy(bands), (0, -width % 8, 0, -height % 8), mode="reflect")
    s1, truth = padded[:, :2].to(device), to_network_space(padded[:, 2:])

    def one() -> Tensor:
        coarse = gaussian_blur(truth, uniform((1,), *_COARSE_SIGMA_PX, random)).to(device)
        noise = torch.randn(1, N_NOISE_BANDS, *padded.shape[-2:], generator=random)
        drawn: Tensor = generator(s1, coarse, noise.to(device))
        return drawn[0, :, :height, :width].float()

    sharp = [one() for _ in range(n_draws.sharp)]
    smooth = [torch.stack([one() for _ in range(8)]).mean(0) for _ in range(n_draws.smooth)]
    return np.asarray(torch.stack(sharp + smooth).cpu().numpy(), np.float32)


def write_generators(generators: Sequence[RadarGenerator], path: Path) -> None:
    """Store generators in half precision, atomically."""
    from safetensors.torch import save

    state = {
        f"{number}.{name}": value.detach().cpu().half().contiguous()
        for number, generator in enumerate(generators)
        for name, value in generator.state_dict().items()
    }
    write_bytes(path, save(state))


def read_generators(path: Path, device: torch.device | None = None) -> list[RadarGenerator]:
    """Read what :func:`write_generators` stored.

    Raises:
        CheckpointError: Missing, or not such a file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(path.read_bytes())
        generators = []
        for number in range(N_FOLDS):
            generator = RadarGenerator()
            prefix = f"{number}."
            weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            generator.load_state_dict(weights)
            generators.append(generator.eval().to(device or "cpu"))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"The surrogate generators cannot be read from {path}: {error}.",
            hint="Delete the file to train them anew, or install the package again.",
            path=path,
        ) from error
    return generators
