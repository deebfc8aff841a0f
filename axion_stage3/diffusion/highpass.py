"""Gaussian filters: the high pass that keeps detail from moving colour, and bands of detail."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

SIGMA_PX = 2.0
"""Detail that is drawn is finer than this blur."""

NEIGHBOURHOOD_PX = 4.0
"""Blur that says how strong detail is around a pixel."""

BAND_SIGMAS_PX = (0.7, 1.5, 3.0, 5.0)
"""Blurs between which the bands of detail lie, from fine to field scale."""

CELL_PX = 16
"""Measured figures are means around cells of so many pixels (see ``equalizer.py``)."""

CELL_SIGMA = 2.0
"""Blur of these figures, in cells."""

_RADIUS_IN_SIGMAS = 3.0
_BLOCK_PX = 40
_MOST_MATRICES = 128
_matrices: dict[tuple[object, ...], Tensor] = {}


def lowpass(tiles: Tensor, sigma_px: float = SIGMA_PX) -> Tensor:
    """Gaussian blur, reflected at the border.

    Written as two products with banded matrices: on the CPU 4 to 25 times faster than a
    convolution with one channel. There they are cut into blocks, since most of a matrix is 0; a
    GPU rather has few large products.

    Args:
        tiles: (..., H, W) float32; H, W > 3 sigma.
        sigma_px: Standard deviation of the blur, at most 5 px.

    Returns:
        The low frequencies, same shape.
    """
    height, width = tiles.shape[-2:]
    rows = blur_matrix(height, sigma_px, tiles.device)
    columns = blur_matrix(width, sigma_px, tiles.device)
    if tiles.device.type != "cpu":
        return rows @ tiles @ columns.mT
    reach = _radius(sigma_px)
    tiles = torch.cat(
        [tiles[..., near] @ columns[own, near].mT for own, near in _blocks(width, reach)], dim=-1
    )
    return torch.cat(
        [rows[own, near] @ tiles[..., near, :] for own, near in _blocks(height, reach)], dim=-2
    )


def highpass(tiles: Tensor) -> Tensor:
    """Return the tiles less their low frequencies (see :func:`lowpass`)."""
    return tiles - lowpass(tiles)


def local_strength(detail: Tensor) -> Tensor:
    """Root mean square around each pixel of (..., H, W)."""
    return lowpass(detail.square(), NEIGHBOURHOOD_PX).clamp_min(0.0).sqrt()


def detail_bands(tiles: Tensor) -> list[Tensor]:
    """Split off the detail finer than 5 px, band by band, the finest first.

    Args:
        tiles: (..., H, W) float32; H, W >= 16.

    Returns:
        One tensor like ``tiles`` for each of ``BAND_SIGMAS_PX``: what that blur takes away from the
        blur before it.
    """
    blurred = [tiles, *(lowpass(tiles, sigma_px) for sigma_px in BAND_SIGMAS_PX)]
    return [finer - coarser for finer, coarser in pairwise(blurred)]


def means_around_cells(tiles: Tensor) -> Tensor:
    """Means of some 80 px around each cell of (..., H, W), (..., y, x)."""
    rows, columns = (cell_neighbourhoods(px, tiles.device) for px in tiles.shape[-2:])
    return rows @ tiles @ columns.mT


def between_cells(values: Tensor, height: int, width: int) -> Tensor:
    """Values of cells (..., y, x), interpolated to pixels (..., H, W)."""
    rows, columns = (from_cells(px, values.device) for px in (height, width))
    return rows @ values @ columns.mT


def blur_matrices(height: int, width: int, device: torch.device) -> list[Tensor]:
    """All matrices that filtering tiles of this size takes from the cache."""
    lengths = (height, width)
    blurs = [
        blur_matrix(length, sigma_px, device)
        for length in lengths
        for sigma_px in (SIGMA_PX, NEIGHBOURHOOD_PX, *BAND_SIGMAS_PX)
    ]
    cells = [
        make(length, device) for length in lengths for make in (cell_neighbourhoods, from_cells)
    ]
    return blurs + cells


def blur_matrix(length: int, sigma_px: float, device: torch.device) -> Tensor:
    """(length, length) matrix whose row i holds the weights of output pixel i; not to be changed.

    Args:
        length: Height or width, in pixels.
        sigma_px: Standard deviation of the blur.
        device: Where it is needed.
    """
    return _cached(device, _make_blur_matrix, length, sigma_px)


def cell_neighbourhoods(length: int, device: torch.device) -> Tensor:
    """(cells, length) matrix of means around each cell of ``CELL_PX``; not to be changed.

    Each is the mean of neighbouring cells, weighted by a Gaussian of ``CELL_SIGMA``. Nothing is
    reflected: at the border there are fewer cells, and the last one may be cut.
    """
    return _cached(device, _make_cell_neighbourhoods, length)


def from_cells(length: int, device: torch.device) -> Tensor:
    """(length, cells) matrix that interpolates between the centres of cells; not to be changed."""
    return _cached(device, _make_cell_interpolation, length)


def _blocks(length: int, reach: int) -> list[tuple[slice, slice]]:
    """Places of a line, block by block, and those around each that a blur of it sees."""
    n_blocks = max(1, round(length / _BLOCK_PX))
    edges = [round(number * length / n_blocks) for number in range(n_blocks + 1)]
    return [
        (slice(first, end), slice(max(0, first - reach), min(length, end + reach)))
        for first, end in pairwise(edges)
    ]


def _radius(sigma_px: float) -> int:
    return math.ceil(_RADIUS_IN_SIGMAS * sigma_px)


def _cached(device: torch.device, make: Callable[..., Tensor], *arguments: float) -> Tensor:
    # A plain dictionary, not functools.lru_cache: torch.compile ignores that and computes anew.
    key = device, make, *arguments
    matrix = _matrices.get(key)
    if matrix is None:
        if len(_matrices) >= _MOST_MATRICES:
            _matrices.clear()
        # A plain tensor even when first asked for in inference mode: training may use it later.
        with torch.inference_mode(mode=False):
            matrix = make(*arguments).to(device)
        _matrices[key] = matrix
    return matrix


def _make_cell_neighbourhoods(length: int) -> Tensor:
    cell = torch.arange(length) // CELL_PX
    is_inside = (cell == torch.arange(int(cell[-1]) + 1)[:, None]).double()
    means = is_inside / is_inside.sum(dim=1, keepdim=True)
    places = torch.arange(len(means), dtype=torch.float64)
    distance = (places[:, None] - places).abs()
    weights = torch.exp(-0.5 * (distance / CELL_SIGMA).square())
    weights = weights * (distance <= _RADIUS_IN_SIGMAS * CELL_SIGMA)
    return (weights / weights.sum(dim=1, keepdim=True) @ means).float()


def _make_cell_interpolation(length: int) -> Tensor:
    n_cells = math.ceil(length / CELL_PX)
    place = (torch.arange(length, dtype=torch.float64) + 0.5) / CELL_PX - 0.5
    place = place.clamp(0.0, n_cells - 1.0)
    distance = (place[:, None] - torch.arange(n_cells)).abs()
    return (1.0 - distance).clamp_min(0.0).float()


def _make_blur_matrix(length: int, sigma_px: float) -> Tensor:
    radius = _radius(sigma_px)
    weights = [math.exp(-0.5 * (offset / sigma_px) ** 2) for offset in range(-radius, radius + 1)]
    kernel = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    identity = torch.eye(length, dtype=torch.float64)
    padded = torch.nn.functional.pad(identity[None], (radius,) * 2, mode="reflect")
    taps = padded[0].unfold(1, len(weights), 1)
    return (taps @ kernel).T.to(torch.float32).contiguous()
