from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.gate_calibration import (
    N_GATE_FIGURES,
    GateCalibration,
    gate_figures,
)
from axion_stage3.diffusion.highpass import BAND_SIGMAS_PX, lowpass
from axion_stage3.tiles.tile_loading import load_optical, load_radar

if TYPE_CHECKING:
    from axion_stage3.diffusion.network import GroundingNetwork

TILES = Path(__file__).parents[2] / "examples" / "tiles"


def examples(folder: str) -> list[torch.Tensor]:
    load = load_radar if folder == "s1" else load_optical
    paths = sorted((TILES / folder).glob("*.npz"))
    return [torch.from_numpy(load(path))[None] for path in paths]


def error(
    network: GroundingNetwork, opt_v2: torch.Tensor, s1: torch.Tensor, truth: torch.Tensor
) -> float:
    """Mean over the decibels of each band's error."""
    mean = network.encode(opt_v2, s1).mean
    squared = (mean - truth).square().mean(dim=(2, 3)).clamp_min(1e-8)
    return float(10 * squared.log10().mean())


@torch.no_grad()
def test_the_bundled_one_spares_what_is_right() -> None:
    calibrated, without = load_checkpoint().network, load_checkpoint().network
    without.drop_gate_calibration()
    tiles = (examples(folder) for folder in ("truth", "opt_v2", "s1"))
    spared, of_one_band = [], []
    for truth, opt_v2, s1 in zip(*tiles, strict=True):
        green_alone = truth.clone()
        green_alone[:, 1] = opt_v2[:, 1]
        for gains, tile in ((spared, truth), (of_one_band, green_alone)):
            before, after = (error(n, tile, s1, truth) for n in (without, calibrated))
            gains.append(before - after)
    assert np.mean(spared) > 2.0
    assert np.mean(of_one_band) > 0.5


@torch.no_grad()
def test_without_training_all_of_the_correction_is_taken() -> None:
    correction, optical = torch.randn(2, 1, 4, 40, 56)
    assert torch.equal(GateCalibration(3)(correction, optical, optical.exp()), correction)


@torch.no_grad()
def test_from_none_to_twice_of_the_correction_is_taken() -> None:
    calibration = GateCalibration(2)
    calibration.biases[-1][..., :] = torch.tensor([-9.0, -0.5, 0.25, 9.0])
    correction, optical = torch.randn(2, 1, 4, 33, 47)
    shares = torch.tensor([0.0, 0.5, 1.25, 2.0])[:, None, None]
    taken = calibration(correction, optical, optical.exp())
    torch.testing.assert_close(taken, shares * correction, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_figures_tell_how_strong_a_correction_is_and_what_it_does() -> None:
    random = torch.Generator().manual_seed(0)
    optical = torch.randn(1, 4, 64, 96, generator=random)
    detail = optical - lowpass(optical, BAND_SIGMAS_PX[-1])
    shares = torch.tensor([-1.0, -0.5, 0.5, 2.0])[:, None, None]
    doubt = torch.full_like(optical, 0.3)
    found = gate_figures(shares * detail, optical, doubt)
    assert found.shape == (1, 4, 6, N_GATE_FIGURES)
    level, beside, foreseen, alike = found.unflatten(-1, (4, 4)).unbind(dim=-2)
    logarithms = shares.abs().log().flatten()
    torch.testing.assert_close(beside, logarithms.expand_as(beside), rtol=0.0, atol=1e-4)
    strength = detail.square().mean(dim=(2, 3)).log() / 2 + logarithms
    torch.testing.assert_close(level, strength.expand_as(level), rtol=0.0, atol=0.1)
    signs = shares.sign().flatten()
    torch.testing.assert_close(alike, signs.expand_as(alike), rtol=0.0, atol=1e-3)
    expected = torch.full_like(foreseen, float(np.log(0.3)))
    torch.testing.assert_close(foreseen, expected, rtol=0.0, atol=1e-4)
