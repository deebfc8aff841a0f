"""How strong the drawn detail is: no stronger than what is missing."""

from __future__ import annotations

import torch
from torch import Tensor

from axion_stage3.diffusion.detail_drawing import strength_to_draw
from axion_stage3.diffusion.highpass import highpass, local_strength


def detail() -> Tensor:
    return highpass(torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0)))


def test_nothing_is_drawn_where_all_that_is_expected_is_there() -> None:
    present = local_strength(detail())
    far = torch.full_like(present, 9.0)
    assert not strength_to_draw(detail(), far, 0.9 * present).any()


def test_no_more_is_drawn_than_is_missing() -> None:
    present = local_strength(detail())
    far = torch.full_like(present, 99.0)
    # Of twice the strength that is there, three quarters of the power are missing.
    expected = 0.75**0.5 * 2.0 * present
    drawn = strength_to_draw(detail(), far, 2.0 * present)
    torch.testing.assert_close(drawn, expected, rtol=1e-3, atol=0.0)


def test_no_more_is_drawn_than_the_mean_is_expected_to_lack() -> None:
    present = local_strength(detail())
    for spread in (2.0, 5.0):
        drawn = strength_to_draw(detail(), torch.full_like(present, spread), 99.0 * present)
        assert torch.equal(drawn, torch.full_like(present, spread))


def test_a_flat_tile_stays_finite() -> None:
    flat, ones = torch.zeros(1, 4, 32, 32), torch.ones(1, 4, 32, 32)
    drawn = strength_to_draw(flat, ones, ones)
    assert bool(drawn.isfinite().all())
    assert (drawn > 0).all()
