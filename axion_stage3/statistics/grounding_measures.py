"""What is measured of an optical tile and its radar to judge whether they belong together.

Three kinds of measures, none of which changes with brightness or contrast:

- edges: do optical and radar edges run the same way? Where they are unrelated the answer is 0, so
  this tells true detail from invented, borrowed or shifted detail.
- likeness of optical and radar pixels at fine scales: how much more often than not do both lie on
  the same side of their surroundings? Only where the radar is plain (its weaker half of gradients):
  there it shows little but speckle, which is noise of the radar alone, so true tiles show next to
  no likeness, and radar copied into the optical shows at once.
- steepness of the optical spectrum, from one ring of frequencies to the next: true tiles vary
  little here; blur makes it steeper, noise flatter.

They are computed on square roots of reflectance, for the mean of the visible bands and for NIR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MIN_SCORED_PX: Final = 48
"""Smaller tiles are not measured: their lowest ring of frequencies would be empty."""

BLOCK_PX: Final = 128
"""Larger tiles are measured in blocks of about this size, so that like is compared with like."""

RINGS: Final = ((0.03, 0.06), (0.06, 0.12), (0.12, 0.2), (0.2, 0.28), (0.28, 0.38), (0.38, 0.5))
"""Rings of radial frequency, in cycles per pixel."""

SCALES_PX: Final = (1.0, 2.0)
"""Gaussian blurs: gradients are taken after each, likeness is judged of what each takes away."""

TEXTURE_RINGS: Final = (0, 1, 2)
STEEPNESS_RINGS: Final = (1, 2, 3, 4)
_OPTICAL: Final = ("visible", "nir")
_RADAR: Final = ("vv", "vh")
POWER_FLOOR: Final = 1e-9
LEAST_WEIGHT: Final = 1e-12
"""Keeps edges of no length from being divided by it."""

TEXTURES: Final = tuple(f"radar_power_{ring}" for ring in TEXTURE_RINGS)
EDGES: Final = tuple(f"edges_{optical}" for optical in _OPTICAL)
LIKENESSES: Final = tuple(
    f"likeness_{scale}_{optical}_{radar}"
    for scale in range(len(SCALES_PX))
    for optical in _OPTICAL
    for radar in _RADAR
)
STEEPNESSES: Final = tuple(
    f"steepness_{optical}_{ring}" for optical in _OPTICAL for ring in STEEPNESS_RINGS
)
MEASURES: Final = (*EDGES, *LIKENESSES, *STEEPNESSES)
"""Names of the measures, in the order of :attr:`BlockMeasures.values`."""


@dataclass(frozen=True, slots=True)
class BlockMeasures:
    """Measures of one block.

    Attributes:
        texture: (3,) log power of the radar in the three lowest rings: how much structure it shows.
        values: (18,) the measures named by ``MEASURES``.
    """

    texture: NDArray[np.float64]
    values: NDArray[np.float64]


def measure_blocks(
    optical: NDArray[np.floating], s1: NDArray[np.floating]
) -> Iterator[BlockMeasures]:
    """Measure a pair block by block.

    Args:
        optical: (4, H, W) reflectance; H, W >= 48.
        s1: (2, H, W) backscatter in dB.

    Yields:
        The measures of each block of about 128 px; one for tiles below 192 px.
    """
    for (measures,) in measure_blocks_of_all([optical], s1):
        yield measures


def measure_blocks_of_all(
    opticals: Sequence[NDArray[np.floating]], s1: NDArray[np.floating]
) -> Iterator[list[BlockMeasures]]:
    """Measure several optical tiles against one radar tile, whose part is computed only once.

    Args:
        opticals: (4, H, W) reflectance each; H, W >= 48.
        s1: (2, H, W) backscatter in dB.

    Yields:
        For each block of about 128 px the measures of each optical tile.
    """
    for rows in block_cuts(s1.shape[1]):
        for columns in block_cuts(s1.shape[2]):
            yield _measure([tile[:, rows, columns] for tile in opticals], s1[:, rows, columns])


def block_cuts(length: int) -> list[slice]:
    """Cut a height or width, in pixels, into blocks of about ``BLOCK_PX``."""
    n_blocks = max(1, round(length / BLOCK_PX))
    bounds = [round(k * length / n_blocks) for k in range(n_blocks + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _measure(
    opticals: Sequence[NDArray[np.floating]], s1: NDArray[np.floating]
) -> list[BlockMeasures]:
    # Everything below has the bands (visible, nir) of each optical tile, then (vv, vh).
    bands = np.concatenate([*map(_optical_bands, opticals), s1], dtype=np.float32)
    bands -= bands.mean(axis=(1, 2), keepdims=True)
    texture, steepnesses = _spectral_measures(bands)
    blurred = [_gaussian_blur(bands, sigma_px) for sigma_px in SCALES_PX]
    gradients = [_gradients(images) for images in blurred]
    edges = np.mean([_edge_agreement(gradient) for gradient in gradients], axis=0)
    radar_gradient = gradients[-1].length[-1]
    is_plain = radar_gradient <= np.median(radar_gradient)
    likenesses = [
        _likeness((sharper - blunter)[:, 1:-1, 1:-1], is_plain)
        for sharper, blunter in pairwise([bands, *blurred])
    ]
    values = np.concatenate(
        [measures.reshape(len(opticals), -1) for measures in (edges, *likenesses, steepnesses)],
        axis=1,
    )
    return [BlockMeasures(texture, row) for row in values]


def _optical_bands(optical: NDArray[np.floating]) -> Floats:
    """(2, H, W): square roots of reflectance, mean of the visible bands and nir."""
    roots = np.sqrt(np.maximum(optical, 0.0), dtype=np.float32)
    return np.concatenate([roots[:3].mean(axis=0, keepdims=True), roots[3:]], dtype=np.float32)


def _with_mean_radar(bands: Floats) -> Floats:
    """The optical bands as they are, then the mean of the two radar bands."""
    return np.concatenate([bands[:-2], bands[-2:].mean(axis=0, keepdims=True)])


def _spectral_measures(bands: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Texture of the radar and steepness of the optical spectra.

    Args:
        bands: (N + 2, H, W) N optical bands, vv, vh, each of mean 0.

    Returns:
        (3,) log power of the radar's mean band, and (N, 4) differences of log power between rings.
    """
    height, width = bands.shape[1:]
    window, ring_weights = window_and_rings(height, width)
    images = _with_mean_radar(bands)
    spectrum = np.fft.rfft2(images * window).reshape(len(images), -1)
    power = (spectrum.real**2 + spectrum.imag**2) @ ring_weights
    log_power = np.log(power.astype(np.float64) + POWER_FLOOR)
    rings = np.array(STEEPNESS_RINGS)
    steepness = log_power[:-1, rings + 1] - log_power[:-1, rings]
    return log_power[-1, list(TEXTURE_RINGS)], steepness


