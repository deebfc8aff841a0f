from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.equalizer import (
    N_FIGURES,
    DetailEqualizer,
    figures,
    local_moments,
)
from axion_stage3.diffusion.highpass import (
    CELL_PX,
    cell_neighbourhoods,
    detail_bands,
    from_cells,
)
from axion_stage3.diffusion.network import GroundingNetwork, from_network_space, to_network_space
from axion_stage3.training.random_fields import (
    gaussian_blur,
    gaussian_blur_of_columns,
    gaussian_highpass,
)

TRUTH = Path(__file__).parents[2] / "examples" / "tiles" / "truth"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> GroundingNetwork:
    return load_checkpoint().network


@pytest.fixture(scope="module")
def truths() -> list[torch.Tensor]:
    """The true example tiles, (1, 4, H, W), reflectance."""
    tiles = []
    for path in sorted(TRUTH.glob("*.npz")):
        with np.load(path) as stored:
            bands = [stored[key] for key in ("s2_b2", "s2_b3", "s2_b4", "s2_b8")]
        tiles.append(torch.from_numpy(np.stack(bands)[None]).float())
    return tiles


def psnr(estimate: torch.Tensor, truth: torch.Tensor) -> float:
    return float(-10 * torch.log10((estimate - truth).square().mean().clamp_min(1e-10)))


def blurred(x: torch.Tensor) -> torch.Tensor:
    return gaussian_blur(x, torch.tensor([1.0]))


def noisy(x: torch.Tensor) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    return x + 0.02 * torch.randn(x.shape, generator=random)


def sharpened(x: torch.Tensor) -> torch.Tensor:
    return x + 2.0 * gaussian_highpass(x, torch.tensor([1.5]))


@pytest.mark.parametrize(("spoil", "gain_db"), [(blurred, 2.0), (noisy, 2.0), (sharpened, 0.3)])
@torch.no_grad()
def test_the_bundled_one_mends_detail_that_is_too_weak_or_too_strong(
    network: GroundingNetwork, truths: list[torch.Tensor], spoil: object, gain_db: float
) -> None:
    gains = []
    for truth in truths:
        opt_v2 = from_network_space(spoil(to_network_space(truth)))  # type: ignore[operator]
        equalized = from_network_space(network.equalize(opt_v2))
        gains.append(psnr(equalized, truth) - psnr(opt_v2, truth))
    assert np.mean(gains) > gain_db
    assert min(gains) > -0.5


@pytest.mark.parametrize("factor", [1.5, 2.0])
@torch.no_grad()
def test_the_bundled_one_hardly_harms_what_was_resampled(
    network: GroundingNetwork, truths: list[torch.Tensor], factor: float
) -> None:
    """A sharp cut-off is no soft blur: what lies beyond it is gone, and cannot be amplified."""
    losses = []
    for truth in truths:
        size = [round(length / factor) for length in truth.shape[-2:]]
        small = F.interpolate(to_network_space(truth), size=size, mode="bicubic", antialias=True)
        opt_v2 = from_network_space(F.interpolate(small, size=truth.shape[-2:], mode="bicubic"))
        equalized = from_network_space(network.equalize(opt_v2))
        losses.append(psnr(opt_v2, truth) - psnr(equalized, truth))
    assert np.mean(losses) < 0.5


@torch.no_grad()
def test_the_bundled_one_leaves_true_detail_alone(
    network: GroundingNetwork, truths: list[torch.Tensor]
) -> None:
    kept = [psnr(from_network_space(network.equalize(truth)), truth) for truth in truths]
    assert min(kept) > 50.0


@torch.no_grad()
def test_without_training_nothing_is_changed() -> None:
    tile = torch.randn(1, 4, 40, 56)
    assert torch.equal(DetailEqualizer(3)(tile), torch.zeros_like(tile))


@torch.no_grad()
def test_a_gain_is_taken_as_far_as_the_members_agree() -> None:
    equalizer = DetailEqualizer(2)
    any_figures = torch.randn(7, N_FIGURES)
    equalizer.biases[-1].fill_(0.5)
    torch.testing.assert_close(equalizer.gains(any_figures), torch.full((7, 16), 0.5))
    equalizer.biases[-1][0] = -0.5
    assert equalizer.gains(any_figures).abs().max() < 1e-6
    equalizer.biases[-1][0] = 0.0
    one_of_two = equalizer.gains(any_figures)
    assert 0.05 < float(one_of_two.min()) <= float(one_of_two.max()) < 0.25


