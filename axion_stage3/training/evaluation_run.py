"""``axion-stage3 evaluate`` as functions: folders of tiles, or a checkpoint on simulated inputs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from axion_stage3.config import MAX_SAMPLES, MAX_SEED, MAX_TIMESTEPS
from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import (
    InputError,
    InputFolderError,
    TileError,
    TileReadError,
    UsageError,
)
from axion_stage3.inference.predictor import Predictor
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.progress import no_progress
from axion_stage3.tiles.pairing import find_pairs, find_tiles
from axion_stage3.tiles.tile_loading import load_optical, load_output, load_radar
from axion_stage3.training.baselines import PixelRegression, smoothed
from axion_stage3.training.dataset import load_tiles, read_groups, read_split_file
from axion_stage3.training.evaluation import (
    Evaluation,
    EvaluationCase,
    LeftOutTile,
    evaluate_cases,
)
from axion_stage3.training.radar_generator import (
    N_DRAWS,
    draw_for_tile,
    fold_of,
    read_generators,
)
from axion_stage3.training.surrogate_families import FAMILIES, surrogate_tile, validation_cases

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from axion_stage3.diffusion.checkpoint import Checkpoint
    from axion_stage3.progress import Advancing, Progress
    from axion_stage3.storage.locations import Location
    from axion_stage3.training.dataset import SplitEntry, TrainingTile
    from axion_stage3.training.radar_generator import RadarGenerator
    from axion_stage3.training.surrogate_families import ValidationCase

BUNDLED_GENERATORS: Final = (
    Path(__file__).parents[1] / "checkpoints" / "surrogate_generators.safetensors"
)
METHODS: Final = ("checkpoint", "smoothed", "regression")
"""What can make opt_final: a checkpoint, or a baseline (see ``training/baselines.py``)."""

GIVEN: Final = "given"
"""Name of the family of opt_v2 tiles that were given, not simulated."""

_log: Final = logging.getLogger(__name__)
_REGRESSION_FAMILIES: Final = ("hard", "mixed", "mild")

Grounded = tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]
"""opt_final, and the mean and standard deviation over several draws of it."""

Grounding = Callable[[str, np.ndarray, np.ndarray | None], Grounded]
"""From a tile's name, opt_v2 and s1, where there is one."""


@dataclass(frozen=True)
class GroundingOptions:
    """How a checkpoint is run during an evaluation.

    Attributes:
        method: ``checkpoint``, or a baseline in its place: see :data:`METHODS`.
        checkpoint: File or URL; None for the bundled reference checkpoint.
        timesteps: Network calls per tile; None for the checkpoint's number.
        seed: Of the noise.
        samples: Draws per tile; from 2 on, their mean and spread are judged too.
        device: See :func:`~axion_stage3.inference.devices.resolve_device`.

    Raises:
        UsageError: There is no such method, or a number is out of its range.
    """

    method: str = "checkpoint"
    checkpoint: Location | None = None
    timesteps: int | None = None
    seed: int = 0
    samples: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        _require_known([self.method], METHODS, "method")
        if self.timesteps is not None:
            hint = "Leave it out for the checkpoint's number."
            _require_within("--timesteps", self.timesteps, 1, MAX_TIMESTEPS, hint)
        _require_within("--seed", self.seed, 0, MAX_SEED, "Leave it out for 0.")
        hint = "Give a number from 2 on to judge the spread of the draws."
        _require_within("--samples", self.samples, 1, MAX_SAMPLES, hint)
        if self.samples > 1 and self.timesteps == 1:
            raise UsageError(
                f"{self.samples} samples at --timesteps 1 are all the same, the mean.",
                hint="Give --timesteps 2 or more, or leave --samples out.",
            )


