"""Families of Stage 2 surrogates for whole tiles: what a model is validated on.

Each family answers another question: does the model mend bad tiles (hard), does it leave good ones
alone (mild, truth), does it see through faults of one kind (generator, blurred, speckled), and
does it generalise to a kind of fault that training never shows (retrieved).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.network import from_network_space, to_network_space
from axion_stage3.training.radar_generator import N_DRAWS, draw_for_tile
from axion_stage3.training.random_fields import (
    gaussian_blur,
    gaussian_highpass,
    normal,
    smooth_field,
    uniform,
)
from axion_stage3.training.stage2_faults import UNTRACEABLE_FAULTS
from axion_stage3.training.stage2_surrogates import apply_faults
from axion_stage3.training.surrogate_scene import SurrogateScene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from axion_stage3.training.dataset import TrainingTile
    from axion_stage3.training.radar_generator import RadarGenerator

_PATCH_PX: Final = 16
_STRIDE_PX: Final = 8
_N_NEAREST: Final = 8
_MOST_PATCHES: Final = 4000
_CAST: Final = 0.5
"""Casts of colour at half strength: Stage 2 is right in the low frequencies, or nearly so."""

_FAULTS_OF_MANY: Final = (
    "tone_curve",
    "uneven_cast",
    "colour_cast",
    "generated_scene",
    "replaced_regions",
    "invented_detail",
    "borrowed_detail",
    "moved_edges",
    "misregistered",
    "over_smoothing",
    "missing_edges",
    "coarse_grid",
    "detail_gain",
    "leaked_speckle",
    "patch_seams",
    "coloured_noise",
)
"""What the families of many faults draw from, in this order: one more would move all figures."""


def _only(name: str, strength: float) -> Callable[[torch.Generator], dict[str, Tensor]]:
    return lambda _random: {name: torch.tensor([strength])}


def _several(
    low: float, high: float, switch_on: float, always: tuple[str, ...]
) -> Callable[[torch.Generator], dict[str, Tensor]]:
    def strengths(random: torch.Generator) -> dict[str, Tensor]:
        severity = float(uniform((1,), low, high, random))
        chosen = {}
        for name in _FAULTS_OF_MANY:
            is_on = float(uniform((1,), 0.0, 1.0, random)) < switch_on
            share = uniform((1,), 0.5, 1.0, random)
            if is_on or name in always:
                chosen[name] = severity * share * (_CAST if name in UNTRACEABLE_FAULTS else 1.0)
        return chosen

    return strengths


_RECIPES: Final[dict[str, Callable[[torch.Generator], dict[str, Tensor]]]] = {
    "hard": _several(0.6, 1.0, 0.45, ("invented_detail", "colour_cast")),
    "mixed": _several(0.0, 1.0, 0.22, ("invented_detail",)),
    "mild": _several(0.02, 0.12, 0.25, ("invented_detail",)),
    "generator": _only("generated_scene", 1.0),
    "blurred": _only("over_smoothing", 1.0),
    "speckled": _only("leaked_speckle", 1.0),
    "truth": lambda _random: {},
}

FAMILIES: Final = (*_RECIPES, "retrieved")
"""Names of the families; ``retrieved`` is used in evaluation only and never in training."""


@dataclass(frozen=True)
class ValidationCase:
    """A held-out tile with the opt_v2 of one family.

    Attributes:
        family: Name of the surrogate family.
        tile: Truth and radar.
        opt_v2: (4, H, W) float32, reflectance.
    """

    family: str
    tile: TrainingTile
    opt_v2: np.ndarray


def validation_cases(
    val: Sequence[TrainingTile],
    donors: Sequence[TrainingTile],
    generators: Sequence[RadarGenerator],
    families: Sequence[str],
) -> Iterator[ValidationCase]:
    """Make the opt_v2 of each held-out tile for each family; the draws are made once per tile.

    Args:
        val: Held-out tiles.
        donors: Training tiles, material for borrowed detail.
        generators: Trained on training tiles only.
        families: Names from ``FAMILIES``.
    """
    for number, tile in enumerate(val):
        generated = draw_for_tile(generators[number % len(generators)], tile, N_DRAWS)
        for family in families:
            yield ValidationCase(family, tile, surrogate_tile(family, tile, donors, generated))


def surrogate_tile(
    family: str,
    tile: TrainingTile,
    donors: Sequence[TrainingTile],
    generated: np.ndarray,
) -> np.ndarray:
    """Make the opt_v2 of a whole tile.

    Args:
        family: One of ``FAMILIES``.
        tile: Truth and radar.
        donors: Training tiles, material for borrowed detail; the tile itself may be one of them.
        generated: (variants, 4, H, W), draws of a generator that never saw the tile's group.

    Returns:
        (4, H, W) float32, reflectance; depends only on the arguments.
    """
    key = hashlib.blake2b(f"{family}/{tile.name}".encode(), digest_size=7).digest()
    random = torch.Generator().manual_seed(int.from_bytes(key, "little"))
    height, width = tile.truth.shape[1:]
    donor = donors[int(uniform((1,), 0, len(donors) - 1e-3, random))]
    variant = int(uniform((1,), 0, len(generated) - 1e-3, random))
    scene = SurrogateScene(
        truth=to_network_space(torch.from_numpy(tile.truth)[None]),
        s1=torch.from_numpy(tile.s1)[None],
        generated=torch.from_numpy(generated[variant])[None],
        donor=to_network_space(_fit(torch.from_numpy(donor.truth)[None], height, width)),
    )
    if family == "retrieved":
        result = from_network_space(_retrieved(scene, donors, random))
    else:
        result = apply_faults(scene, _RECIPES[family](random), random).opt_v2
    return np.ascontiguousarray(result[0].numpy())


def _fit(tile: Tensor, height: int, width: int) -> Tensor:
    """Cut or mirror a tile to a size."""
    while tile.shape[-2] < height or tile.shape[-1] < width:
        bottom = min(tile.shape[-2] - 1, max(0, height - tile.shape[-2]))
        right = min(tile.shape[-1] - 1, max(0, width - tile.shape[-1]))
        tile = F.pad(tile, (0, right, 0, bottom), mode="reflect")
    return tile[..., :height, :width]


def _retrieved(
    scene: SurrogateScene, donors: Sequence[TrainingTile], random: torch.Generator
) -> Tensor:
    """A tile quilted from the detail of other places whose radar looks alike.

    Each 16 px patch, half overlapping its neighbours, takes the optical detail of one of the
    nearest patches by radar statistics; colour comes from a blurred and slightly wrong truth.
    """
    cutoff = uniform((1,), 4.0, 9.0, random)
    bank_keys, bank_patches = _patch_bank(donors, cutoff, random)
    height, width = scene.truth.shape[-2:]
    keys, _ = _patches(scene.s1, scene.truth)
    nearest = torch.cdist(keys, bank_keys).topk(_N_NEAREST, largest=False).indices
    pick = uniform((nearest.shape[0], 1), 0, _N_NEAREST - 1e-3, random).long()
    chosen = bank_patches[nearest.gather(1, pick)[:, 0]]
    quilt = _quilt(chosen, height, width)
    drift = smooth_field((1, 4, height, width), torch.tensor([20.0]), random)
    cast = 0.01 * (drift + normal((1, 4, 1, 1), random))
    return gaussian_blur(scene.truth, cutoff) + cast + quilt


def _quilt(patches: Tensor, height: int, width: int) -> Tensor:
    """Blend patches at half-overlapping places; weights are scaled to keep the detail's power."""
    ramp = torch.hann_window(_PATCH_PX + 2, periodic=False)[1:-1]
    window = ramp[:, None] * ramp
    size = tuple(_whole_strides(length) for length in (height, width))

    def fold(values: Tensor) -> Tensor:
        columns = values.flatten(1).T[None]
        return F.fold(columns, size, _PATCH_PX, stride=_STRIDE_PX)

    power = fold(window.square().expand(len(patches), 1, _PATCH_PX, _PATCH_PX))
    blended = fold(patches * window) / power.sqrt().clamp_min(1e-3)
    return blended[..., :height, :width]


