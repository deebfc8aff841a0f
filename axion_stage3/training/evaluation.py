"""Evaluation against truth: opt_v2 and opt_final side by side, with intervals over scenes.

Tiles of one group (acquisition or place) resemble each other, so figures are means over groups of
the mean over a group's tiles, and intervals come from resampling groups (Efron and Tibshirani 1993,
chapter 13: the percentile bootstrap), never tiles.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Mapping  # noqa: TC003  the JSON schema needs the name
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axion_stage3.errors import TileError, TilePixelsError, TileShapeError
from axion_stage3.statistics.grounding import grounding_score
from axion_stage3.statistics.grounding_measures import MIN_SCORED_PX
from axion_stage3.statistics.image_quality import image_quality, psnr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from axion_stage3.statistics.grounding import GroundingReference

EVALUATION_SCHEMA_VERSION: Final = 1
PSNR_CEILING_DB: Final = 100.0
"""No PSNR counts for more: that of equal arrays is infinite, rounding alone makes 150 dB of it."""

HIGHER_IS_BETTER: Final = {
    "psnr": True,
    "ssim": True,
    "sam_degrees": False,
    "mae": False,
    "rmse": False,
    "grounding": True,
}
"""Metrics for which a share of improved groups and tiles is meaningful."""

_log: Final = logging.getLogger(__name__)
_N_RESAMPLES: Final = 2000
_INTERVAL: Final = (2.5, 97.5)
_N_WORST: Final = 5
_STD_COUNTS: Final = (1, 2, 3)


@dataclass(frozen=True)
class EvaluationCase:
    """A tile before and after grounding, with its truth; arrays are (4, H, W), reflectance.

    Attributes:
        tile: File name.
        group: Acquisition or place; a tile of its own group where none is known.
        family: Surrogate family of opt_v2, or ``given``.
        truth: What was there.
        opt_v2: Before.
        opt_final: After.
        s1: Radar, (2, H, W), dB; None leaves out what needs it.
        draws: Mean and standard deviation over several draws of opt_final, if there are any.
    """

    tile: str
    group: str
    family: str
    truth: np.ndarray
    opt_v2: np.ndarray
    opt_final: np.ndarray
    s1: np.ndarray | None = None
    draws: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class TileEvaluation:
    """Metrics of one tile, before and after.

    Attributes:
        tile: Name of the tile.
        group: Acquisition or place; the tile itself where none is known.
        family: Surrogate family of opt_v2, or ``given``.
        opt_v2: Metric to value before; PSNR in dB, SAM in degrees, errors in reflectance.
        opt_final: The same after.
        truth_grounding: Grounding score of the truth; None where tiles cannot be scored.
        draws: Of several draws of opt_final: ``psnr_of_mean``, dB, and the shares of values whose
            true value lies ``within_1_std`` to ``within_3_std`` of that mean; None without draws.
    """

    tile: str
    group: str
    family: str
    opt_v2: Mapping[str, float]
    opt_final: Mapping[str, float]
    truth_grounding: float | None
    draws: Mapping[str, float] | None


@dataclass(frozen=True)
class LeftOutTile:
    """A tile that could not be evaluated.

    Attributes:
        tile: Name of the tile.
        reason: What is wrong with it, or with one of its partners.
    """

    tile: str
    reason: str


@dataclass(frozen=True)
class MetricSummary:
    """One metric over the groups of one family.

    Attributes:
        opt_v2: Mean over groups.
        opt_final: Mean over groups.
        difference: opt_final less opt_v2.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end.
        groups_improved: Share of groups that improved; None for metrics without a direction.
        tiles_improved: Share of tiles that improved; None likewise.
    """

    opt_v2: float
    opt_final: float
    difference: float
    low: float
    high: float
    groups_improved: float | None
    tiles_improved: float | None


@dataclass(frozen=True)
class FamilySummary:
    """All metrics of one family.

    Attributes:
        family: Its name.
        n_tiles: Number of tiles.
        n_groups: Number of groups.
        metrics: By name.
        worst: Names of the tiles whose PSNR fell most (or rose least), worst first.
        grounding_accuracy: Share of tiles whose truth has a higher grounding score than opt_v2.
        draws: Mean over groups of what each tile says of its draws.
    """

    family: str
    n_tiles: int
    n_groups: int
    metrics: Mapping[str, MetricSummary]
    worst: tuple[str, ...]
    grounding_accuracy: float | None
    draws: Mapping[str, float] | None


@dataclass(frozen=True)
class EvaluationDocument:
    """Everything measured, by family and by tile.

    Attributes:
        schema_version: Version of this layout.
        command: ``evaluate``.
        families: A summary of each family of opt_v2 tiles.
        tiles: Every tile that was evaluated.
        left_out: Tiles that could not be; no figure counts them.
    """

    schema_version: int
    command: str
    families: tuple[FamilySummary, ...]
    tiles: tuple[TileEvaluation, ...]
    left_out: tuple[LeftOutTile, ...]


@dataclass(frozen=True)
class Evaluation:
    """Everything measured, by tile and by family, and the tiles that could not be."""

    tiles: tuple[TileEvaluation, ...]
    families: tuple[FamilySummary, ...]
    left_out: tuple[LeftOutTile, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return a versioned JSON document; docs/schemas/evaluate.schema.json describes it."""
        return asdict(
            EvaluationDocument(
                EVALUATION_SCHEMA_VERSION, "evaluate", self.families, self.tiles, self.left_out
            )
        )


