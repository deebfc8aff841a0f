from __future__ import annotations

import math

import pytest
import torch

from axion_stage3.diffusion.detail_gains import N_GAINS, weighted_detail
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.highpass import (
    BAND_SIGMAS_PX,
    SIGMA_PX,
    detail_bands,
    highpass,
    local_strength,
    lowpass,
)
from axion_stage3.diffusion.network import GroundingNetwork, from_network_space, to_network_space

SMALL = NetworkConfig(
    widths=(8, 8, 8),
    blocks=(1, 1, 1, 1, 1),
    denoiser_width=8,
    denoiser_blocks=1,
    equalizer_members=0,  # these have tests of their own
    gate_members=0,
    draw_members=0,
)
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
    expected = network.expect_detail(encoding)
    assert expected.spread.shape == expected.strength.shape == (2, 4, *size)
    noise = network.pack(torch.randn(2, 4, *size))
    residual = network.bind(expected, SIGMAS)(noise, 2.0)
    assert network.compose(expected, residual).shape == opt_v2.shape


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
    expected = network.expect_detail(network.encode(*pair(1, 64, 64)))
    expected = expected._replace(spread=9 * expected.spread, strength=9 * expected.strength)
    strong = network.pack(3 * torch.randn(1, 4, 64, 64))
    change = network.compose(expected, strong) - expected.mean
    assert change.abs().mean() > 0.1
    assert lowpass(change).abs().mean() < 0.1 * change.abs().mean()


@torch.no_grad()
def test_composing_the_residual_returns_the_detail_it_was_made_from() -> None:
    network = randomised()
    opt_v2, s1 = pair(1, 64, 64)
    matrix = torch.eye(4) + 0.2
    network.whitening.copy_(matrix)
    network.unwhitening.copy_(matrix.inverse())
    drawn = 20.0  # as long as that much is missing
    spread = torch.full((1, 4, 64, 64), drawn)
    given = network.expect_detail(network.encode(opt_v2, s1))
    given = given._replace(spread=spread, strength=1e4 * spread)
    truth = given.mean + 0.1 * torch.randn(1, 4, 64, 64)
    residual = network.pack(network.whitened_detail(truth - given.mean) / drawn)
    expected = given.mean + highpass(highpass(truth - given.mean))
    torch.testing.assert_close(network.compose(given, residual), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_local_strength_is_a_root_mean_square() -> None:
    noise = 0.3 * torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(2))
    strength = local_strength(noise)
    assert strength.square().mean().item() == pytest.approx(0.09, rel=0.05)
    assert strength.std() < 0.05


@torch.no_grad()
def test_the_bound_denoiser_is_the_preconditioned_network() -> None:
    network = randomised()
    expected_detail = network.expect_detail(network.encode(*pair(2, 32, 32)))
    noisy = network.pack(torch.randn(2, 4, 32, 32))
    sigma = 0.5
    films = network.denoiser.modulation(torch.full((2,), sigma))
    raw = network.denoiser(noisy / (sigma**2 + 1) ** 0.5, films, expected_detail.features)
    expected = noisy / (sigma**2 + 1) + raw * sigma / (sigma**2 + 1) ** 0.5
    torch.testing.assert_close(network.bind(expected_detail, SIGMAS)(noisy, sigma), expected)


