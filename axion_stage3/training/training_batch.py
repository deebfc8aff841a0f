"""Batches of crops: true pairs, varied, with a surrogate opt_v2 or a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from axion_stage3.training.augmentation import MARGIN_FACTOR, TruePair, in_other_light, vary
from axion_stage3.training.random_fields import centre_crop

if TYPE_CHECKING:
    from axion_stage3.training.dataset import Crops, TileSet
    from axion_stage3.training.stage2_surrogates import Surrogate


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


def sample_pairs(
    tiles: TileSet,
    batch: int,
    crop_px: int,
    variation: Literal["light", "all"],
    random: torch.Generator,
) -> tuple[Crops, TruePair]:
    """Sample crops as they are, perhaps larger than needed, and make of them what variation does.

    Args:
        tiles: Training tiles.
        batch: Number of crops.
        crop_px: Height and width of the pairs.
        variation: Light and radar level alone, or shape, detail and colours as well.
        random: Source of randomness, on the same device as the tiles.
    """
    if variation == "light":
        crops = tiles.sample(batch, crop_px, random)
        return crops, TruePair(*in_other_light(crops.truth, crops.s1, random), crops.generated)
    wide_px = min(round(MARGIN_FACTOR * crop_px), tiles.smallest_px)
    crops = tiles.sample(batch, wide_px, random)
    return crops, vary(crops, crop_px, random)


def batch_of(crops: Crops, pair: TruePair, surrogate: Surrogate) -> TrainingBatch:
    """Take the surrogates, but real Stage 2 outputs where there are some.

    These go with the truth and the radar as they were, not as varied.
    """
    is_real = crops.has_opt_v2[:, None, None, None]
    height, width = pair.truth.shape[-2:]

    def real_or(real: Tensor, simulated: Tensor) -> Tensor:
        return torch.where(is_real, centre_crop(real, height, width), simulated)

    return TrainingBatch(
        truth=real_or(crops.truth, pair.truth),
        mendable=real_or(crops.truth, surrogate.mendable),
        opt_v2=real_or(crops.opt_v2, surrogate.opt_v2),
        s1=real_or(crops.s1, pair.s1),
    )