def evaluate_cases(
    cases: Iterable[EvaluationCase], reference: GroundingReference | None = None
) -> Evaluation:
    """Measure every case and summarise by family.

    Cases whose arrays differ in size, or are not finite throughout, are left out and their tiles
    named, each once.

    Args:
        cases: Consumed one by one: memory does not grow with the pixels.
        reference: Measures of true pairs; with them, tiles with radar get a grounding score.
    """
    by_family: dict[str, list[TileEvaluation]] = defaultdict(list)
    tiles: list[TileEvaluation] = []
    reasons: dict[str, str] = {}
    for case in cases:
        try:
            tile = _evaluate(case, reference)
        except TileError as error:
            reasons.setdefault(case.tile, error.message)
        else:
            tiles.append(tile)
            by_family[tile.family].append(tile)
    families = tuple(_summarise(name, found) for name, found in by_family.items())
    left_out = tuple(LeftOutTile(tile, reason) for tile, reason in reasons.items())
    return Evaluation(tuple(tiles), families, left_out)


def _evaluate(case: EvaluationCase, reference: GroundingReference | None) -> TileEvaluation:
    _require_comparable(case)
    before = _finite(image_quality(case.opt_v2, case.truth))
    after = _finite(image_quality(case.opt_final, case.truth))
    truth_grounding = None
    if case.s1 is not None and reference is not None and min(case.s1.shape[1:]) >= MIN_SCORED_PX:
        before["grounding"], after["grounding"], truth_grounding = (
            grounding_score(optical, case.s1, reference).score
            for optical in (case.opt_v2, case.opt_final, case.truth)
        )
    draws = None if case.draws is None else _judge_draws(case.truth, *case.draws)
    _log.debug(
        "%s (%s): PSNR %.2f to %.2f dB", case.tile, case.family, before["psnr"], after["psnr"]
    )
    return TileEvaluation(case.tile, case.group, case.family, before, after, truth_grounding, draws)


def _require_comparable(case: EvaluationCase) -> None:
    """Refuse what has no figures, or would have wrong ones."""
    arrays = {"truth": case.truth, "opt_v2": case.opt_v2, "opt_final": case.opt_final}
    if case.s1 is not None:
        arrays["s1"] = case.s1
    if len({array.shape[1:] for array in arrays.values()}) > 1:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise TileShapeError(
            f"{listed} differ in size.",
            hint="Compare tiles of the same scene and grid.",
            tile_name=case.tile,
        )
    if case.draws is not None:
        arrays["mean of the draws"], arrays["spread of the draws"] = case.draws
    for name, array in arrays.items():
        n_invalid = array.size - np.count_nonzero(np.isfinite(array))
        if n_invalid:
            raise TilePixelsError(
                f"{name} has values that are NaN or infinite: {n_invalid} of {array.size}.",
                hint="Make it again, or take the tile out.",
                tile_name=case.tile,
            )


