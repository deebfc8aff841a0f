"""A folder of good tiles into which twelve kinds of damage are put."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from inspection_bench import EXAMPLE_TILES

from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Pixels = np.ndarray[Any, np.dtype[np.float32]]
    Stored = dict[str, np.ndarray[Any, Any]] | bytes

DAMAGED_EVERY = 3


def _nan_scattered(opt: Pixels, s1: Pixels) -> tuple[Stored, Stored]:
    opt.ravel()[::997] = np.nan
    return {"opt_v2": opt}, {"s1": s1}


def _zero_border(opt: Pixels, s1: Pixels) -> tuple[Stored, Stored]:
    s1[:, :, -7:] = 0
    return {"opt_v2": opt}, {"s1": s1}


def _stripes(opt: Pixels, s1: Pixels) -> tuple[Stored, Stored]:
    opt[:, ::4] += 1.5 * opt.std(axis=(1, 2))[:, np.newaxis, np.newaxis]
    return {"opt_v2": opt}, {"s1": s1}


def _duplicated(opt: Pixels, s1: Pixels) -> tuple[Stored, Stored]:
    opt[0] = opt[1]
    return {"opt_v2": opt}, {"s1": s1}


DAMAGES: dict[str, Callable[[Pixels, Pixels], tuple[Stored, Stored]]] = {
    "AX-T001": lambda opt, s1: (_npz({"opt_v2": opt})[:-300], {"s1": s1}),
    "AX-T002": lambda opt, s1: ({"s2_b2": opt[0], "s2_b3": opt[1], "s2_b4": opt[2]}, {"s1": s1}),
    "AX-T003": lambda opt, s1: ({"opt_v2": np.moveaxis(opt, 0, -1)}, {"s1": s1}),
    "AX-T004": lambda opt, s1: ({"opt_v2": opt}, {"s1": s1[np.newaxis]}),
    "AX-T007": lambda opt, s1: ({"opt_v2": opt}, {"s1": s1[:, 2:, 2:]}),
    "AX-T020": _nan_scattered,
    "AX-T026": _zero_border,
    "AX-T027": _stripes,
    "AX-T030": lambda opt, s1: ({"opt_v2": (opt * 10000).astype(np.int16)}, {"s1": s1}),
    "AX-T032": _duplicated,
    "AX-T040": lambda opt, s1: (
        {"opt_v2": opt},
        {"vv": 10 ** (s1[0] / 10), "vh": 10 ** (s1[1] / 10)},
    ),
    "AX-T043": lambda opt, s1: ({"opt_v2": opt}, {"s1_vv": s1[1], "s1_vh": s1[0]}),
}
"""Twelve kinds of damage, by the finding that must be made."""


def write_damaged_folder(root: Path, n_tiles: int) -> dict[str, str | None]:
    """Write pairs of which every third is damaged, each kind in turn.

    Returns:
        Tile name to the finding that must be made; None for a clean tile.
    """
    expected: dict[str, str | None] = {}
    kinds = list(DAMAGES)
    for folder in ("opt_v2", "s1"):
        (root / folder).mkdir()
    for index, (opt_v2, s1) in zip(range(n_tiles), _good_tiles(), strict=False):
        name = f"tile_{index:03}.npz"
        kind = kinds[index // DAMAGED_EVERY % len(kinds)] if index % DAMAGED_EVERY == 0 else None
        stored: tuple[Stored, Stored] = ({"opt_v2": opt_v2}, {"s1": s1})
        if kind is not None:
            stored = DAMAGES[kind](opt_v2.copy(), s1.copy())
        for folder, content in zip(("opt_v2", "s1"), stored, strict=True):
            data = content if isinstance(content, bytes) else _npz(content)
            (root / folder / name).write_bytes(data)
        expected[name] = kind
    return expected


def _good_tiles() -> Iterator[tuple[Pixels, Pixels]]:
    """480 cuts of real example tiles: whole and four corners, in eight orientations.

    Synthetic tiles follow without end; they are all there is where the examples are missing.
    """
    folders = EXAMPLE_TILES / "opt_v2", EXAMPLE_TILES / "s1"
    if all(folder.is_dir() for folder in folders):
        tiles = [load_pair(pair) for pair in find_pairs(*folders).pairs]
        for corner, turn, tile in itertools.product(range(5), range(8), tiles):
            yield _cut(tile.opt_v2, corner, turn), _cut(tile.s1, corner, turn)
    for seed in range(10**6):
        synthetic = make_tile(seed, 64 + 8 * (seed % 5))
        yield synthetic.opt_v2, synthetic.s1


def _cut(bands: Pixels, corner: int, turn: int) -> Pixels:
    """The whole tile (corner 0) or three quarters of each side, turned and flipped."""
    if corner:
        height, width = (3 * side // 4 for side in bands.shape[1:])
        rows = slice(height) if corner in (1, 2) else slice(-height, None)
        columns = slice(width) if corner in (1, 3) else slice(-width, None)
        bands = bands[:, rows, columns]
    flipped = bands[:, :, ::-1] if turn >= 4 else bands
    return np.ascontiguousarray(np.rot90(flipped, turn % 4, axes=(1, 2)))


def _npz(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
