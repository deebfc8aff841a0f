"""Small networks that look gains up from measured figures, and must agree.

Each is fitted on other scenes; a gain is taken as far as they agree (deep ensembles,
Lakshminarayanan et al. 2017). What looks unlike all scenes that they were fitted on is mostly left
alone.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_HIDDEN_WIDTH = 32
_MOST_UNUSUAL = 4.0
_LEAST_SQUARE = 1e-6


class AgreeingNetworks(nn.Module):
    """Networks of two hidden layers that turn the same figures into gains.

    Without training all gains are 0.

    Args:
        n_members: Number of networks that must agree.
        n_figures: What each of them sees.
        n_gains: What each of them answers.
        gain_range: Least and greatest gain.
    """

    figure_mean: Tensor
    figure_std: Tensor

    def __init__(
        self, n_members: int, n_figures: int, n_gains: int, gain_range: tuple[float, float]
    ) -> None:
        super().__init__()
        self._gain_range = gain_range
        self.register_buffer("figure_mean", torch.zeros(n_figures))
        self.register_buffer("figure_std", torch.ones(n_figures))
        sizes = (n_figures, _HIDDEN_WIDTH, _HIDDEN_WIDTH, n_gains)
        self.weights = nn.ParameterList(torch.zeros(n_members, *s) for s in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n_members, 1, width) for width in sizes[1:])

    def gains(self, figures: Tensor) -> Tensor:
        """Turn figures (..., n_figures) into gains (..., n_gains), as far as the members agree."""
        of_members = self.gains_of_members(figures.flatten(0, -2))
        agreed = of_members.mean(dim=0)
        variance = of_members.var(dim=0, correction=0)
        # A gain on which they differ by more than it is worth is mostly left out.
        agreed = agreed * agreed.square() / (agreed.square() + variance + _LEAST_SQUARE)
        return agreed.reshape(*figures.shape[:-1], agreed.shape[-1])

    def gains_of_members(self, figures: Tensor) -> Tensor:
        """Turn figures (N, n_figures), or (members, N, n_figures), into (members, N, n_gains)."""
        unusual = (figures - self.figure_mean) / self.figure_std
        hidden = unusual.clamp(-_MOST_UNUSUAL, _MOST_UNUSUAL)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if layer < last:
                hidden = F.silu(hidden)
        return hidden.clamp(*self._gain_range)
