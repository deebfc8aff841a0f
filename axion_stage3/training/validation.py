"""Validation during training: the gain of the mean over opt_v2, on scenes never trained on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from axion_stage3.statistics.image_quality import psnr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.diffusion.network import GroundingNetwork
    from axion_stage3.training.surrogate_families import ValidationCase

_PSNR_CEILING_DB = 60.0
_PSNR_THAT_COUNTS_DB = 45.0
_PICTURED_FAMILY = "hard"
_N_PICTURED = 6


@dataclass(frozen=True)
class FamilyResult:
    """Mean over groups for one surrogate family.

    Attributes:
        psnr_opt_v2: Of the input, dB.
        psnr_opt_final: Of the result at timesteps 1, dB.
        share_improved: Share of groups whose PSNR rose.
        gain_that_counts: PSNR gained, dB, where above 45 dB counts as 45: an error of 0.006 is
            below the uncertainty of the sensor.
    """

    psnr_opt_v2: float
    psnr_opt_final: float
    share_improved: float
    gain_that_counts: float

    @property
    def gain(self) -> float:
        """PSNR gained, dB."""
        return self.psnr_opt_final - self.psnr_opt_v2


@dataclass(frozen=True)
class ValidationTile:
    """A held-out tile as the network sees and leaves it; arrays are reflectance but for s1 (dB).

    Attributes:
        name: File name.
        s1: (2, H, W).
        opt_v2: (4, H, W).
        opt_final: (4, H, W), at timesteps 1.
        truth: (4, H, W).
    """

    name: str
    s1: np.ndarray
    opt_v2: np.ndarray
    opt_final: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class ValidationResult:
    """Results by family.

    Attributes:
        families: By name.
        tiles: A few tiles of the family ``hard``, one per group, to look at; always the same ones.
    """

    families: dict[str, FamilyResult]
    tiles: tuple[ValidationTile, ...] = ()

    @property
    def score(self) -> float:
        """What the best checkpoint is chosen by: the mean gain over the families that have one."""
        counted = [r.gain_that_counts for name, r in self.families.items() if name != "truth"]
        return float(np.mean(counted))

    def as_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {name: asdict(result) for name, result in self.families.items()}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ValidationResult:
        """Inverse of :meth:`as_document`."""
        return cls(
            {
                name: FamilyResult(**{key: float(value) for key, value in entry.items()})
                for name, entry in document.items()
            }
        )


@torch.no_grad()
def validate(network: GroundingNetwork, cases: Sequence[ValidationCase]) -> ValidationResult:
    """Ground held-out tiles at timesteps 1.

    Args:
        network: Network to judge; its mode is left as it was.
        cases: Held-out tiles with their opt_v2.
    """
    device = network.whitening.device
    figures: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    pictured: dict[str, ValidationTile] = {}
    for case in cases:
        opt_v2 = torch.from_numpy(case.opt_v2)[None].to(device)
        s1 = torch.from_numpy(case.tile.s1)[None].to(device)
        mean = network.encode(opt_v2, s1).mean[0].cpu().numpy()
        pair = (psnr(case.opt_v2, case.tile.truth), psnr(mean, case.tile.truth))
        figures[case.family][case.tile.group].append(
            (min(pair[0], _PSNR_CEILING_DB), min(pair[1], _PSNR_CEILING_DB))
        )
        if case.family == _PICTURED_FAMILY and len(pictured) < _N_PICTURED:
            tile = case.tile
            shown = ValidationTile(tile.name, tile.s1, case.opt_v2, mean, tile.truth)
            pictured.setdefault(tile.group, shown)
    return ValidationResult(
        {name: _family_result(groups) for name, groups in figures.items()},
        tuple(pictured.values()),
    )


def _family_result(groups: dict[str, list[tuple[float, float]]]) -> FamilyResult:
    means = np.array([np.mean(pairs, axis=0) for pairs in groups.values()])
    counted = np.array(
        [np.minimum(pairs, _PSNR_THAT_COUNTS_DB).mean(axis=0) for pairs in groups.values()]
    )
    before, after = means.mean(axis=0)
    return FamilyResult(
        psnr_opt_v2=float(before),
        psnr_opt_final=float(after),
        share_improved=float((means[:, 1] > means[:, 0]).mean()),
        gain_that_counts=float((counted[:, 1] - counted[:, 0]).mean()),
    )
