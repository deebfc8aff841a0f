"""``axion-stage3 evaluate`` as functions: folders of tiles, or a checkpoint on simulated inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import InputError, TileShapeError, UsageError
from axion_stage3.inference.predictor import Predictor
from axion_stage3.paths import AnyPath, path_or_none
from axion_stage3.tiles.pairing import find_pairs, find_tiles
from axion_stage3.tiles.tile_loading import load_optical, load_output, load_radar
from axion_stage3.training.baselines import PixelRegression, smoothed
from axion_stage3.training.dataset import load_tiles, read_split_file
from axion_stage3.training.evaluation import Evaluation, EvaluationCase, evaluate_cases
from axion_stage3.training.radar_generator import (
    N_DRAWS,
    draw_for_tile,
    fold_of,
    read_generators,
)
from axion_stage3.training.surrogate_families import FAMILIES, surrogate_tile, validation_cases

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from axion_stage3.diffusion.checkpoint import Checkpoint
    from axion_stage3.storage.locations import Location
    from axion_stage3.training.dataset import TrainingTile
    from axion_stage3.training.radar_generator import RadarGenerator

BUNDLED_GENERATORS: Final = (
    Path(__file__).parents[1] / "checkpoints" / "surrogate_generators.safetensors"
)
METHODS: Final = ("checkpoint", "smoothed", "regression")
"""What can make opt_final: a checkpoint, or a baseline (see ``training/baselines.py``)."""

GIVEN: Final = "given"
"""Name of the family of opt_v2 tiles that were given, not simulated."""


_REGRESSION_FAMILIES: Final = ("hard", "mixed", "mild")

Grounded = tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]
"""opt_final, and the mean and standard deviation over several draws of it."""

Grounding = Callable[[str, np.ndarray, np.ndarray], Grounded]
"""From a tile's name, opt_v2 and s1."""


@dataclass(frozen=True)
class GroundingOptions:
    """How a checkpoint is run during an evaluation.

    Attributes:
        method: ``checkpoint``, or a baseline in its place: see :data:`METHODS`.
        checkpoint: File; None for the bundled reference checkpoint.
        timesteps: Network calls per tile; None for the checkpoint's number.
        seed: Of the noise.
        samples: Draws per tile; from 2 on, their mean and spread are judged too.
        device: See :func:`~axion_stage3.inference.devices.resolve_device`.
    """

    method: str = "checkpoint"
    checkpoint: Path | None = None
    timesteps: int | None = None
    seed: int = 0
    samples: int = 1
    device: str = "auto"


