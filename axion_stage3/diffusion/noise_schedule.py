"""Which noise levels a sampler visits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from axion_stage3.errors import UsageError

_LOWEST_SIGMA: Final = 1e-4
_HIGHEST_SIGMA: Final = 1e4
_HIGHEST_RHO: Final = 100.0


@dataclass(frozen=True)
class NoiseSchedule:
    """Where the noise levels begin and end, and how they crowd; stored in the checkpoint.

    Attributes:
        sigma_max: First noise level, in standard deviations of the residual; at most 1e4.
        sigma_min: Last noise level above zero; at least 1e-4, at most half of ``sigma_max``.
        rho: 1 spaces the levels evenly, more crowds them at low noise; 1 to 100.

    Raises:
        UsageError: A value is out of its range or not finite.
    """

    sigma_max: float = 6.0
    sigma_min: float = 0.05
    rho: float = 5.0

    def __post_init__(self) -> None:
        # Written so that NaN, for which every comparison is false, is refused as well.
        if not _LOWEST_SIGMA <= self.sigma_min <= self.sigma_max / 2 <= _HIGHEST_SIGMA / 2:
            raise UsageError(
                f"Noise levels from {self.sigma_max} down to {self.sigma_min} cannot be sampled.",
                hint=f"Keep {_LOWEST_SIGMA:g} <= sigma_min <= sigma_max / 2 and "
                f"sigma_max <= {_HIGHEST_SIGMA:g}.",
            )
        if not 1 <= self.rho <= _HIGHEST_RHO:
            raise UsageError(
                f"The spacing rho of the noise levels is {self.rho}.",
                hint=f"Keep 1 <= rho <= {_HIGHEST_RHO:g}.",
            )

    def sigmas(self, n_levels: int) -> tuple[float, ...]:
        """Return ``n_levels`` decreasing noise levels, then 0 (see :func:`karras_sigmas`)."""
        return karras_sigmas(n_levels, self.sigma_max, self.sigma_min, self.rho)


def karras_sigmas(
    n_levels: int, sigma_max: float, sigma_min: float, rho: float
) -> tuple[float, ...]:
    """Return noise levels evenly spaced in σ^(1/ρ), then 0: Karras et al. 2022, eq. 5.

    Args:
        n_levels: Number of levels above zero, >= 0. A single level is ``sigma_max``.
        sigma_max: First level, > 0.
        sigma_min: Last level above zero, 0 < sigma_min < sigma_max.
        rho: Exponent, > 0.

    Returns:
        ``n_levels + 1`` strictly decreasing numbers, the last of them 0.
    """
    first, last = math.pow(sigma_max, 1 / rho), math.pow(sigma_min, 1 / rho)
    shares = [level / max(n_levels - 1, 1) for level in range(n_levels)]
    return (*(math.pow((1 - share) * first + share * last, rho) for share in shares), 0.0)
