"""``axion-stage3 evaluate`` as functions: folders of tiles, or a checkpoint on simulated inputs."""

from __future__ import annotations

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
from axion_stage3.training.dataset import load_tiles, read_split_file
from axion_stage3.training.evaluation import Evaluation, EvaluationCase, evaluate_cases
from axion_stage3.training.radar_generator import read_generators
from axion_stage3.training.surrogate_families import FAMILIES, validation_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

BUNDLED_GENERATORS: Final = (
    Path(__file__).parents[1] / "checkpoints" / "surrogate_generators.safetensors"
)
GIVEN: Final = "given"
"""Name of the family of opt_v2 tiles that were given, not simulated."""


@dataclass(frozen=True)
class GroundingOptions:
    """How a checkpoint is run during an evaluation.

    Attributes:
        checkpoint: File; None for the bundled reference checkpoint.
        timesteps: Network calls per tile; None for the checkpoint's number.
        seed: Of the noise.
        device: See :func:`~axion_stage3.inference.devices.resolve_device`.
    """

    checkpoint: Path | None = None
    timesteps: int | None = None
    seed: int = 0
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
        s1_dir: Radar tiles; needed only to run a checkpoint.
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
    if final_dir is not None:
        finals = find_tiles(final_dir)
        names = _with_truth(find_tiles(opt_v2_dir), truths, truth_dir)
        opt_v2_paths = find_tiles(opt_v2_dir)
        predict = None
    else:
        assert s1_dir is not None
        pairs = {pair.name: pair for pair in find_pairs(opt_v2_dir, Path(s1_dir)).pairs}
        names = _with_truth(pairs, truths, truth_dir)
        opt_v2_paths = {name: pairs[name].opt_v2_path for name in names}
        predict = _grounding(options or GroundingOptions())

    def cases() -> Iterator[EvaluationCase]:
        for name in names:
            opt_v2 = load_optical(opt_v2_paths[name])
            if predict is None:
                opt_final = load_output(_partner(finals, name, final_dir))
            else:
                opt_final = predict(name, opt_v2, load_radar(pairs[name].s1_path))
            truth = load_optical(truths[name])
            if not truth.shape == opt_v2.shape == opt_final.shape:
                raise TileShapeError(
                    f"Tile {name}: truth {truth.shape}, opt_v2 {opt_v2.shape} and opt_final"
                    f" {opt_final.shape} differ in size.",
                    hint="Compare tiles of the same scene and grid.",
                    tile_name=name,
                )
            yield EvaluationCase(name, groups.get(name, name), GIVEN, truth, opt_v2, opt_final)
            on_tile()

    return evaluate_cases(cases())


def evaluate_surrogates(
    *,
    data_dir: AnyPath,
    split_file: AnyPath,
    families: Sequence[str] = FAMILIES,
    options: GroundingOptions | None = None,
    on_tile: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Judge a checkpoint on held-out scenes with simulated opt_v2, family by family.

    Args:
        data_dir: Folder with ``s1/`` and ``s2_truth/``.
        split_file: CSV with tile, group, split; the val tiles are judged, the train tiles lend
            material for the simulated faults.
        families: Names from :data:`~axion_stage3.training.surrogate_families.FAMILIES`.
        options: How to run the checkpoint.
        on_tile: Called after each tile.

    Raises:
        UsageError: There is no such family.
        InputError: The split or a tile is missing or unfit.
        CheckpointError: The checkpoint is missing or unfit.
    """
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise UsageError(
            f"There is no surrogate family {unknown[0]!r}.",
            hint=f"Families: {', '.join(FAMILIES)}.",
        )
    predict = _grounding(options or GroundingOptions())
    entries = read_split_file(Path(split_file))
    donors, val = (
        load_tiles(Path(data_dir), [entry for entry in entries if entry.split == split])
        for split in ("train", "val")
    )
    generators = read_generators(BUNDLED_GENERATORS)

    def cases() -> Iterator[EvaluationCase]:
        for case in validation_cases(val, donors, generators, families):
            tile = case.tile
            opt_final = predict(tile.name, case.opt_v2, tile.s1)
            yield EvaluationCase(
                tile.name, tile.group, case.family, tile.truth, case.opt_v2, opt_final
            )
            on_tile()

    return evaluate_cases(cases())


def _grounding(
    options: GroundingOptions,
) -> Callable[[str, np.ndarray, np.ndarray], np.ndarray]:
    predictor = Predictor(load_checkpoint(options.checkpoint), options.device)

    def ground_tile(name: str, opt_v2: np.ndarray, s1: np.ndarray) -> np.ndarray:
        prediction = predictor.predict(
            torch.from_numpy(opt_v2)[None],
            torch.from_numpy(s1)[None],
            [name],
            timesteps=options.timesteps,
            seed=options.seed,
        )
        return np.asarray(prediction.opt_final[0].numpy())

    return ground_tile


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
