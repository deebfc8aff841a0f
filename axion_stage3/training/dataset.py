"""Training tiles in memory: read once, cropped and augmented in whole batches.

All tiles lie in one tensor, pixel after pixel, with every band of a pixel side by side. A batch of
crops, with its flips and transpositions, is then a single gather: no Python loop per sample.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from axion_stage3.errors import InputError, InputFolderError, TileError
from axion_stage3.tiles.tile_loading import load_optical, load_radar
from axion_stage3.tiles.tile_names import name_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SPLITS: Final = ("train", "val")
_TRUTH, _S1, _OPT_V2 = slice(0, 4), slice(4, 6), slice(6, 10)
"""Bands of a pixel of :class:`TileSet`; the draws of the generator come after them."""


@dataclass(frozen=True)
class SplitEntry:
    """One line of a split file.

    Attributes:
        tile: Name of the tile below its folders.
        group: Acquisition or place that it was cut from.
        split: ``train`` or ``val``.
    """

    tile: str
    group: str
    split: str


@dataclass(frozen=True)
class TrainingTile:
    """A tile with its truth.

    Attributes:
        name: File name.
        group: Acquisition or place; tiles of one group never stand on both sides of the split.
        truth: (4, H, W) float32, reflectance.
        s1: (2, H, W) float32, dB.
        opt_v2: Real Stage 2 output (4, H, W) float32, if there is one.
    """

    name: str
    group: str
    truth: np.ndarray
    s1: np.ndarray
    opt_v2: np.ndarray | None = None


def read_split_file(path: Path) -> tuple[SplitEntry, ...]:
    """Read a CSV with the columns tile, group and split; other columns are ignored.

    Args:
        path: The CSV. Lines whose split is neither ``train`` nor ``val`` are left out.

    Raises:
        InputError: No such file, a column or a cell is missing, a tile stands there twice or has
            an unusable name, or a group stands in train and in val.
    """
    entries = _read_entries(path, ("tile", "group", "split"))
    groups = {split: {e.group for e in entries if e.split == split} for split in SPLITS}
    shared = sorted(groups["train"] & groups["val"])
    if shared:
        raise InputError(
            f"The split file {path} has the group {shared[0]!r} in train and in val"
            f" ({len(shared)} such groups): figures on val would be too good.",
            hint="Put all tiles of a group on one side.",
            path=path,
        )
    return entries


def read_groups(path: Path) -> dict[str, str]:
    """Read the group of each tile from a CSV with the columns tile and group.

    Args:
        path: The CSV; other columns are ignored, the split too.

    Raises:
        InputError: No such file, a column or a cell is missing, or a tile stands there twice or has
            an unusable name.
    """
    return {entry.tile: entry.group for entry in _read_entries(path, ("tile", "group"))}


def _read_entries(path: Path, needed: Sequence[str]) -> tuple[SplitEntry, ...]:
    """The lines of a split file that are used: where the split is needed, those of ``SPLITS``."""
    entries = tuple(_read_lines(path, needed))
    for entry in entries:
        fault = name_fault(entry.tile)
        if fault is not None:
            raise InputError(
                f"The split file {path} names the tile {entry.tile!r}: {fault}.",
                hint="Name each tile by its path below its folder, such as tile_001.npz.",
                path=path,
            )
    counts = Counter(entry.tile for entry in entries)
    repeated = [tile for tile, count in counts.items() if count > 1]
    if repeated:
        raise InputError(
            f"The split file {path} names the tile {repeated[0]!r} more than once"
            f" ({len(repeated)} such tiles).",
            hint="Keep one line for each tile.",
            path=path,
        )
    return entries


def _read_lines(path: Path, needed: Sequence[str]) -> list[SplitEntry]:
    entries = []
    try:
        # Spreadsheets put a byte order mark first, which is no part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or ()
            if not set(needed) <= set(columns):
                raise InputError(
                    f"The split file {path} needs the columns {', '.join(needed)}; found:"
                    f" {', '.join(columns) or 'nothing'}.",
                    hint="Add the missing columns"
                    + ("; split is train or val." if "split" in needed else "."),
                    path=path,
                )
            for row in reader:
                split = row.get("split") or ""
                if "split" in needed and split not in SPLITS:
                    continue
                if not (row["tile"] and row["group"]):
                    raise InputError(
                        f"Line {reader.line_num} of the split file {path} has no tile or no group.",
                        hint="Fill in both cells, or take the line out.",
                        path=path,
                    )
                entries.append(SplitEntry(row["tile"], row["group"], split))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The split file {path} cannot be read: {error}.",
            hint=f"Give a CSV with the columns {', '.join(needed)} with --split-file.",
            path=path,
        ) from error
    return entries


def load_tiles(data_dir: Path, entries: Iterable[SplitEntry]) -> list[TrainingTile]:
    """Read the tiles named by a split from ``s1/``, ``s2_truth/`` and, where present, ``opt_v2/``.

    Args:
        data_dir: Folder that holds those folders.
        entries: Lines of the split file to load.

    Returns:
        The tiles in the order of their names.

    Raises:
        InputFolderError: ``s1/`` or ``s2_truth/`` is missing.
        InputError: A tile is missing, unreadable, differs in size from its partner or has invalid
            pixels.
    """
    for folder in ("s1", "s2_truth"):
        if not (data_dir / folder).is_dir():
            raise InputFolderError(
                f"There is no folder {folder}/ in {data_dir}.",
                hint="--data-dir needs s1/ and s2_truth/ (and may have opt_v2/).",
                path=data_dir,
            )
    tiles = [_load_tile(data_dir, entry) for entry in sorted(entries, key=lambda e: e.tile)]
    if not tiles:
        raise InputError(
            f"The split names no tile to load from {data_dir}.",
            hint="Check the column split: train or val.",
            path=data_dir,
        )
    return tiles


def _load_tile(data_dir: Path, entry: SplitEntry) -> TrainingTile:
    real_opt_v2 = data_dir / "opt_v2" / entry.tile
    try:
        truth = load_optical(data_dir / "s2_truth" / entry.tile)
        s1 = load_radar(data_dir / "s1" / entry.tile)
        # Whatever is there is meant: a broken link is an error, not a tile to be simulated.
        opt_v2 = load_optical(real_opt_v2) if os.path.lexists(real_opt_v2) else None
    except TileError as error:
        raise InputError(
            f"Training tile {entry.tile}: {error.message}", hint=error.hint, path=error.path
        ) from error
    for other in (s1, opt_v2):
        if other is not None and other.shape[1:] != truth.shape[1:]:
            raise InputError(
                f"Training tile {entry.tile}: truth is {truth.shape[1:]} px, its partner"
                f" {other.shape[1:]} px.",
                hint="Resample the tiles to one grid or take the tile out of the split file.",
                path=data_dir,
            )
    return TrainingTile(entry.tile, entry.group, truth, s1, opt_v2)


@dataclass(frozen=True)
class Crops:
    """A batch of crops.

    Attributes:
        truth: (B, 4, crop, crop), reflectance.
        s1: (B, 2, crop, crop), dB.
        generated: (B, 4, crop, crop), what a radar-to-optical generator made of s1, network space.
        opt_v2: (B, 4, crop, crop), real Stage 2 output where ``has_opt_v2``.
        has_opt_v2: (B,) bool.
        tile_index: (B,) which tile each crop was cut from.
    """

    truth: Tensor
    s1: Tensor
    generated: Tensor
    opt_v2: Tensor
    has_opt_v2: Tensor
    tile_index: Tensor


class TileSet:
    """Tiles in one tensor, from which batches of crops are gathered.

    ``group_index`` has the number of each tile's group, ``smallest_px`` its least height or width.

    Args:
        tiles: What to hold.
        generated: For each tile (variants, 4, H, W): draws of a generator that never saw its group.
        device: Where the tensor lies.
    """

    def __init__(
        self,
        tiles: Sequence[TrainingTile],
        generated: Sequence[np.ndarray],
        device: torch.device,
    ) -> None:
        self.names = [tile.name for tile in tiles]
        self.device = device
        self.n_variants = generated[0].shape[0]
        planes = [
            np.concatenate(
                [
                    tile.truth,
                    tile.s1,
                    tile.truth if tile.opt_v2 is None else tile.opt_v2,
                    draws.reshape(-1, *tile.truth.shape[1:]),
                ]
            )
            for tile, draws in zip(tiles, generated, strict=True)
        ]
        pixels = [np.moveaxis(plane, 0, -1).reshape(-1, plane.shape[0]) for plane in planes]
        self._pixels = torch.from_numpy(np.concatenate(pixels)).float().to(device)
        shapes = [tile.truth.shape[1:] for tile in tiles]
        areas = [height * width for height, width in shapes]
        self._starts = torch.tensor(np.concatenate([[0], np.cumsum(areas)[:-1]]), device=device)
        self.smallest_px = min(min(shape) for shape in shapes)
        self._shapes = torch.tensor(shapes, device=device)
        self._has_opt_v2 = torch.tensor([t.opt_v2 is not None for t in tiles], device=device)
        self._weights = torch.tensor(_group_weights(tiles), device=device)
        groups = sorted({tile.group for tile in tiles})
        self.group_index = torch.tensor([groups.index(t.group) for t in tiles], device=device)

    def sample(self, batch: int, crop_px: int, random: torch.Generator) -> Crops:
        """Gather random crops with random flips and transposition.

        Args:
            batch: Number of crops.
            crop_px: Height and width of each crop; no tile is smaller.
            random: Source of randomness, on the same device as the tiles.
        """
        device = self._pixels.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=random, device=device)

        index = torch.multinomial(self._weights, batch, replacement=True, generator=random)
        shapes = self._shapes[index]
        corner = (uniform(batch, 2) * (shapes - crop_px + 1)).long()
        steps = torch.arange(crop_px, device=device)
        flips = uniform(batch, 2) < 0.5
        rows, columns = (
            corner[:, axis, None] + torch.where(flips[:, axis, None], crop_px - 1 - steps, steps)
            for axis in (0, 1)
        )
        flat = rows[:, :, None] * shapes[:, 1, None, None] + columns[:, None, :]
        flat = flat + self._starts[index, None, None]
        flat = torch.where((uniform(batch) < 0.5)[:, None, None], flat, flat.mT)
        bands = self._pixels[flat].movedim(-1, 1)
        variant = torch.randint(self.n_variants, (batch,), generator=random, device=device)
        generated = bands[:, _OPT_V2.stop :].reshape(batch, self.n_variants, 4, crop_px, crop_px)
        return Crops(
            truth=bands[:, _TRUTH].contiguous(),
            s1=bands[:, _S1].contiguous(),
            generated=generated[torch.arange(batch, device=device), variant].contiguous(),
            opt_v2=bands[:, _OPT_V2].contiguous(),
            has_opt_v2=self._has_opt_v2[index],
            tile_index=index,
        )


def _group_weights(tiles: Sequence[TrainingTile]) -> list[float]:
    """Weigh tiles by the root of their area over the number in their group: these are alike."""
    counts = Counter(tile.group for tile in tiles)
    return [float(np.sqrt(tile.truth[0].size) / np.sqrt(counts[tile.group])) for tile in tiles]
