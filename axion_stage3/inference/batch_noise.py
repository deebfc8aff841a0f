"""The noise of a batch of whole tiles, window by window: drawn here, or computed on the device."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from axion_stage3.diffusion.tile_noise import (
    batch_initial_noise,
    batch_noise_keys,
    batch_step_noise,
    expand_noise,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from axion_stage3.tiles.window import Window

Expand: TypeAlias = "Callable[[Tensor], Tensor]"
"""Turns what a :class:`WindowNoise` returned into noise, on the device."""

_COMPUTING_DEVICES: Final = ("cuda",)
_KEPT_NOISES: Final = 16


class WindowNoise(Protocol):
    """The noise of one window of a batch of tiles."""

    def __call__(self, draw: int, step: int | None = None) -> Tensor:
        """Return it, (B, 4, y, x) float32 on the CPU; or what the device computes it from.

        Args:
            draw: Index of the draw.
            step: Step after which a stochastic sampler adds it; None for the noise that sampling
                begins with.
        """
        ...


class DrawnNoise:
    """Noise that is drawn here, and kept as far as that is worth it.

    Args:
        seed: Seed of the run.
        names: Full names of the tiles.
        shape: (bands, H, W) of the tiles.
    """

    def __init__(self, seed: int, names: Sequence[str], shape: tuple[int, int, int]) -> None:
        keep = lru_cache(maxsize=_KEPT_NOISES)
        self._initial = keep(partial(batch_initial_noise, seed, names, shape=shape))
        self._step = keep(partial(batch_step_noise, seed, names, shape=shape))

    def within(self, window: Window) -> tuple[WindowNoise, Expand]:
        """Return the noise of a window."""

        def cut(draw: int, step: int | None = None) -> Tensor:
            return window.cut(self._initial(draw) if step is None else self._step(draw, step))

        return cut, as_it_is


class ComputedNoise:
    """Noise that a device computes from the keys of the tiles.

    Args:
        seed: Seed of the run.
        names: Full names of the tiles.
        shape: (bands, H, W) of the tiles.
    """

    def __init__(self, seed: int, names: Sequence[str], shape: tuple[int, int, int]) -> None:
        self._keys = partial(batch_noise_keys, seed, names)
        self._shape = shape

    def within(self, window: Window) -> tuple[WindowNoise, Expand]:
        """Return the keys, and what makes them the noise of a window."""
        return self._keys, partial(expand_noise, shape=self._shape, window=window)


def noise_of(
    device: torch.device, seed: int, names: Sequence[str], shape: tuple[int, int, int]
) -> DrawnNoise | ComputedNoise:
    """Return the noise of a batch.

    Args:
        device: The device that computes.
        seed: Seed of the run.
        names: Full names of the tiles.
        shape: (bands, H, W) of the tiles.
    """
    kind = ComputedNoise if device.type in _COMPUTING_DEVICES else DrawnNoise
    return kind(seed, names, shape)


def as_it_is(noise: Tensor) -> Tensor:
    """Return noise that is noise already."""
    return noise
