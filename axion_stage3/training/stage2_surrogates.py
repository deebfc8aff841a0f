"""Stage 2 surrogates: plausible but wrong optical tiles, made from the truth and the radar.

Real Stage 2 outputs are not to be had for training, so their faults are simulated (see
``stage2_faults.py``). One severity per sample, from nothing to everything, scales all its faults,
and a switch per fault decides which there are: a network that always sees strong faults "corrects"
good tiles. In half of the samples each band has its own share of them, and in a fifth they are in
regions only: a network that never sees a right band beside a wrong one trusts both or neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from axion_stage3.diffusion.network import from_network_space, to_network_space
from axion_stage3.training.random_fields import region_mask, uniform
from axion_stage3.training.stage2_faults import FAULTS, TRACEABLE_FAULTS, UNTRACEABLE_FAULTS
from axion_stage3.training.surrogate_scene import Fault, SurrogateScene

_SHARE_UNEQUAL_BANDS = 0.5
_SHARE_REGIONAL = 0.2


@dataclass(frozen=True)
class Surrogate:
    """A simulated Stage 2 output, (B, 4, H, W), reflectance.

    Attributes:
        opt_v2: With all its faults.
        mendable: With the untraceable faults alone: what a perfect network could make of opt_v2.
    """

    opt_v2: Tensor
    mendable: Tensor


def apply_faults(
    scene: SurrogateScene, strengths: dict[str, Tensor], random: torch.Generator
) -> Surrogate:
    """Apply faults in turn to the truth, the untraceable ones first.

    Args:
        scene: Truth, radar and material for faults.
        strengths: For each fault by name: (B,), 0..1; a fault that is not named is not applied.
        random: Source of randomness.
    """
    mendable = _apply(UNTRACEABLE_FAULTS, scene.truth, scene, strengths, random)
    opt_v2 = _apply(TRACEABLE_FAULTS, mendable, scene, strengths, random)
    return Surrogate(from_network_space(opt_v2), from_network_space(mendable))


def _apply(
    faults: dict[str, Fault],
    x: Tensor,
    scene: SurrogateScene,
    strengths: dict[str, Tensor],
    random: torch.Generator,
) -> Tensor:
    for name, fault in faults.items():
        strength = strengths.get(name)
        if strength is not None and bool((strength > 0).any()):
            x = fault(x, scene, strength, random)
    return x


def training_surrogate(
    scene: SurrogateScene,
    random: torch.Generator,
    *,
    left_out: frozenset[str] = frozenset(),
    share_untouched: float = 0.1,
    emphasis: float = 0.0,
) -> Surrogate:
    """Make the opt_v2 of a training batch: one severity per sample, a switch per fault.

    Args:
        scene: Truth, radar and material for faults.
        random: Source of randomness.
        left_out: Faults never used (leave-one-family-out validation).
        share_untouched: Share of samples whose opt_v2 is the truth.
        emphasis: 1 for many strong faults in every sample, as at the beginning of training, where
            rare and weak ones teach nothing but to leave every tile alone; 0 for the full range.
    """
    batch = (scene.truth.shape[0],)
    severity = uniform(batch, 0.5 * emphasis, 1.0, random)
    is_untouched = uniform(batch, 0.0, 1.0, random) < share_untouched * (1 - emphasis)
    severity = torch.where(is_untouched, 0.0, severity)
    # From a single fault, whose mark can be learned, to many at once.
    switch_on = uniform(batch, 0.04 + 0.16 * emphasis, 0.28 + 0.16 * emphasis, random)
    strengths = {}
    for name in FAULTS:
        is_on = uniform(batch, 0.0, 1.0, random) < switch_on
        strength = severity * uniform(batch, 0.3, 1.0, random)
        if name not in left_out:
            strengths[name] = torch.where(is_on, strength, 0.0)
    return spoiled(scene, strengths, random)


def spoiled(
    scene: SurrogateScene, strengths: dict[str, Tensor], random: torch.Generator
) -> Surrogate:
    """Apply faults as :func:`apply_faults` does, to some bands or regions only in some samples."""
    whole = apply_faults(scene, strengths, random)
    share = _faulty_share(scene.truth, random)
    return Surrogate(torch.lerp(whole.mendable, whole.opt_v2, share), whole.mendable)


def _faulty_share(x: Tensor, random: torch.Generator) -> Tensor:
    """How much of the faults each band has, (B, 4, H, W), 0..1; in some samples in regions only."""
    batch = x.shape[0]
    of_band = uniform((batch, 4, 1, 1), -0.25, 1.25, random).clamp(0.0, 1.0)
    differs = uniform((batch, 1, 1, 1), 0.0, 1.0, random) < _SHARE_UNEQUAL_BANDS
    is_regional = uniform((batch, 1, 1, 1), 0.0, 1.0, random) < _SHARE_REGIONAL
    of_place = torch.where(is_regional, region_mask(x, random), 1.0)
    return torch.where(differs, of_band, 1.0) * of_place


def scene_of(
    truth: Tensor, s1: Tensor, generated: Tensor, random: torch.Generator
) -> SurrogateScene:
    """Gather the material of faults for a batch; the donors are other crops of the batch."""
    optical = to_network_space(truth)
    shift = 1 + int(uniform((1,), 0.0, max(1, truth.shape[0] - 1), random))
    return SurrogateScene(optical, s1, generated, optical.roll(shift, dims=0))