@torch.no_grad()
def test_the_gate_closes_where_nothing_speaks_against_opt_v2() -> None:
    network = randomised()
    opt_v2, s1 = pair(1, 32, 32)
    changes = {}
    for bias in (-100.0, 100.0):
        assert network.encoder.gains.bias is not None
        network.encoder.gains.bias[:4] = bias
        encoding = network.encode(opt_v2, s1)
        change = to_network_space(encoding.mean) - to_network_space(opt_v2)
        gate = encoding.doubt / (encoding.doubt + 0.1)
        changes[bias] = change / gate
        assert gate.std() < 1e-6
        assert change.abs().max() > 1e-4
    # Half open at a predicted error of 0.1, between e^-6 and e^0.5 standard deviations.
    torch.testing.assert_close(changes[-100.0], changes[100.0], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_each_band_has_a_gate_of_its_own() -> None:
    network = randomised()
    opt_v2, s1 = pair(1, 32, 32)
    opened = network.encode(opt_v2, s1)
    assert network.encoder.gains.bias is not None
    network.encoder.gains.bias[1] = -100.0
    closed = network.encode(opt_v2, s1)
    changed = (closed.mean - opened.mean).abs().amax(dim=(0, 2, 3))
    assert changed[1] > 1e-4
    assert not changed[[0, 2, 3]].any()
    correction = (to_network_space(closed.mean) - to_network_space(opt_v2)).abs().mean((0, 2, 3))
    assert correction[1] < 0.2 * correction[[0, 2, 3]].min()


@torch.no_grad()
def test_features_do_not_grow_without_bound() -> None:
    """Blocks that blow up what they see: neither features nor the result follow."""
    network = randomised()
    opt_v2, s1 = pair(1, 32, 32)
    for blocks in (network.encoder.bottom, network.encoder.up_middle, network.encoder.up_fine):
        for block in blocks:
            block.second.weight.mul_(1e3)
    network.encoder.gains.weight.mul_(1e3)
    encoding = network.encode(opt_v2, s1)
    assert encoding.middle.abs().max() == 10
    assert encoding.fine.abs().max() == 10
    detail = (to_network_space(encoding.mean) - to_network_space(opt_v2)).abs().max()
    assert detail < 100


def test_what_the_gate_lets_through_does_not_train_it() -> None:
    network = randomised()
    network.encode(*pair(1, 32, 32)).mean.square().sum().backward()
    gradient = network.encoder.gains.weight.grad
    assert gradient is not None
    assert not gradient[:4].any()
    assert gradient[4:].any()


def test_mean_and_doubt_alone_train_the_encoder() -> None:
    network = randomised()
    expected = network.expect_detail(network.encode(*pair(1, 32, 32)))
    (expected.spread.sum() + expected.strength.sum() + expected.features.sum()).backward()
    assert network.encoder.stem.weight.grad is None
    assert network.detail_head.log_strengths.weight.grad is not None
    assert network.detail_head.condition.weight.grad is not None


@torch.no_grad()
def test_a_wild_pixel_counts_as_six_standard_deviations() -> None:
    network = randomised()
    opt_v2, s1 = pair(1, 32, 32)
    means = []
    for wild in (1e6, float(network.radar_mean[0] + 6 * network.radar_std[0])):
        s1[0, 0, 9, 9] = wild
        means.append(network.encode(opt_v2, s1).mean)
    torch.testing.assert_close(*means, rtol=0, atol=1e-6)


@torch.no_grad()
def test_tiles_that_are_no_multiple_of_eight_are_continued_by_reflection() -> None:
    network = randomised()
    tiles = pair(1, 20, 29)
    continued = (torch.nn.functional.pad(tile, (0, 3, 0, 4), mode="reflect") for tile in tiles)
    fine = network.encode(*continued).fine
    torch.testing.assert_close(network.encode(*tiles).fine, fine, rtol=0, atol=1e-5)


@torch.no_grad()
def test_each_gain_weighs_its_band_of_detail() -> None:
    random = torch.Generator().manual_seed(2)
    tiles = torch.randn(1, 6, 40, 32, generator=random)
    visible, nir = [0, 1, 2], [3]
    for number, detail in enumerate(detail_bands(tiles)):
        common = detail[:, visible].mean(dim=1)
        expected = [
            *(([band], detail[:, band]) for band in range(4)),  # trust
            *(([band], common) for band in range(4)),  # loan of what the visible bands share
            (visible, detail[:, 4]),  # leak of VV into visible
            (visible, detail[:, 5]),  # of VH into visible
            (nir, detail[:, 4]),  # of VV into NIR
            (nir, detail[:, 5]),  # of VH into NIR
        ]
        for gain, (bands, source) in enumerate(expected):
            gains = torch.zeros(1, N_GAINS, 40, 32)
            gains[:, len(expected) * number + gain] = 0.5
            wanted = torch.zeros(1, 4, 40, 32)
            wanted[:, bands] = 0.5 * source
            torch.testing.assert_close(weighted_detail(tiles, gains), wanted)


@pytest.mark.parametrize("sigma_px", [SIGMA_PX, *BAND_SIGMAS_PX])
def test_the_blur_is_a_gaussian_reflected_at_the_border(sigma_px: float) -> None:
    """To three standard deviations, as a convolution computes it."""
    image = torch.randn(1, 1, 40, 48, generator=torch.Generator().manual_seed(3))
    radius = math.ceil(3 * sigma_px)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma_px) ** 2)
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    padded = torch.nn.functional.pad(image, (radius,) * 4, mode="reflect")
    expected = torch.nn.functional.conv2d(padded, kernel[None, None])
    torch.testing.assert_close(lowpass(image, sigma_px), expected, rtol=0, atol=1e-5)


def test_the_bands_of_detail_add_up_to_what_the_widest_blur_takes_away() -> None:
    assert BAND_SIGMAS_PX == (0.7, 1.5, 3.0, 5.0)
    image = torch.randn(2, 40, 48, generator=torch.Generator().manual_seed(4))
    bands = detail_bands(image)
    torch.testing.assert_close(bands[0], image - lowpass(image, 0.7))
    torch.testing.assert_close(torch.stack(bands).sum(0), image - lowpass(image, 5.0))


def test_the_blur_keeps_constants_and_removes_noise() -> None:
    constant = torch.full((1, 2, 40, 20), 0.7)
    torch.testing.assert_close(lowpass(constant), constant)
    noise = torch.randn(1, 1, 128, 128)
    # A Gaussian keeps a share 1/(4 pi sigma^2) of white noise's variance.
    assert lowpass(noise).var().item() == pytest.approx(1 / (4 * torch.pi * SIGMA_PX**2), rel=0.25)