def _whole_strides(length: int) -> int:
    return max(_PATCH_PX, -(-length // _STRIDE_PX) * _STRIDE_PX)


def _patches(s1: Tensor, optical: Tensor) -> tuple[Tensor, Tensor]:
    """Radar statistics (N, 4) and optical patches (N, 4, 16, 16) of a tile."""
    size = [_whole_strides(length) for length in s1.shape[-2:]]
    s1, optical = _fit(s1, *size), _fit(optical, *size)
    mean = F.avg_pool2d(s1, _PATCH_PX, stride=_STRIDE_PX)
    square = F.avg_pool2d(s1.square(), _PATCH_PX, stride=_STRIDE_PX)
    spread = (square - mean.square()).clamp_min(0).sqrt()
    keys = torch.cat([mean, 2 * spread], dim=1).flatten(2)[0].T
    cut = F.unfold(optical, _PATCH_PX, stride=_STRIDE_PX)[0].T
    return keys, cut.reshape(-1, 4, _PATCH_PX, _PATCH_PX)


def _patch_bank(
    donors: Sequence[TrainingTile], cutoff_px: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    keys, patches = zip(
        *(
            _patches(
                torch.from_numpy(donor.s1)[None],
                gaussian_highpass(to_network_space(torch.from_numpy(donor.truth)[None]), cutoff_px),
            )
            for donor in donors
        ),
        strict=True,
    )
    all_keys, all_patches = torch.cat(keys), torch.cat(patches)
    kept = torch.randperm(len(all_keys), generator=random)[:_MOST_PATCHES]
    return all_keys[kept], all_patches[kept]
