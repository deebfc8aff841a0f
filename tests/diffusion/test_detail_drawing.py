"""Blurred detail is amplified before more is drawn; sharp detail is left as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from axion_stage3.diffusion.detail_drawing import FINEST_PX, detail_to_add
from axion_stage3.diffusion.highpass import highpass, local_strength, lowpass


def natural(seed: int = 0) -> Tensor:
    """Four bands whose power falls with the square of the frequency, as that of land does."""
    noise = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(seed))
    frequencies = [torch.fft.fftfreq(128)[:, None], torch.fft.rfftfreq(128)[None]]
    radius = sum(f.square() for f in frequencies).sqrt().clamp_min(1 / 128)  # type: ignore[union-attr]
    return torch.fft.irfft2(torch.fft.rfft2(noise) / radius, s=(128, 128))


def added(mean: Tensor, truth: Tensor, residual: Tensor | None = None) -> Tensor:
    """What is added to a mean whose missing detail is foreseen without error."""
    detail, lacking = highpass(mean), highpass(truth - mean)
    spread, strength = (
        x.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp_min(1e-3).expand_as(mean)
        for x in (lacking, highpass(truth))
    )
    scale = 1.0 / strength  # strengths are near 1, as those of whitened detail
    finest = (mean - lowpass(mean, FINEST_PX)) * scale
    residual = torch.zeros_like(mean) if residual is None else residual
    return detail_to_add(residual, detail * scale, finest, spread * scale, scale * strength) / scale


@pytest.mark.parametrize(("blur_px", "share"), [(1.0, 0.95), (1.5, 0.9), (2.0, 0.9)])
def test_blurred_detail_comes_nearer_to_the_truth(blur_px: float, share: float) -> None:
    truth = natural()
    mean = lowpass(truth, blur_px)
    sharpened = mean + highpass(added(mean, truth))
    before, after = ((x - truth).square().mean() for x in (mean, sharpened))
    assert after < share * before


def test_sharp_detail_that_is_too_faint_is_not_amplified() -> None:
    """It may be as wrong as it is faint: nothing says that it is the truth's."""
    truth = natural()
    mean = lowpass(truth, 5.0) + 0.3 * highpass(natural(1))
    assert not added(mean, truth).any()
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(2))
    assert added(mean, truth, noise).std() > 0.3 * highpass(truth).std()


def test_what_lacks_nothing_is_left_alone() -> None:
    blurred = lowpass(natural(), 1.5)
    noise = torch.randn(blurred.shape, generator=torch.Generator().manual_seed(3))
    assert added(blurred, blurred, noise).abs().max() < 1e-3


def test_blurred_detail_that_is_as_strong_as_expected_is_left_alone() -> None:
    mean = lowpass(natural(), 1.5)
    detail, finest = highpass(mean), mean - lowpass(mean, FINEST_PX)
    spread = torch.full_like(mean, 9.0)
    assert not detail_to_add(spread, detail, finest, spread, 0.9 * local_strength(detail)).any()


def test_no_detail_is_amplified_beyond_bounds() -> None:
    mean = lowpass(natural(), 1.5)
    finest, detail = mean - lowpass(mean, FINEST_PX), highpass(mean)
    far = torch.full_like(mean, 1e3)
    change = detail_to_add(torch.zeros_like(mean), detail, finest, far, far)
    bound = 2.0 * (detail + 2.0 * finest)
    assert (change.abs() <= bound.abs() + 1e-5).all()
    assert (change - bound).abs().median() < 1e-5


def test_a_flat_tile_stays_finite() -> None:
    flat, ones = torch.zeros(1, 4, 32, 32), torch.ones(1, 4, 32, 32)
    change = detail_to_add(ones, flat, flat, ones, ones)
    assert bool(change.isfinite().all())
    assert (change > 0).all()


def test_more_is_drawn_where_blurred_detail_stays_too_weak() -> None:
    """Amplified threefold at most, it may be far from what is expected: then draws are doubled."""
    mean = lowpass(natural(), 1.5)
    detail, finest = highpass(mean), mean - lowpass(mean, FINEST_PX)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(4))

    def drawn(strength: Tensor, blurred: Tensor) -> Tensor:
        spread = torch.full_like(mean, 9.0)
        with_noise, without = (
            detail_to_add(x, detail, blurred, spread, strength) for x in (noise, 0.0 * noise)
        )
        return (with_noise - without).square().mean().sqrt()

    present = local_strength(detail)
    for times, least, most in ((2.0, 1.0, 1.05), (20.0, 1.9, 2.0)):
        # As fine as all of the detail: sharp.
        ratio = drawn(times * present, finest) / drawn(times * present, detail)
        assert least - 1e-3 <= float(ratio) <= most + 1e-3
