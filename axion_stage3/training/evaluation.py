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
_MOST_PICKS: Final = 1_000_000
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
        without_truth: Names of opt_v2 tiles that have no truth of the same name.
    """

    schema_version: int
    command: str
    families: tuple[FamilySummary, ...]
    tiles: tuple[TileEvaluation, ...]
    left_out: tuple[LeftOutTile, ...]
    without_truth: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """Everything measured, by tile and by family, and the tiles that could not be.

    Attributes:
        tiles: Every tile that was evaluated.
        families: A summary of each family of opt_v2 tiles.
        left_out: Tiles that could not be; no figure counts them.
        without_truth: Names of opt_v2 tiles that have no truth of the same name, sorted.
    """

    tiles: tuple[TileEvaluation, ...]
    families: tuple[FamilySummary, ...]
    left_out: tuple[LeftOutTile, ...] = ()
    without_truth: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return a versioned JSON document; docs/schemas/evaluate.schema.json describes it."""
        return asdict(
            EvaluationDocument(
                EVALUATION_SCHEMA_VERSION,
                "evaluate",
                self.families,
                self.tiles,
                self.left_out,
                self.without_truth,
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


@dataclass(frozen=True)
class _Groups:
    """Which group each tile is of, by number, and how many tiles each group has."""

    index: np.ndarray
    n_tiles: np.ndarray

    @classmethod
    def of(cls, tiles: Sequence[TileEvaluation]) -> _Groups:
        numbers = {group: n for n, group in enumerate(sorted({tile.group for tile in tiles}))}
        index = np.array([numbers[tile.group] for tile in tiles], dtype=np.intp)
        return cls(index, np.bincount(index))

    def means(self, values: Sequence[float]) -> np.ndarray:
        """Mean of a figure over the tiles of each group."""
        means: np.ndarray = np.bincount(self.index, values) / self.n_tiles
        return means


def _summarise(family: str, tiles: Sequence[TileEvaluation]) -> FamilySummary:
    groups = _Groups.of(tiles)
    by_gain = sorted(tiles, key=lambda tile: tile.opt_final["psnr"] - tile.opt_v2["psnr"])
    return FamilySummary(
        family=family,
        n_tiles=len(tiles),
        n_groups=len(groups.n_tiles),
        metrics=_summarise_metrics(tiles, groups),
        worst=tuple(tile.tile for tile in by_gain[:_N_WORST]),
        grounding_accuracy=_grounding_accuracy(tiles),
        draws=_summarise_draws(tiles, len(groups.n_tiles)),
    )


def _grounding_accuracy(tiles: Sequence[TileEvaluation]) -> float | None:
    is_above = [
        tile.truth_grounding > tile.opt_v2["grounding"]
        for tile in tiles
        if tile.truth_grounding is not None
    ]
    return float(np.mean(is_above)) if is_above else None


def _summarise_draws(tiles: Sequence[TileEvaluation], n_groups: int) -> dict[str, float] | None:
    judged = [tile for tile in tiles if tile.draws is not None]
    draws = [tile.draws for tile in tiles if tile.draws is not None]
    groups = _Groups.of(judged)
    if len(groups.n_tiles) < n_groups:
        return None  # a mean over some of the groups would be another figure
    return {name: float(groups.means([of[name] for of in draws]).mean()) for name in draws[0]}


def _summarise_metrics(
    tiles: Sequence[TileEvaluation], groups: _Groups
) -> dict[str, MetricSummary]:
    names = sorted(set.intersection(*(set(t.opt_v2) & set(t.opt_final) for t in tiles)))
    before = np.array([[tile.opt_v2[name] for tile in tiles] for name in names])
    after = np.array([[tile.opt_final[name] for tile in tiles] for name in names])
    means_before = np.array([groups.means(values) for values in before])
    means_after = np.array([groups.means(values) for values in after])
    differences = means_after - means_before
    intervals = _bootstrap_intervals(differences)
    summaries = {}
    for k, name in enumerate(names):
        base_name = next((known for known in HIGHER_IS_BETTER if name.startswith(known)), None)
        sign = 0 if base_name is None else (1 if HIGHER_IS_BETTER[base_name] else -1)
        is_better = sign * differences[k] > 0
        is_better_tile = sign * (after[k] - before[k]) > 0
        low, high = intervals[k]
        summaries[name] = MetricSummary(
            opt_v2=float(means_before[k].mean()),
            opt_final=float(means_after[k].mean()),
            difference=float(differences[k].mean()),
            low=float(low),
            high=float(high),
            groups_improved=float(is_better.mean()) if sign else None,
            tiles_improved=float(is_better_tile.mean()) if sign else None,
        )
    return summaries


def _bootstrap_intervals(differences: np.ndarray) -> np.ndarray:
    """95 % percentile intervals of the means of metrics (rows) over groups (columns), resampled.

    All metrics share the draws, which are the same for as many groups, and are made some at a time:
    memory does not grow with the resamples.
    """
    random = np.random.default_rng(0)
    n_metrics, n_groups = differences.shape
    n_at_once = max(1, _MOST_PICKS // n_groups)
    means = np.empty((n_metrics, _N_RESAMPLES))
    for start in range(0, _N_RESAMPLES, n_at_once):
        some = slice(start, min(start + n_at_once, _N_RESAMPLES))
        picks = random.integers(n_groups, size=(some.stop - start, n_groups))
        for of_metric, values in zip(means, differences, strict=True):
            of_metric[some] = values[picks].mean(axis=1)
    ends: np.ndarray = np.percentile(means, _INTERVAL, axis=1)
    return ends.T
