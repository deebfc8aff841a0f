"""A plain conditional diffusion of the same size from another library, on the same tiles.

diffusers' ``UNet2DModel`` of about 5 million weights gets noise, opt_v2 and S1 as ten bands and is
called at every one of ten DDIM steps (Song et al. 2021), as a straightforward Stage 3 would be
built. Its weights are random: they do not change how long it takes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from axion_stage3.benchmarking.network_pace import gmac_per_tile
from axion_stage3.errors import MissingExtraError, UsageError
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.benchmarking.workload import Workload

NAME: Final = "diffusers-unet"
STRIDE_PX: Final = 8
_TIMESTEPS: Final = 10
_WIDTHS: Final = (48, 64, 128, 144)
_NORM_GROUPS: Final = 16
_BATCH_SIZES: Final = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class YardstickPace:
    """The yardstick's network alone.

    Attributes:
        name: ``diffusers-unet``.
        version: Version of the library.
        parameters: Number of weights.
        timesteps: Calls of its network per tile.
        batch_size: The best of those tried.
        tiles_per_second: At that batch size.
        gmac_per_tile: Multiplications and additions per tile, in 10^9.
    """

    name: str
    version: str
    parameters: int
    timesteps: int
    batch_size: int
    tiles_per_second: float
    gmac_per_tile: float


def require_diffusers() -> Any:
    """Return the module diffusers.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module("diffusers")
    except ImportError as error:
        raise MissingExtraError(
            "The yardstick diffusers-unet needs diffusers, which is not installed.",
            hint="pip install 'axion-stage3[bench]'",
        ) from error


def check_tile_size(tile_px: int) -> None:
    """Refuse sizes that the yardstick cannot halve three times.

    Raises:
        UsageError: The size is no multiple of 8.
    """
    if tile_px % STRIDE_PX:
        raise UsageError(
            f"The yardstick diffusers-unet cannot take tiles of {tile_px} px.",
            hint=f"Give a multiple of {STRIDE_PX} to --tile-size, or leave --against out.",
        )


def measure_yardstick(
    workload: Workload, device: torch.device, dtype: torch.dtype, seconds: float
) -> YardstickPace:
    """Measure the yardstick at several batch sizes, all threads of torch at one batch.

    Args:
        workload: The tiles.
        device: The device that computes.
        dtype: Of the network's weights.
        seconds: How long to measure each batch size, at least one batch.
    """
    diffusers = require_diffusers()
    network = diffusers.UNet2DModel(
        sample_size=workload.tile_px,
        in_channels=2 * len(OPTICAL_BANDS) + len(RADAR_BANDS),
        out_channels=len(OPTICAL_BANDS),
        layers_per_block=1,
        block_out_channels=_WIDTHS,
        down_block_types=("DownBlock2D",) * len(_WIDTHS),
        up_block_types=("UpBlock2D",) * len(_WIDTHS),
        norm_num_groups=_NORM_GROUPS,
    )
    # torch's own method: that of diffusers warns of weights to keep in float32, and finds none.
    network = torch.nn.Module.to(network.eval(), device, dtype)
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(_TIMESTEPS)

    def ground(n_tiles: int) -> Tensor:
        opt_v2, s1, _ = workload.batch(n_tiles)
        arrays = torch.from_numpy(opt_v2), torch.from_numpy(s1)
        condition = torch.cat(arrays, dim=1).to(device, dtype)
        noisy = torch.randn(opt_v2.shape, dtype=dtype, device=device)
        for timestep in scheduler.timesteps:
            predicted = network(torch.cat([noisy, condition], dim=1), timestep).sample
            noisy = scheduler.step(predicted, timestep, noisy).prev_sample
        return noisy.float().cpu()

    with torch.inference_mode():
        gmac = gmac_per_tile(lambda: ground(1))
        paces = {size: _pace(ground, size, seconds) for size in _BATCH_SIZES}
    best = max(paces, key=paces.__getitem__)
    return YardstickPace(
        name=NAME,
        version=str(diffusers.__version__),
        parameters=sum(weight.numel() for weight in network.parameters()),
        timesteps=_TIMESTEPS,
        batch_size=best,
        tiles_per_second=paces[best],
        gmac_per_tile=gmac,
    )


def _pace(ground: Callable[[int], object], n_tiles: int, seconds: float) -> float:
    ground(n_tiles)
    n_done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or not n_done:
        ground(n_tiles)
        n_done += n_tiles
    return n_done / elapsed