class _Gradients(NamedTuple):
    """Gradients of N optical bands and the radar's mean band; each (N + 1, H - 2, W - 2)."""

    x: Floats
    y: Floats
    length: Floats


def _gradients(bands: Floats) -> _Gradients:
    """Central differences of (optical bands, vv, vh)."""
    images = _with_mean_radar(bands)
    x = images[:, 1:-1, 2:] - images[:, 1:-1, :-2]
    y = images[:, 2:, 1:-1] - images[:, :-2, 1:-1]
    return _Gradients(x, y, np.sqrt(x * x + y * y))


def _edge_agreement(gradients: _Gradients) -> NDArray[np.float64]:
    """Mean cosine of twice the angle between optical and radar gradients, weighted by both.

    Doubling the angle makes an edge count the same whichever side is the brighter one.

    Returns:
        (N,) for the optical bands, -1..1: 0 for unrelated edges or none, 1 for parallel ones.
    """
    x, y, length = gradients
    dot = x[:-1] * x[-1] + y[:-1] * y[-1]
    weight = length[:-1] * length[-1]
    divisor = weight + np.float32(LEAST_WEIGHT)
    cosine_of_double = (2.0 * dot * dot / divisor - weight).sum(axis=(1, 2))
    return np.asarray(cosine_of_double / divisor.sum(axis=(1, 2)), dtype=np.float64)


def _likeness(detail: Floats, is_counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of pixels with optical and radar detail of the same sign, less the share without.

    Args:
        detail: (N + 2, y, x) optical bands, vv, vh, each less its surroundings.
        is_counted: (y, x) which pixels count.

    Returns:
        (N, 2) each optical band with vv and vh; -1..1.
    """
    # A sign of 0 leaves a pixel out of the sum; picking the pixels takes several times as long.
    signs = (np.sign(detail) * is_counted).reshape(len(detail), -1)
    surplus = signs[:-2] @ signs[-2:].T
    return np.asarray(surplus, dtype=np.float64) / np.float64(np.count_nonzero(is_counted))


@lru_cache(maxsize=16)
def window_and_rings(height: int, width: int) -> tuple[Floats, Floats]:
    """(H, W) Hann window and (H * (W // 2 + 1), rings) weights of the mean power per ring."""
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    counts = np.full(radius.shape, 2.0)
    counts[:, 0] = 1.0
    if width % 2 == 0:
        counts[:, -1] = 1.0
    rings = [(counts * ((radius >= low) & (radius < high))).ravel() for low, high in RINGS]
    weights = np.stack([ring / ring.sum() for ring in rings], axis=1) / (window**2).sum()
    return window.astype(np.float32), weights.astype(np.float32)


@lru_cache(maxsize=4)
def gaussian_taps(sigma_px: float) -> tuple[np.float32, ...]:
    """Weights of offsets 0, 1, ... of a Gaussian cut at three standard deviations."""
    weights = [math.exp(-0.5 * (k / sigma_px) ** 2) for k in range(math.ceil(3 * sigma_px) + 1)]
    total = 2.0 * sum(weights) - weights[0]
    return tuple(np.float32(weight / total) for weight in weights)


def _gaussian_blur(images: Floats, sigma_px: float) -> Floats:
    """Blur (band, H, W), mirrored at the border."""
    taps = gaussian_taps(sigma_px)
    radius = len(taps) - 1
    padded = np.pad(images, [(0, 0), (radius, radius), (radius, radius)], mode="reflect")
    # All pixels in one line, in which a step along an axis is a step of fixed length: two to three
    # times as fast as slices of each axis. What runs over an edge of a band ends in its padding.
    line = padded.reshape(-1)
    for step in (padded.shape[2], 1):
        reach = radius * step
        blurred = np.zeros_like(line)
        total = blurred[reach:-reach]
        np.multiply(line[reach:-reach], taps[0], out=total)
        both_sides = np.empty_like(total)
        for offset in range(1, radius + 1):
            before, after = reach - offset * step, reach + offset * step
            np.add(
                line[before : before + len(total)],
                line[after : after + len(total)],
                out=both_sides,
            )
            both_sides *= taps[offset]
            total += both_sides
        line = blurred
    return line.reshape(padded.shape)[:, radius:-radius, radius:-radius]
