"""A scene of what would be a tile, for the tests of scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from inference_workbench import lively_network

from axion_stage3.diffusion.checkpoint import save_checkpoint
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.testing.tile_factories import make_tile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from axion_stage3.inference.grounding_run import RunResult

HEIGHT, WIDTH = 110, 170
TRUE_OVERLAP = 4
"""How many times larger scenes have to be for the overlap that the network needs."""

PLACE = rasterio.Affine(10, 0, 344400, 0, -10, 5294400)
OPTIONS = {"timesteps": 1, "existing": "resume"}


def set_sizes(patch: pytest.MonkeyPatch, scale: int = 1) -> None:
    """Make a scene of what would be a tile: three rows of three windows."""
    sizes = {
        "rasters.raster_pairing.LARGEST_TILE_PX": 64,
        "inference.scene_rows.ROW_PX": 64,
        "inference.scene_rows.COLUMN_PX": 80,
    }
    if scale < TRUE_OVERLAP:
        sizes["inference.windows.OVERLAP_PX"] = 32
    for name, size in sizes.items():
        patch.setattr(f"axion_stage3.{name}", size * scale)


def make_scenes(folder: Path, scale: int = 1) -> None:
    """opt/ and s1/ with scene.tif (radar on another grid, with gaps in both), and a checkpoint."""
    height, width = HEIGHT * scale, WIDTH * scale
    tile = make_tile(4, height, width)
    opt, s1 = tile.opt_v2.copy(), tile.s1.copy()
    opt[:, : 15 * scale, : 22 * scale] = np.nan
    s1[:, 50 * scale : 52 * scale, 150 * scale : 160 * scale] = np.nan
    for kind, pixels in (("opt", opt), ("s1", s1)):
        (folder / kind).mkdir()
        with rasterio.open(
            folder / kind / "scene.tif", "w", driver="GTiff", height=height, width=width,
            count=len(pixels), dtype="float32", crs="EPSG:32633", transform=PLACE, nodata=np.nan,
            tiled=True,
        ) as dataset:  # fmt: skip
            dataset.write(pixels)
    network = lively_network()
    save_checkpoint(folder / "c.pt", network, epoch=1, config={"timesteps": 3})


def run(scenes: Path, output_dir: Path, **options: Any) -> RunResult:
    return run_inference(
        **{
            "opt_v2_dir": scenes / "opt",
            "s1_dir": scenes / "s1",
            "output_dir": output_dir,
            "checkpoint": scenes / "c.pt",
            **OPTIONS,
            **options,
        }
    )


def read(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())