def _judge_draws(truth: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, float]:
    """PSNR of the mean of draws, and how often the truth lies within 1 to 3 of their spreads."""
    error = np.abs(truth - mean)
    shares = {f"within_{k}_std": float((error <= k * std).mean()) for k in _STD_COUNTS}
    return {"psnr_of_mean": min(psnr(mean, truth), PSNR_CEILING_DB), **shares}


def _finite(quality: dict[str, float]) -> dict[str, float]:
    """PSNR up to its ceiling; power of detail over none at all is left out."""
    bounded = {
        name: min(value, PSNR_CEILING_DB) if name.startswith("psnr") else value
        for name, value in quality.items()
    }
    return {name: value for name, value in bounded.items() if math.isfinite(value)}


def _summarise(family: str, tiles: Sequence[TileEvaluation]) -> FamilySummary:
    groups = sorted({tile.group for tile in tiles})
    names = set.intersection(*(set(t.opt_v2) & set(t.opt_final) for t in tiles))
    by_gain = sorted(tiles, key=lambda tile: tile.opt_final["psnr"] - tile.opt_v2["psnr"])
    return FamilySummary(
        family=family,
        n_tiles=len(tiles),
        n_groups=len(groups),
        metrics={name: _summarise_metric(name, tiles, groups) for name in sorted(names)},
        worst=tuple(tile.tile for tile in by_gain[:_N_WORST]),
        grounding_accuracy=_grounding_accuracy(tiles),
        draws=_summarise_draws(tiles, groups),
    )


def _grounding_accuracy(tiles: Sequence[TileEvaluation]) -> float | None:
    is_above = [
        tile.truth_grounding > tile.opt_v2["grounding"]
        for tile in tiles
        if tile.truth_grounding is not None
    ]
    return float(np.mean(is_above)) if is_above else None


def _summarise_draws(
    tiles: Sequence[TileEvaluation], groups: Sequence[str]
) -> dict[str, float] | None:
    by_group = [
        [tile.draws for tile in tiles if tile.group == group and tile.draws is not None]
        for group in groups
    ]
    if not all(by_group):
        return None
    return {
        name: float(np.mean([np.mean([draws[name] for draws in found]) for found in by_group]))
        for name in by_group[0][0]
    }


def _summarise_metric(
    name: str, tiles: Sequence[TileEvaluation], groups: Sequence[str]
) -> MetricSummary:
    values = np.array([(tile.opt_v2[name], tile.opt_final[name]) for tile in tiles])
    members = [np.array([tile.group == group for tile in tiles]) for group in groups]
    means = np.array([values[member].mean(axis=0) for member in members])
    differences = means[:, 1] - means[:, 0]
    low, high = _bootstrap_interval(differences)
    base_name = next((known for known in HIGHER_IS_BETTER if name.startswith(known)), None)
    sign = 0 if base_name is None else (1 if HIGHER_IS_BETTER[base_name] else -1)
    tile_differences = values[:, 1] - values[:, 0]
    return MetricSummary(
        opt_v2=float(means[:, 0].mean()),
        opt_final=float(means[:, 1].mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        groups_improved=float((sign * differences > 0).mean()) if sign else None,
        tiles_improved=float((sign * tile_differences > 0).mean()) if sign else None,
    )


def _bootstrap_interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the mean, resampling groups; the same for the same input."""
    random = np.random.default_rng(0)
    picks = random.integers(len(differences), size=(_N_RESAMPLES, len(differences)))
    low, high = np.percentile(differences[picks].mean(axis=1), _INTERVAL)
    return float(low), float(high)
