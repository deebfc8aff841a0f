"""Noise that belongs to a tile, not to a run.

The noise of a tile follows from the run's seed, the tile's full name, the draw and the step alone.
So a tile's result does not depend on batch size, order, shard, device or where a run was resumed.
A tile that is processed in windows draws its noise whole; the windows are cut from it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

# Changing anything that is hashed changes every result: such a change gets a new name.
_PERSON = b"axion-noise-1"


def initial_noise(seed: int, tile_name: str, draw: int, shape: tuple[int, int, int]) -> Tensor:
    """Return the noise that a tile's sampling begins with.

    Args:
        seed: Seed of the run, any integer.
        tile_name: Full name of the tile (posix path below its folder, with ``.npz``).
        draw: Index of the draw, >= 0.
        shape: (bands, H, W) of the whole tile.

    Returns:
        Standard normal noise, ``shape`` float32, on the CPU.
    """
    return batch_initial_noise(seed, [tile_name], draw, shape)[0]


def step_noise(
    seed: int, tile_name: str, draw: int, step: int, shape: tuple[int, int, int]
) -> Tensor:
    """Return the noise that a stochastic sampler adds after a step (0, 1, ...).

    Other arguments and the result are those of :func:`initial_noise`.
    """
    return batch_step_noise(seed, [tile_name], draw, step, shape)[0]


def batch_initial_noise(
    seed: int, tile_names: Sequence[str], draw: int, shape: tuple[int, int, int]
) -> Tensor:
    """Return :func:`initial_noise` of several tiles of one size, (B, bands, H, W)."""
    return _batch(seed, tile_names, f"draw {draw}", shape)


def batch_step_noise(
    seed: int, tile_names: Sequence[str], draw: int, step: int, shape: tuple[int, int, int]
) -> Tensor:
    """Return :func:`step_noise` of several tiles of one size, (B, bands, H, W)."""
    return _batch(seed, tile_names, f"draw {draw} step {step}", shape)


def _batch(
    seed: int, tile_names: Sequence[str], purpose: str, shape: tuple[int, int, int]
) -> Tensor:
    noise = np.empty((len(tile_names), *shape), dtype=np.float32)
    for name, tile in zip(tile_names, noise, strict=True):
        _fill(tile, f"seed {seed} {purpose} tile {name}")
    return torch.from_numpy(noise)


def _fill(tile: NDArray[np.float32], description: str) -> None:
    # File names that are not valid Unicode reach Python as lone surrogates.
    message = description.encode("utf-8", "surrogatepass")
    key = int.from_bytes(hashlib.blake2b(message, digest_size=16, person=_PERSON).digest(), "big")
    np.random.Generator(np.random.Philox(key=key)).standard_normal(dtype=np.float32, out=tile)
