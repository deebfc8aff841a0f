from __future__ import annotations

import numpy as np
import torch

from axion_stage3.diffusion.gate_calibration import (
    N_GATE_FIGURES,
    GateCalibration,
    gate_figures,
)
from axion_stage3.diffusion.highpass import BAND_SIGMAS_PX, lowpass


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
