"""A plain conditional diffusion of the same size from another library, on the same tiles.

diffusers' ``UNet2DModel`` of about 5 million weights gets noise, opt_v2 and S1 as ten bands and is
called at every one of ten DDIM steps (Song et al. 2021), as a straightforward Stage 3 would be
built. Its weights are random: they do not change how long it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from axion_stage3.benchmarking.network_pace import gmac_per_tile
from axion_stage3.benchmarking.timing import measure_pace
from axion_stage3.errors import UsageError
from axion_stage3.inference.devices import Workers
from axion_stage3.optional_imports import import_extra
from axion_stage3.tiles.bands import OPTICAL_BANDS, RADAR_BANDS

if TYPE_CHECKING:
    from axion_stage3.benchmarking.workload import Workload

_NAME: Final = "diffusers-unet"
_STRIDE_PX: Final = 8
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
    return import_extra("diffusers", extra="bench", need=f"The yardstick {_NAME} needs")


def check_tile_size(tile_px: int) -> None:
    """Refuse sizes that the yardstick cannot halve three times.

    Raises:
        UsageError: The size is no multiple of 8.
    """
    if tile_px % _STRIDE_PX:
        raise UsageError(
            f"The yardstick {_NAME} cannot take tiles of {tile_px} px.",
            hint=f"Give a multiple of {_STRIDE_PX} to --tile-size, or leave --against out.",
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

    Raises:
        MissingExtraError: diffusers is not installed.
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

    @torch.inference_mode()
    def ground(n_tiles: int) -> Tensor:
        opt_v2, s1, _ = workload.batch(n_tiles)
        arrays = torch.from_numpy(opt_v2), torch.from_numpy(s1)
        condition = torch.cat(arrays, dim=1).to(device, dtype)
        noisy = torch.randn(opt_v2.shape, dtype=dtype, device=device)
        for timestep in scheduler.timesteps:
            predicted = network(torch.cat([noisy, condition], dim=1), timestep).sample
            noisy = scheduler.step(predicted, timestep, noisy).prev_sample
        return noisy.float().cpu()

    def pace(n_tiles: int) -> float:
        def work() -> int:
            ground(n_tiles)
            return n_tiles

        return measure_pace(work, Workers(1, torch.get_num_threads()), seconds)

    paces = {size: pace(size) for size in _BATCH_SIZES}
    best = max(paces, key=paces.__getitem__)
    return YardstickPace(
        name=_NAME,
        version=str(diffusers.__version__),
        parameters=sum(weight.numel() for weight in network.parameters()),
        timesteps=_TIMESTEPS,
        batch_size=best,
        tiles_per_second=paces[best],
        gmac_per_tile=gmac_per_tile(lambda: ground(1)),
    )