def evaluate_folders(
    *,
    truth_dir: AnyPath,
    opt_v2_dir: AnyPath,
    opt_final_dir: AnyPath | None = None,
    s1_dir: AnyPath | None = None,
    split_file: AnyPath | None = None,
    options: GroundingOptions | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Compare given opt_v2 and opt_final tiles with their truth.

    Tiles that cannot be read, differ in size from their partners or have values that are not
    finite are left out and named.

    Args:
        truth_dir: True optical tiles.
        opt_v2_dir: Stage 2 tiles; those without a truth of the same name are only named.
        opt_final_dir: Output folder of ``infer``; None to run a checkpoint on the fly.
        s1_dir: Radar tiles; needed to run a checkpoint, and for the grounding score.
        split_file: CSV with tile and group; a tile that it does not name is a group of its own.
        options: How to run the checkpoint.
        progress: Shows how far the work is.

    Raises:
        UsageError: Neither ``opt_final_dir`` nor ``s1_dir`` is given, or the method is a baseline.
        InputError: A folder is missing or unreadable, or no tile can be evaluated.
        CheckpointError: The checkpoint is missing or unfit.
    """
    options = options or GroundingOptions()
    truth_dir, opt_v2_dir = Path(truth_dir), Path(opt_v2_dir)
    final_dir, radar_dir = path_or_none(opt_final_dir), path_or_none(s1_dir)
    if options.method != "checkpoint":
        raise UsageError(
            f"The method {options.method!r} is for held-out scenes.",
            hint="Give --data-dir and --split-file, or leave --method out.",
        )
    groups = {} if split_file is None else read_groups(Path(split_file))
    # Without radar there is nothing to run and no grounding to score.
    checkpoint = None if radar_dir is None else load_checkpoint(options.checkpoint)
    if final_dir is not None:
        ground = _given_outputs(final_dir)
    elif checkpoint is not None:
        ground = _grounding(checkpoint, options)
    else:
        raise UsageError(
            "There is nothing to compare with the truth.",
            hint="Add --opt-final-dir (outputs of infer), or --s1-dir to run the checkpoint.",
        )
    opt_v2_paths, s1_paths = _inputs(opt_v2_dir, radar_dir)
    truths = find_tiles(truth_dir)
    names, without_truth = _by_truth(opt_v2_paths, truths, truth_dir)

    def case(name: str) -> EvaluationCase:
        opt_v2, truth = load_optical(opt_v2_paths[name]), load_optical(truths[name])
        s1 = load_radar(s1_paths[name]) if s1_paths else None
        opt_final, draws = ground(name, opt_v2, s1)
        group = groups.get(name, name)
        return EvaluationCase(name, group, GIVEN, truth, opt_v2, opt_final, s1, draws)

    reference = checkpoint.grounding_reference if checkpoint else None
    left_out: list[LeftOutTile] = []
    with progress("Evaluating tiles", len(names)) as shown:
        evaluation = evaluate_cases(_usable(case, names, left_out, shown), reference)
    evaluation = _with_left_out(evaluation, left_out, truth_dir)
    return replace(evaluation, without_truth=without_truth)


def evaluate_surrogates(
    *,
    data_dir: AnyPath,
    split_file: AnyPath,
    families: Sequence[str] = FAMILIES,
    options: GroundingOptions | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Judge a checkpoint or a baseline on held-out scenes with simulated opt_v2, by family.

    Tiles that cannot be read, differ in size from their partners or have values that are not
    finite are left out and named.

    Args:
        data_dir: Folder with ``s1/`` and ``s2_truth/``.
        split_file: CSV with tile, group, split; the val tiles are judged, the train tiles lend
            material for the simulated faults.
        families: Names from :data:`~axion_stage3.training.surrogate_families.FAMILIES`.
        options: How to run the checkpoint.
        progress: Shows how far the work is.

    Raises:
        UsageError: There is no such family.
        InputError: A folder is missing, the split is unfit, or no tile of one side can be used.
        CheckpointError: The checkpoint is missing or unfit.
    """
    options = options or GroundingOptions()
    _require_known(families, FAMILIES, "surrogate family")
    checkpoint = load_checkpoint(options.checkpoint)
    entries = read_split_file(Path(split_file))
    left_out: list[LeftOutTile] = []
    donors, val = (
        _usable_tiles(
            Path(data_dir), [entry for entry in entries if entry.split == split], left_out
        )
        for split in ("train", "val")
    )
    generators = read_generators(BUNDLED_GENERATORS)
    if options.method == "checkpoint":
        ground = _grounding(checkpoint, options)
    else:
        ground = _baseline(options.method, donors, generators, progress)

    def evaluated(case: ValidationCase) -> EvaluationCase:
        name, group, truth, s1 = case.tile.name, case.tile.group, case.tile.truth, case.tile.s1
        opt_final, draws = ground(name, case.opt_v2, s1)
        return EvaluationCase(name, group, case.family, truth, case.opt_v2, opt_final, s1, draws)

    cases = map(evaluated, validation_cases(val, donors, generators, families))
    with progress("Evaluating tiles", len(val) * len(families)) as shown:
        evaluation = evaluate_cases(_counted(cases, shown), checkpoint.grounding_reference)
    return _with_left_out(evaluation, left_out, Path(data_dir))


def _require_within(option: str, value: int, lowest: int, highest: int, hint: str) -> None:
    if not lowest <= value <= highest:
        raise UsageError(f"{option} is {value}; it must be from {lowest} to {highest}.", hint=hint)


def _require_known(names: Iterable[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no {what} {name!r}.", hint=f"There are: {', '.join(known)}."
            )


def _usable_tiles(
    data_dir: Path, entries: Sequence[SplitEntry], left_out: list[LeftOutTile]
) -> list[TrainingTile]:
    """The tiles that can be read; the others are added to ``left_out``."""
    tiles: list[TrainingTile] = []
    for entry in entries:
        try:
            tiles += load_tiles(data_dir, [entry])
        except InputFolderError:
            raise
        except InputError as error:
            left_out.append(LeftOutTile(entry.tile, error.message))
    return sorted(tiles, key=lambda tile: tile.name) or load_tiles(data_dir, entries)


def _usable(
    case: Callable[[str], EvaluationCase],
    names: Iterable[str],
    left_out: list[LeftOutTile],
    shown: Advancing,
) -> Iterator[EvaluationCase]:
    """The cases that can be made; the tiles of the others are added to ``left_out``."""
    for name in names:
        try:
            made = case(name)
        except TileError as error:
            left_out.append(LeftOutTile(name, error.message))
        else:
            yield made
        shown.advance()


def _with_left_out(
    evaluation: Evaluation, unusable: Sequence[LeftOutTile], folder: Path
) -> Evaluation:
    """Name the tiles that never became a case, beside those whose case has no figures."""
    left_out = tuple(sorted((*unusable, *evaluation.left_out), key=lambda tile: tile.tile))
    if left_out and not evaluation.tiles:
        raise InputError(
            f"None of the {len(left_out)} tiles can be evaluated."
            f" Tile {left_out[0].tile}: {left_out[0].reason}",
            hint="`axion-stage3 inspect-tile` shows what a tile holds.",
            path=folder,
        )
    return replace(evaluation, left_out=left_out)


def _counted(cases: Iterable[EvaluationCase], shown: Advancing) -> Iterator[EvaluationCase]:
    for case in cases:
        yield case
        shown.advance()


def _inputs(
    opt_v2_dir: Path, s1_dir: Path | None
) -> tuple[Mapping[str, Location], Mapping[str, Location]]:
    """Paths of the opt_v2 and S1 tiles by name; without a folder of S1 there are none of these."""
    if s1_dir is None:
        return find_tiles(opt_v2_dir), {}
    pairs = find_pairs(opt_v2_dir, s1_dir).pairs
    return (
        {pair.name: pair.opt_v2_path for pair in pairs},
        {pair.name: pair.s1_path for pair in pairs},
    )


def _given_outputs(folder: Path) -> Grounding:
    """Read what a run made of a tile instead of making it."""
    found = find_tiles(folder)

    def read(name: str, _opt_v2: np.ndarray, _s1: np.ndarray | None) -> Grounded:
        if name not in found:
            raise TileReadError(
                f"There is no opt_final tile {name} in {folder}.",
                hint="Run infer on it first, or leave --opt-final-dir out and give --s1-dir.",
                path=folder,
                tile_name=name,
            )
        return load_output(found[name]), None

    return read


def _grounding(checkpoint: Checkpoint, options: GroundingOptions) -> Grounding:
    predictor = Predictor(checkpoint, options.device)

    def run(name: str, opt_v2: np.ndarray, s1: np.ndarray | None) -> Grounded:
        assert s1 is not None, "a checkpoint is run on pairs"
        prediction = predictor.predict(
            torch.from_numpy(opt_v2)[None],
            torch.from_numpy(s1)[None],
            [name],
            timesteps=options.timesteps,
            seed=options.seed,
            samples=options.samples,
        )
        draws = None
        if prediction.mean is not None and prediction.std is not None:
            draws = prediction.mean[0].numpy(), prediction.std[0].numpy()
        return prediction.opt_final[0].numpy(), draws

    return run


def _baseline(
    method: str,
    train: Sequence[TrainingTile],
    generators: Sequence[RadarGenerator],
    progress: Progress,
) -> Grounding:
    """A baseline in the checkpoint's place; a regression is fitted to the training tiles."""
    if method == "smoothed":
        return lambda _name, opt_v2, _s1: (smoothed(opt_v2), None)
    folds = fold_of(train)

    def examples(shown: Advancing) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for tile in train:
            generated = draw_for_tile(generators[folds[tile.group]], tile, N_DRAWS)
            for family in _REGRESSION_FAMILIES:
                yield surrogate_tile(family, tile, train, generated), tile.s1, tile.truth
            shown.advance()

    with progress("Fitting the regression", len(train)) as shown:
        regression = PixelRegression.fit(examples(shown))

    def regress(_name: str, opt_v2: np.ndarray, s1: np.ndarray | None) -> Grounded:
        assert s1 is not None, "held-out scenes have radar"
        return regression(opt_v2, s1), None

    return regress


def _by_truth(
    opt_v2: Collection[str], truths: Collection[str], truth_dir: Path
) -> tuple[list[str], tuple[str, ...]]:
    """Names of the opt_v2 tiles that have a truth, and of those that have none."""
    names, without = sorted(set(opt_v2) & set(truths)), sorted(set(opt_v2) - set(truths))
    for name in without:
        _log.debug("%s: left out, no truth of this name", name)
    if not names:
        raise InputError(
            f"None of the {len(opt_v2)} opt_v2 tiles has a truth of the same name in {truth_dir}.",
            hint="Truth is matched by file name below the folder.",
            path=truth_dir,
        )
    return names, tuple(without)
