"""What training stands on: tiles, generators, surrogates for validation, measured constants."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from axion_stage3.diffusion.highpass import highpass
from axion_stage3.diffusion.network import GroundingNetwork, to_network_space
from axion_stage3.errors import InputError, UsageError
from axion_stage3.statistics.grounding import GroundingReference
from axion_stage3.training.dataset import (
    TileSet,
    TrainingTile,
    load_tiles,
    read_split_file,
)
from axion_stage3.training.radar_generator import (
    N_DRAWS,
    RadarGenerator,
    draw_for_tile,
    fit_generators,
    fold_of,
    read_generators,
    write_generators,
)
from axion_stage3.training.stage2_surrogates import scene_of, training_surrogate
from axion_stage3.training.surrogate_families import ValidationCase, validation_cases

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from axion_stage3.training.training_config import TrainingConfig
    from axion_stage3.training.training_observer import TrainingObserver

VALIDATION_FAMILIES = ("hard", "generator", "mixed", "mild", "truth")
_BATCHES_FOR_CONSTANTS = 24
_GENERATOR_CROP_PX = 64


@dataclass(frozen=True)
class TrainingMaterial:
    """All data of a training run, in memory.

    Attributes:
        tiles: Training tiles with their generator draws.
        validation_cases: Held-out tiles, once per validation family.
        device: Where training runs.
        precision: ``fp32`` or ``bf16``.
        digest: Short hash of all tiles and of who is in which split, so that a training is not
            gone on with on others.
        value_ranges: Percentiles of each band over the training tiles.
        grounding_reference: How far true training pairs agree with their radar; None if too few of
            them are large enough to tell.
    """

    tiles: TileSet
    validation_cases: tuple[ValidationCase, ...]
    device: torch.device
    precision: str
    digest: str
    value_ranges: dict[str, list[float]]
    grounding_reference: GroundingReference | None

    def autocast(self) -> torch.autocast:
        """Return a new mixed-precision context."""
        return make_autocast(self.device, self.precision)


def make_autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a mixed-precision context that does nothing for ``fp32``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def prepare_material(
    data_dir: Path,
    split_file: Path,
    config: TrainingConfig,
    output_dir: Path,
    device: torch.device,
    observer: TrainingObserver | None = None,
    *,
    begun_with: str | None = None,
) -> TrainingMaterial:
    """Read and check all tiles, then train (or read back) the generators.

    Args:
        data_dir: Folder with ``s1/``, ``s2_truth/`` and perhaps ``opt_v2/``.
        split_file: CSV with tile, group, split.
        config: Training configuration.
        output_dir: Where the generators are kept for resuming.
        device: Where to train.
        observer: Told how far the generators are.
        begun_with: Digest of the material that an interrupted training was begun with.

    Raises:
        InputError: The split or a tile is unfit, or no tile is as large as a crop.
        UsageError: An interrupted training was begun with other tiles, or another split.
    """
    entries = read_split_file(split_file)
    train, val = (
        load_tiles(data_dir, [entry for entry in entries if entry.split == split])
        for split in ("train", "val")
    )
    too_small = [t.name for t in train if min(t.truth.shape[1:]) < config.crop_px]
    if len(too_small) == len(train):
        raise InputError(
            f"No training tile is as large as a crop of {config.crop_px} px.",
            hint="Lower crop_px in the training configuration.",
            path=data_dir,
        )
    train = [tile for tile in train if tile.name not in set(too_small)]
    digest = _digest(train, val)
    if begun_with not in (None, digest):
        raise UsageError(
            f"The training run in {output_dir} was begun with other tiles, or another split.",
            hint="Give another --output-dir, or the tiles and the split it was begun with.",
            path=output_dir,
        )
    generators = _generators(train, config, output_dir, device, observer)
    folds = fold_of(train)
    draws = [draw_for_tile(generators[folds[tile.group]], tile, N_DRAWS) for tile in train]
    return TrainingMaterial(
        tiles=TileSet(train, draws, device),
        validation_cases=tuple(validation_cases(val, train, generators, VALIDATION_FAMILIES)),
        device=device,
        precision=config.precision,
        digest=digest,
        value_ranges=_value_ranges(train),
        grounding_reference=_grounding_reference(train),
    )


def fit_constants(
    network: GroundingNetwork, material: TrainingMaterial, config: TrainingConfig
) -> None:
    """Measure normalisation and the spread of the residual on training crops, into the network.

    The whitening matrix is W = C^(-1/2) with C the band covariance of highpass(truth - opt_v2).
    """
    random = torch.Generator(device=material.device).manual_seed(config.seed + 1)
    optical, radar, details = [], [], []
    for _ in range(_BATCHES_FOR_CONSTANTS):
        crops = material.tiles.sample(config.batch_size, config.crop_px, random)
        scene = scene_of(crops.truth, crops.s1, crops.generated, random)
        left_out = frozenset(config.left_out_faults)
        opt_v2 = training_surrogate(scene, random, left_out=left_out).opt_v2
        optical.append(to_network_space(crops.truth).transpose(0, 1).flatten(1))
        radar.append(crops.s1.transpose(0, 1).flatten(1))
        details.append(highpass(crops.truth - opt_v2).transpose(0, 1).flatten(1))
    optical_pixels, radar_pixels = torch.cat(optical, 1), torch.cat(radar, 1)
    covariance = torch.cat(details, 1).cov().double().cpu()
    values, vectors = torch.linalg.eigh(covariance)
    roots = values.clamp_min(1e-10).sqrt()
    constants = {
        "optical_mean": optical_pixels.mean(1),
        "optical_std": optical_pixels.std(1),
        "radar_mean": radar_pixels.mean(1),
        "radar_std": radar_pixels.std(1),
        "whitening": vectors @ torch.diag(1 / roots) @ vectors.T,
        "unwhitening": vectors @ torch.diag(roots) @ vectors.T,
    }
    for name, value in constants.items():
        getattr(network, name).copy_(value.float())


def _generators(
    train: Sequence[TrainingTile],
    config: TrainingConfig,
    output_dir: Path,
    device: torch.device,
    observer: TrainingObserver | None,
) -> list[RadarGenerator]:
    """Read back the generators of an interrupted run of the same configuration, or train."""
    path = output_dir / generators_name(_digest(train), config)
    if path.is_file():
        return read_generators(path, device)
    generators = fit_generators(
        train,
        n_steps=config.generator_steps,
        batch=config.generator_batch_size,
        crop_px=_generator_crop_px(config),
        seed=config.seed,
        device=device,
        autocast=lambda: make_autocast(device, config.precision),
        on_step=lambda progress: observer.generator_step(progress) if observer else None,
    )
    write_generators(generators, path)
    # Read back, so that a resumed run works with the very same (half precision) weights.
    return read_generators(path, device)


def _digest(*splits: Sequence[TrainingTile]) -> str:
    digest = hashlib.sha256()
    for tiles in splits:
        for tile in tiles:
            digest.update(f"{tile.name}\0{tile.group}\0{tile.truth.shape}\n".encode())
            for pixels in (tile.truth, tile.s1, tile.opt_v2):
                digest.update(b"" if pixels is None else np.ascontiguousarray(pixels).data)
        digest.update(b"\n")
    return digest.hexdigest()[:16]


def generators_name(tiles_digest: str, config: TrainingConfig) -> str:
    """Name the file of generators by all that decides what they are.

    Args:
        tiles_digest: Hash of the tiles that they are trained on.
        config: How they are trained.
    """
    decides = (
        config.seed,
        config.generator_steps,
        config.generator_batch_size,
        _generator_crop_px(config),
        config.precision,
        tiles_digest,
    )
    key = hashlib.sha256("\n".join(map(str, decides)).encode()).hexdigest()
    return f"generators-{key[:12]}.safetensors"


def _generator_crop_px(config: TrainingConfig) -> int:
    return min(_GENERATOR_CROP_PX, config.crop_px // 8 * 8)


def _grounding_reference(tiles: Sequence[TrainingTile]) -> GroundingReference | None:
    try:
        return GroundingReference.from_pairs((tile.truth, tile.s1) for tile in tiles)
    except InputError:
        return None


def _value_ranges(tiles: Sequence[TrainingTile]) -> dict[str, list[float]]:
    """0.1 and 99.9 percentiles of each band over the training tiles."""
    ranges = {}
    names = ("blue", "green", "red", "nir", "vv", "vh")
    stacked = [np.concatenate([t.truth, t.s1]).reshape(6, -1) for t in tiles]
    for band, name in enumerate(names):
        values = np.concatenate([pixels[band] for pixels in stacked])
        ranges[name] = [round(float(v), 4) for v in np.percentile(values, (0.1, 99.9))]
    return ranges
