"""The grounding score: does an optical tile agree with its radar as true tiles do? No truth needed.

Agreement with the radar alone would mislead: an optical tile made *from* the radar agrees with it
more than the truth. So each measure of a tile is placed among the same measure of *true* pairs of
like radar texture, in standard deviations z, and three factors of 0..1 are formed:

- structure = geometric mean over visible and NIR of 1 / (1 + exp(-z)), z of the agreement of edges:
  falls for detail that is invented, borrowed or misplaced;
- independence = 1 / (1 + excess) over the likeness to radar pixels, and over agreement of edges
  beyond what true pairs have: falls where the radar was copied into the optical;
- detail = 1 / (1 + excess) over the steepness of the spectrum: falls for blur and for noise;

where excess = mean of max(|z| - z0, 0)²: within z0 standard deviations a tile is like any true one
and differences say nothing. The score is structure x independence^(1/2) x detail^(1/4): wrong
detail weighs more than copied radar, and that more than blur.

The score compares versions of one tile (opt_v2 against opt_final) or many tiles. Between true tiles
it varies more than between a tile and its faulty version, so it is no verdict on a single tile. It
does not see colour casts or contrast errors, nor faults of detail smaller than the radar's noise;
over open water, where optical and radar have no edges in common, it says little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import CheckpointError, InputError, TileShapeError
from axion_stage3.statistics.grounding_measures import (
    EDGES,
    LIKENESSES,
    MEASURES,
    MIN_SCORED_PX,
    STEEPNESS_RINGS,
    TEXTURES,
    BlockMeasures,
    measure_blocks,
    measure_blocks_of_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

FORMAT_VERSION: Final = 1
TOLERANCE_Z: Final = 1.5
"""Likeness and steepness this many standard deviations from true pairs cost nothing."""

EDGE_TOLERANCE_Z: Final = 3.0
"""Agreement of edges this many standard deviations above true pairs costs nothing."""

INDEPENDENCE_EXPONENT: Final = 0.5
DETAIL_EXPONENT: Final = 0.25
MIN_BLOCKS: Final = 2
_RIDGE: Final = 3.0
_MIN_SPREAD: Final = 0.02

_EDGES: Final = slice(0, len(EDGES))
_LIKENESSES: Final = slice(len(EDGES), len(EDGES) + len(LIKENESSES))
_STEEPNESSES: Final = slice(len(EDGES) + len(LIKENESSES), len(MEASURES))


@dataclass(frozen=True, slots=True)
class GroundingScore:
    """How well an optical tile is grounded in its radar, and why.

    Attributes:
        score: 0..1; about 0.45 for a typical true tile. Higher is better.
        structure: 0..1, factor of the score: edges agree with the radar's. 0.5 is typical of true
            tiles.
        independence: 0..1, factor: no radar pixels in the optical.
        detail: 0..1, factor: the spectrum falls off as in true tiles.
        edges_visible: -1..1, raw agreement of visible edges with the radar's; 0 is unrelated.
        edges_nir: The same for NIR.
        radar_likeness: 0..1, root mean square likeness to radar pixels; 0 is unrelated.
        detail_power: Power at 0.12 to 0.5 cycles per pixel, relative to what true tiles of equal
            power at 0.06 to 0.12 have: 1 is right, below is blur, above is noise.
    """

    score: float
    structure: float
    independence: float
    detail: float
    edges_visible: float
    edges_nir: float
    radar_likeness: float
    detail_power: float


@dataclass(frozen=True)
class GroundingReference:
    """Measures of true pairs as a linear function of radar texture, with their spread.

    Attributes:
        n_blocks: Number of blocks it was fitted to.
        texture_mean: (3,) mean of each texture.
        texture_std: (3,) its standard deviation.
        expected: (measures,) value at mean texture.
        by_texture: (measures, 3) change for each standard deviation of texture.
        spread: (measures,) standard deviation of true pairs around the line.
    """

    n_blocks: int
    texture_mean: tuple[float, ...]
    texture_std: tuple[float, ...]
    expected: tuple[float, ...]
    by_texture: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]

    @classmethod
    def from_pairs(
        cls, pairs: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]]
    ) -> GroundingReference:
        """Fit the reference to true pairs (ridge regression on radar texture).

        Args:
            pairs: (optical, s1) of each pair: (4, H, W) reflectance that was really seen, and
                (2, H, W) backscatter in dB. Pairs below 48 px are left out.

        Raises:
            InputError: Fewer than two blocks can be measured.
        """
        blocks = [
            block
            for optical, s1 in pairs
            if min(optical.shape[1:]) >= MIN_SCORED_PX
            for block in measure_blocks(optical, s1)
        ]
        if len(blocks) < MIN_BLOCKS:
            raise InputError(
                f"A grounding reference needs at least {MIN_BLOCKS} true pairs of {MIN_SCORED_PX} "
                f"px or more; there are {len(blocks)}.",
                hint="Train on more or larger tiles.",
            )
        textures = np.stack([block.texture for block in blocks])
        values = np.stack([block.values for block in blocks])
        mean, std = textures.mean(axis=0), textures.std(axis=0) + 1e-6
        standard = (textures - mean) / std
        expected = values.mean(axis=0)
        gram = standard.T @ standard + _RIDGE * np.eye(len(TEXTURES))
        by_texture = np.linalg.solve(gram, standard.T @ (values - expected))
        residual = values - expected - standard @ by_texture
        return cls(
            n_blocks=len(blocks),
            texture_mean=_floats(mean),
            texture_std=_floats(std),
            expected=_floats(expected),
            by_texture=tuple(_floats(row) for row in by_texture.T),
            spread=_floats(np.maximum(residual.std(axis=0), _MIN_SPREAD)),
        )

    def z_values(self, block: BlockMeasures) -> NDArray[np.float64]:
        """Place the measures of a block among true pairs of like radar texture.

        Args:
            block: Measures of one block.

        Returns:
            (measures,) in standard deviations of true pairs.
        """
        arrays = self._arrays
        texture = (block.texture - arrays["texture_mean"]) / arrays["texture_std"]
        expected = arrays["expected"] + arrays["by_texture"] @ texture
        deviations: NDArray[np.float64] = block.values - expected
        return deviations / arrays["spread"]

    def detail_power(self, z: Sequence[float]) -> float:
        """Fine power of a block relative to true pairs (see :class:`GroundingScore`).

        Args:
            z: What :meth:`z_values` returns of the block.
        """
        surplus = list(map(mul, z[_STEEPNESSES], self.spread[_STEEPNESSES]))
        n_rings = len(STEEPNESS_RINGS)
        # Surplus of ring k + 1 over ring k adds up to the log power of each fine ring over ring 1.
        visible, nir = accumulate(surplus[:n_rings]), accumulate(surplus[n_rings:])
        return math.exp(_mean([*visible][1:] + [*nir][1:]))

    @cached_property
    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        """The numbers as arrays: every tile needs them."""
        names = ("texture_mean", "texture_std", "expected", "by_texture", "spread")
        return {name: np.array(getattr(self, name), dtype=np.float64) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Return the reference as a JSON document, one entry per measure."""
        return {
            "format": FORMAT_VERSION,
            "n_blocks": self.n_blocks,
            "textures": {
                name: {"mean": mean, "std": std}
                for name, mean, std in zip(
                    TEXTURES, self.texture_mean, self.texture_std, strict=True
                )
            },
            "measures": {
                name: {"expected": expected, "by_texture": list(slopes), "spread": spread}
                for name, expected, slopes, spread in zip(
                    MEASURES, self.expected, self.by_texture, self.spread, strict=True
                )
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GroundingReference:
        """Read what :meth:`to_json` returned.

        Raises:
            CheckpointError: The document is something else.
        """
        try:
            if document["format"] != FORMAT_VERSION:
                raise ValueError(f"format {document['format']!r} is not {FORMAT_VERSION}")
            textures = [document["textures"][name] for name in TEXTURES]
            measures = [document["measures"][name] for name in MEASURES]
            slopes = tuple(_floats(entry["by_texture"]) for entry in measures)
            if any(len(row) != len(TEXTURES) for row in slopes):
                raise ValueError("a measure does not have one slope per texture")
            return cls(
                n_blocks=int(document["n_blocks"]),
                texture_mean=_floats(entry["mean"] for entry in textures),
                texture_std=_positive(entry["std"] for entry in textures),
                expected=_floats(entry["expected"] for entry in measures),
                by_texture=slopes,
                spread=_positive(entry["spread"] for entry in measures),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"The grounding reference is not one that this version understands: {error}.",
                hint="Use a checkpoint written by `axion-stage3 train` of this version.",
            ) from error


def grounding_score(
    optical: NDArray[np.floating], s1: NDArray[np.floating], reference: GroundingReference
) -> GroundingScore:
    """Score one optical tile against its radar.

    Tiles of 192 px or more are scored in blocks of about 128 px; every figure is the mean over
    the blocks.

    Args:
        optical: (4, H, W) reflectance, finite; H, W >= 48.
        s1: (2, H, W) backscatter in dB, finite.
        reference: Measures of true pairs.

    Raises:
        TileShapeError: The tile is smaller than 48 px, or the sizes differ.
    """
    return grounding_scores([optical], s1, reference)[0]


def grounding_scores(
    opticals: Sequence[NDArray[np.floating]],
    s1: NDArray[np.floating],
    reference: GroundingReference,
) -> list[GroundingScore]:
    """Score several optical tiles against one radar tile, in little more time than one of them.

    Args:
        opticals: As for :func:`grounding_score`.
        s1: Likewise.
        reference: Likewise.

    Raises:
        TileShapeError: A tile is smaller than 48 px, or the sizes differ.
    """
    for optical in opticals:
        if optical.shape[1:] != s1.shape[1:] or min(optical.shape[1:]) < MIN_SCORED_PX:
            raise TileShapeError(
                f"Optical {optical.shape} and radar {s1.shape} cannot be scored: the grounding "
                f"score needs equal sizes of at least {MIN_SCORED_PX} px.",
                hint=f"Leave tiles below {MIN_SCORED_PX} px without a score.",
            )
    return scores_of_blocks(measure_blocks_of_all(opticals, s1), reference)


def scores_of_blocks(
    blocks: Iterable[Sequence[BlockMeasures]], reference: GroundingReference
) -> list[GroundingScore]:
    """Score tiles by their measures.

    Args:
        blocks: For each block the measures of each tile.
        reference: Measures of true pairs.
    """
    return [
        _mean_score([_score_block(block, reference) for block in blocks_of_one])
        for blocks_of_one in zip(*blocks, strict=True)
    ]


def _mean_score(scores: Sequence[GroundingScore]) -> GroundingScore:
    if len(scores) == 1:
        return scores[0]
    means = {
        entry.name: math.fsum(getattr(score, entry.name) for score in scores) / len(scores)
        for entry in fields(GroundingScore)
    }
    return GroundingScore(**means)


def _score_block(block: BlockMeasures, reference: GroundingReference) -> GroundingScore:
    # On so few numbers Python takes a quarter of the time of numpy.
    values, z = block.values.tolist(), reference.z_values(block).tolist()
    # The mean of log(1 + exp(-z)) over the bands is -log of the geometric mean.
    structure = math.exp(-_mean([_log_1_plus_exp(-edges) for edges in z[_EDGES]]))
    copied = [_excess(abs(likeness), TOLERANCE_Z) for likeness in z[_LIKENESSES]]
    copied += [_excess(edges, EDGE_TOLERANCE_Z) for edges in z[_EDGES]]
    independence = 1.0 / (1.0 + _mean(copied))
    detail = 1.0 / (1.0 + _mean([_excess(abs(slope), TOLERANCE_Z) for slope in z[_STEEPNESSES]]))
    visible, nir = values[_EDGES]
    return GroundingScore(
        score=structure * independence**INDEPENDENCE_EXPONENT * detail**DETAIL_EXPONENT,
        structure=structure,
        independence=independence,
        detail=detail,
        edges_visible=visible,
        edges_nir=nir,
        radar_likeness=math.sqrt(_mean([likeness * likeness for likeness in values[_LIKENESSES]])),
        detail_power=reference.detail_power(z),
    )


def _log_1_plus_exp(x: float) -> float:
    """log(1 + exp(x)) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _excess(z: float, tolerance: float) -> float:
    excess = max(z - tolerance, 0.0)
    return excess * excess


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _floats(values: Iterable[Any]) -> tuple[float, ...]:
    floats = tuple(float(value) for value in values)
    if not all(math.isfinite(value) for value in floats):
        raise ValueError("a value is not finite")
    return floats


def _positive(values: Iterable[Any]) -> tuple[float, ...]:
    floats = _floats(values)
    if not all(value > 0 for value in floats):
        raise ValueError("a spread is not positive")
    return floats
