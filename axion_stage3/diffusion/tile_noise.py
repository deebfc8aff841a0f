"""Noise that belongs to a tile, not to a run.

The noise of a tile follows from the run's seed, the tile's full name, the draw and the step alone.
So a tile's result does not depend on batch size, order, shard or where a run was resumed. A tile
that is processed in windows has the noise of the whole; each window has its part of it.

There are two kinds. The CPU draws numbers one after another from numpy's Philox. A GPU would wait
for that: it computes the noise of every pixel from a key of the tile and the pixel's place alone,
by SplitMix64 (Steele et al. 2014) and the transform of Box and Muller, and gets the same numbers on
every device up to rounding.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from axion_stage3.tiles.window import Window

# Changing anything that is hashed changes every result: such a change gets a new name.
_PERSON = b"axion-noise-1"

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIXERS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT: Final = 31
_UNIFORM_BITS: Final = 24
"""What a float32 holds exactly."""


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
    return _batch(seed, tile_names, _purpose(draw, None), shape)


def batch_step_noise(
    seed: int, tile_names: Sequence[str], draw: int, step: int, shape: tuple[int, int, int]
) -> Tensor:
    """Return :func:`step_noise` of several tiles of one size, (B, bands, H, W)."""
    return _batch(seed, tile_names, _purpose(draw, step), shape)


def batch_noise_keys(
    seed: int, tile_names: Sequence[str], draw: int, step: int | None = None
) -> Tensor:
    """Return the keys from which :func:`expand_noise` computes the noise of several tiles.

    Args:
        seed: Seed of the run, any integer.
        tile_names: Full names of the tiles.
        draw: Index of the draw, >= 0.
        step: Step of a stochastic sampler; None for the noise that sampling begins with.

    Returns:
        (B,) int64 on the CPU.
    """
    purpose = _purpose(draw, step)
    digests = [_digest(seed, purpose, name)[:8] for name in tile_names]
    return torch.tensor([int.from_bytes(d, "big", signed=True) for d in digests], dtype=torch.int64)


def expand_noise(keys: Tensor, shape: tuple[int, int, int], window: Window) -> Tensor:
    """Compute the noise of a window of several tiles of one size where their keys are.

    Args:
        keys: From :func:`batch_noise_keys`, (B,) int64 on any device.
        shape: (bands, H, W) of the whole tiles.
        window: The part of them that is wanted.

    Returns:
        Standard normal noise, (B, bands, y, x) float32 on the device of the keys.
    """
    places = torch.arange(1, math.prod(shape) + 1, device=keys.device).view(shape)
    bits = window.cut(places) * _as_int64(_GOLDEN) + keys[:, None, None, None]
    for shift, factor in _MIXERS:
        bits = bits.bitwise_xor_(_shifted_right(bits, shift)).mul_(_as_int64(factor))
    bits.bitwise_xor_(_shifted_right(bits, _LAST_SHIFT))
    first, second = (
        _shifted_right(bits, 64 - (i + 1) * _UNIFORM_BITS).bitwise_and_(2**_UNIFORM_BITS - 1)
        for i in range(2)
    )
    # The logarithm of 0 is none: that uniform goes from 2^-24 to 1.
    radius = (first + 1).float().mul_(2.0**-_UNIFORM_BITS).log_().mul_(-2.0).sqrt_()
    return radius.mul_(second.float().mul_(2 * math.pi * 2.0**-_UNIFORM_BITS).cos_())


def _shifted_right(bits: Tensor, shift: int) -> Tensor:
    """As if the bits were those of an unsigned number."""
    return (bits >> shift).bitwise_and_(2 ** (64 - shift) - 1)


def _as_int64(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _purpose(draw: int, step: int | None) -> str:
    return f"draw {draw}" if step is None else f"draw {draw} step {step}"


def _digest(seed: int, purpose: str, tile_name: str) -> bytes:
    # File names that are not valid Unicode reach Python as lone surrogates.
    message = f"seed {seed} {purpose} tile {tile_name}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(message, digest_size=16, person=_PERSON).digest()


def _batch(
    seed: int, tile_names: Sequence[str], purpose: str, shape: tuple[int, int, int]
) -> Tensor:
    noise = np.empty((len(tile_names), *shape), dtype=np.float32)
    for name, tile in zip(tile_names, noise, strict=True):
        key = int.from_bytes(_digest(seed, purpose, name), "big")
        np.random.Generator(np.random.Philox(key=key)).standard_normal(dtype=np.float32, out=tile)
    return torch.from_numpy(noise)