@torch.no_grad()
def test_a_constant_gain_weighs_the_bands_of_detail() -> None:
    equalizer = DetailEqualizer(2)
    equalizer.biases[-1][..., :] = torch.arange(16) / 16 - 0.5
    tile = torch.randn(2, 4, 33, 47)
    gains = equalizer.biases[-1][0].reshape(4, 4, 1, 1)
    expected = (gains * torch.stack(detail_bands(tile), dim=2)).sum(dim=2)
    torch.testing.assert_close(equalizer(tile), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_figures_know_no_contrast_and_no_mirror_image() -> None:
    tile = 2.0 * torch.randn(1, 4, 64, 96)
    found = figures(local_moments(detail_bands(tile)))
    assert found.shape == (1, 4, 6, N_FIGURES)
    rough = found[..., -8:].unflatten(-1, (4, 2))  # down and across: turned, they change places
    turned = torch.cat([found[..., :-8], rough.flip(-1).flatten(-2)], dim=-1)
    for same, expected, limit in (
        (figures(local_moments(detail_bands(3.0 * tile))), found, 1e-3),
        # Steps are counted from the first pixel: at the border a mirror image has one more.
        (figures(local_moments(detail_bands(tile.flip(-1)))).flip(2), found, 3e-2),
        (figures(local_moments(detail_bands(tile.mT))).transpose(1, 2), turned, 1e-3),
    ):
        torch.testing.assert_close(same, expected, rtol=limit, atol=limit)


@torch.no_grad()
def test_figures_tell_the_axis_of_a_blur() -> None:
    tile = torch.randn(1, 4, 64, 96)
    down = gaussian_blur_of_columns(tile, torch.tensor([1.5]))
    rough = figures(local_moments(detail_bands(down)))[..., -8:].unflatten(-1, (4, 2))
    assert bool((rough[..., 0] < rough[..., 1] - 0.5).all())


@torch.no_grad()
def test_a_tile_does_not_depend_on_its_batch(
    network: GroundingNetwork, truths: list[torch.Tensor]
) -> None:
    tiles = torch.cat([blurred(to_network_space(truth))[..., :96, :96] for truth in truths[:5]])
    tiles = from_network_space(tiles)
    together = network.equalize(tiles)
    alone = torch.cat([network.equalize(tile[None]) for tile in tiles])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_is_far_away_does_not_matter(
    network: GroundingNetwork, truths: list[torch.Tensor]
) -> None:
    """Figures reach six cells and detail 15 px; a sharp part changes only what is near it."""
    near, far = (torch.cat([t[..., :96, :96] for t in truths[k : k + 2]], dim=-1) for k in (0, 2))
    near = from_network_space(blurred(to_network_space(near)))
    alone = network.equalize(near)
    beside = network.equalize(torch.cat([near, far], dim=-1))
    inner = 192 - 7 * CELL_PX - CELL_PX // 2
    torch.testing.assert_close(beside[..., :inner], alone[..., :inner], rtol=0, atol=1e-5)
    assert (beside[..., inner:192] - alone[..., inner:]).abs().max() > 1e-3


@pytest.mark.parametrize("length", [1, 15, 16, 17, 120, 250])
def test_cells_average_and_interpolate(length: int) -> None:
    means, back = cell_neighbourhoods(length, CPU), from_cells(length, CPU)
    n_cells = -(-length // CELL_PX)
    assert means.shape == (n_cells, length)
    assert back.shape == (length, n_cells)
    for matrix in (means, back):
        assert float(matrix.min()) >= 0
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix)))
    # A ramp between the centres of the outermost cells is interpolated exactly.
    centres = (torch.arange(n_cells) + 0.5) * CELL_PX
    pixels = torch.arange(length) + 0.5
    expected = pixels.clamp(float(centres[0]), float(centres[-1]))
    torch.testing.assert_close(back @ centres, expected)