def evaluate_folders(
    *,
    truth_dir: AnyPath,
    opt_v2_dir: AnyPath,
    opt_final_dir: AnyPath | None = None,
    s1_dir: AnyPath | None = None,
    split_file: AnyPath | None = None,
    options: GroundingOptions | None = None,
    on_tile: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Compare given opt_v2 and opt_final tiles with their truth.

    Args:
        truth_dir: True optical tiles.
        opt_v2_dir: Stage 2 tiles; each needs a truth of the same name.
        opt_final_dir: Output folder of ``infer``; None to run a checkpoint on the fly.
        s1_dir: Radar tiles; needed to run a checkpoint, and for the grounding score.
        split_file: CSV with tile and group; without it every tile is a group of its own.
        options: How to run the checkpoint.
        on_tile: Called after each tile.

    Raises:
        UsageError: Neither ``opt_final_dir`` nor ``s1_dir`` is given.
        InputError: A folder or tile is missing, unreadable or of another shape.
        CheckpointError: The checkpoint is missing or unfit.
    """
    if opt_final_dir is None and s1_dir is None:
        raise UsageError(
            "There is nothing to compare with the truth.",
            hint="Add --opt-final-dir (outputs of infer), or --s1-dir to run the checkpoint.",
        )
    truth_dir, opt_v2_dir, final_dir = (
        Path(truth_dir),
        Path(opt_v2_dir),
        path_or_none(opt_final_dir),
    )
    truths, finals = find_tiles(truth_dir), {}
    groups = {e.tile: e.group for e in read_split_file(Path(split_file))} if split_file else {}
    options = options or GroundingOptions()
    # Without radar there is nothing to run and no grounding to score.
    checkpoint = None if s1_dir is None else load_checkpoint(options.checkpoint)
    if final_dir is not None:
        finals = find_tiles(final_dir)
    if s1_dir is None:
        opt_v2_paths: Mapping[str, Location] = find_tiles(opt_v2_dir)
        s1_paths: Mapping[str, Location] = {}
    else:
        pairs = find_pairs(opt_v2_dir, Path(s1_dir)).pairs
        opt_v2_paths = {pair.name: pair.opt_v2_path for pair in pairs}
        s1_paths = {pair.name: pair.s1_path for pair in pairs}
    names = _with_truth(opt_v2_paths, truths, truth_dir)
    predict = None
    if final_dir is None and checkpoint is not None:
        predict = _grounding(checkpoint, options)

    def cases() -> Iterator[EvaluationCase]:
        for name in names:
            opt_v2 = load_optical(opt_v2_paths[name])
            s1 = load_radar(s1_paths[name]) if s1_paths else None
            if predict is None:
                opt_final, draws = load_output(_partner(finals, name, final_dir)), None
            else:
                assert s1 is not None
                opt_final, draws = predict(name, opt_v2, s1)
            truth = load_optical(truths[name])
            if not truth.shape == opt_v2.shape == opt_final.shape:
                raise TileShapeError(
                    f"Tile {name}: truth {truth.shape}, opt_v2 {opt_v2.shape} and opt_final"
                    f" {opt_final.shape} differ in size.",
                    hint="Compare tiles of the same scene and grid.",
                    tile_name=name,
                )
            group = groups.get(name, name)
            yield EvaluationCase(name, group, GIVEN, truth, opt_v2, opt_final, s1, draws)
            on_tile()

    return evaluate_cases(cases(), checkpoint.grounding_reference if checkpoint else None)


def evaluate_surrogates(
    *,
    data_dir: AnyPath,
    split_file: AnyPath,
    families: Sequence[str] = FAMILIES,
    options: GroundingOptions | None = None,
    on_tile: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Judge a checkpoint or a baseline on held-out scenes with simulated opt_v2, by family.

    Args:
        data_dir: Folder with ``s1/`` and ``s2_truth/``.
        split_file: CSV with tile, group, split; the val tiles are judged, the train tiles lend
            material for the simulated faults.
        families: Names from :data:`~axion_stage3.training.surrogate_families.FAMILIES`.
        options: How to run the checkpoint.
        on_tile: Called after each tile.

    Raises:
        UsageError: There is no such family or method.
        InputError: The split or a tile is missing or unfit.
        CheckpointError: The checkpoint is missing or unfit.
    """
    options = options or GroundingOptions()
    for name, known, what in (
        *((family, FAMILIES, "surrogate family") for family in families),
        (options.method, METHODS, "method"),
    ):
        if name not in known:
            raise UsageError(
                f"There is no {what} {name!r}.", hint=f"There are: {', '.join(known)}."
            )
    checkpoint = load_checkpoint(options.checkpoint)
    entries = read_split_file(Path(split_file))
    donors, val = (
        load_tiles(Path(data_dir), [entry for entry in entries if entry.split == split])
        for split in ("train", "val")
    )
    generators = read_generators(BUNDLED_GENERATORS)
    if options.method == "checkpoint":
        predict = _grounding(checkpoint, options)
    else:
        predict = _baseline(options.method, donors, generators)

    def cases() -> Iterator[EvaluationCase]:
        for case in validation_cases(val, donors, generators, families):
            tile = case.tile
            opt_final, draws = predict(tile.name, case.opt_v2, tile.s1)
            yield EvaluationCase(
                tile.name,
                tile.group,
                case.family,
                tile.truth,
                case.opt_v2,
                opt_final,
                tile.s1,
                draws,
            )
            on_tile()

    return evaluate_cases(cases(), checkpoint.grounding_reference)


def _grounding(checkpoint: Checkpoint, options: GroundingOptions) -> Grounding:
    if options.samples < 1:
        raise UsageError(
            f"--samples is {options.samples}; it must be at least 1.",
            hint="Give a number from 2 on to judge the spread of the draws.",
        )
    predictor = Predictor(checkpoint, options.device)

    def ground_tile(name: str, opt_v2: np.ndarray, s1: np.ndarray) -> Grounded:
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

    return ground_tile


def _baseline(
    method: str, train: Sequence[TrainingTile], generators: Sequence[RadarGenerator]
) -> Grounding:
    """A baseline in the checkpoint's place; a regression is fitted to the training tiles."""
    if method == "smoothed":
        return lambda _name, opt_v2, _s1: (smoothed(opt_v2), None)
    folds = fold_of(train)
    regression = PixelRegression.fit(
        (surrogate_tile(family, tile, train, generated), tile.s1, tile.truth)
        for tile in train
        for generated in [draw_for_tile(generators[folds[tile.group]], tile, N_DRAWS)]
        for family in _REGRESSION_FAMILIES
    )
    return lambda _name, opt_v2, s1: (regression(opt_v2, s1), None)


def _with_truth(opt_v2: Collection[str], truths: Collection[str], truth_dir: Path) -> list[str]:
    names = sorted(set(opt_v2) & set(truths))
    if not names:
        raise InputError(
            f"None of the {len(opt_v2)} opt_v2 tiles has a truth of the same name in {truth_dir}.",
            hint="Truth is matched by file name below the folder.",
            path=truth_dir,
        )
    return names


def _partner(finals: dict[str, Path], name: str, folder: Path | None) -> Path:
    if name not in finals:
        raise InputError(
            f"There is no opt_final tile {name} in {folder}.",
            hint="Run infer on it first, or leave --opt-final-dir out and give --s1-dir.",
            path=folder,
            tile_name=name,
        )
    return finals[name]
