from __future__ import annotations

import torch

from axion_stage3.diffusion.agreeing_networks import AgreeingNetworks


@torch.no_grad()
def test_figures_beyond_four_standard_deviations_tell_no_more_than_four() -> None:
    networks = AgreeingNetworks(2, 3, 1, (-1e6, 1e6))
    networks.figure_mean.copy_(torch.tensor([1.0, -2.0, 3.0]))
    networks.figure_std.copy_(torch.tensor([0.5, 1.0, 2.0]))
    random = torch.Generator().manual_seed(0)
    for weight in networks.weights:
        weight.copy_(torch.randn(weight.shape, generator=random).expand_as(weight))
    standard_deviations = torch.tensor([3.9, 4.0, 5.0, 1e6, -3.9, -4.0, -5.0, -1e6])
    seen = networks.figure_mean + standard_deviations[:, None] * networks.figure_std
    for of_one_side in networks.gains(seen).chunk(2):
        near, beyond = of_one_side[0], of_one_side[1:]
        torch.testing.assert_close(beyond, beyond[:1].expand_as(beyond))
        assert (near - beyond[0]).abs() > 1e-3 * beyond[0].abs()
