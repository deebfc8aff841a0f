from __future__ import annotations

import pytest
import torch

from axion_stage3.diffusion.highpass import highpass, lowpass
from axion_stage3.diffusion.network import (
    GroundingNetwork,
    NetworkConfig,
    from_network_space,
    to_network_space,
)

SMALL = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)
SIGMAS = (2.0, 0.5, 0.0)


def untrained() -> GroundingNetwork:
    torch.manual_seed(0)
    return GroundingNetwork(SMALL).eval()


def randomised() -> GroundingNetwork:
    """A network that changes its input: no layer is zero."""
    network = untrained()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def pair(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    opt_v2 = 0.3 * torch.rand(batch, 4, height, width, generator=random)
    return opt_v2, -12 + 4 * torch.randn(batch, 2, height, width, generator=random)


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 33), (100, 100)])
@torch.no_grad()
def test_any_size_keeps_its_shape_and_an_untrained_network_is_the_identity(
    size: tuple[int, int],
) -> None:
    network = untrained()
    opt_v2, s1 = pair(2, *size)
    encoding = network.encode(opt_v2, s1)
    torch.testing.assert_close(encoding.mean, opt_v2, rtol=0, atol=1e-6)
    assert encoding.scale.shape == (2, 1, *size)
    noise = network.pack(torch.randn(2, 4, *size))
    residual = network.bind(encoding, SIGMAS)(noise, 2.0)
    assert network.compose(encoding, residual).shape == opt_v2.shape


@torch.no_grad()
def test_negative_reflectance_survives_network_space() -> None:
    values = torch.tensor([-0.02, 0.0, 1e-6, 0.3, 1.6])
    torch.testing.assert_close(from_network_space(to_network_space(values)), values)


@torch.no_grad()
def test_a_tile_does_not_depend_on_its_batch() -> None:
    network = randomised()
    opt_v2, s1 = pair(5, 40, 48)
    together = network.encode(opt_v2, s1)
    alone = network.encode(opt_v2[3:4], s1[3:4])
    torch.testing.assert_close(together.mean[3:4], alone.mean, rtol=0, atol=1e-5)
    assert (together.mean - opt_v2).abs().max() > 1e-3


@torch.no_grad()
def test_far_from_the_border_a_window_gives_what_the_whole_tile_gives() -> None:
    network = randomised()
    opt_v2, s1 = pair(1, 256, 256)
    whole = network.encode(opt_v2, s1).mean
    window = network.encode(opt_v2[..., 64:256, 64:256], s1[..., 64:256, 64:256]).mean
    inner = slice(64, 128)
    torch.testing.assert_close(
        window[..., inner, inner], whole[..., 128:192, 128:192], rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_detail_never_moves_colour() -> None:
    network = randomised()
    encoding = network.encode(*pair(1, 64, 64))
    strong = network.pack(3 * torch.randn(1, 4, 64, 64))
    change = network.compose(encoding, strong) - encoding.mean
    assert change.abs().mean() > 0.1
    assert lowpass(change).abs().mean() < 0.1 * change.abs().mean()


@torch.no_grad()
def test_composing_the_residual_returns_the_detail_it_was_made_from() -> None:
    network = randomised()
    opt_v2, s1 = pair(1, 64, 64)
    matrix = torch.eye(4) + 0.2
    network.whitening.copy_(matrix)
    network.unwhitening.copy_(matrix.inverse())
    encoding = network.encode(opt_v2, s1)
    truth = encoding.mean + 0.1 * torch.randn(1, 4, 64, 64)
    residual = network.pack(network.whitened_residual(truth, encoding))
    expected = encoding.mean + highpass(highpass(truth - encoding.mean))
    torch.testing.assert_close(network.compose(encoding, residual), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_bound_denoiser_is_the_preconditioned_network() -> None:
    network = randomised()
    encoding = network.encode(*pair(2, 32, 32))
    noisy = network.pack(torch.randn(2, 4, 32, 32))
    sigma = 0.5
    films = network.denoiser.modulation(torch.full((2,), sigma))
    raw = network.denoiser(noisy / (sigma**2 + 1) ** 0.5, films, encoding.features)
    expected = noisy / (sigma**2 + 1) + raw * sigma / (sigma**2 + 1) ** 0.5
    torch.testing.assert_close(network.bind(encoding, SIGMAS)(noisy, sigma), expected)


def test_the_blur_keeps_constants_and_removes_noise() -> None:
    constant = torch.full((1, 2, 40, 20), 0.7)
    torch.testing.assert_close(lowpass(constant), constant)
    noise = torch.randn(1, 1, 128, 128)
    # A Gaussian of 4 px keeps a share 1/(4 pi 16) of white noise's variance.
    assert lowpass(noise).var().item() == pytest.approx(1 / (4 * torch.pi * 16), rel=0.25)
