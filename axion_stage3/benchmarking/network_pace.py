"""The network alone: tiles in memory to tiles in memory, as many side by side as in a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from axion_stage3.benchmarking.timing import measure_pace, watch_memory
from axion_stage3.inference.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.benchmarking.workload import Workload
    from axion_stage3.inference.devices import Workers

Way = Literal["eager", "graph", "compile"]

_GIGA: Final = 1e9
_FLOPS_OF_A_MAC: Final = 2
_MATRIX_SIZE: Final = {"cpu": 1024, "cuda": 8192}
_CHANNELS: Final = {"cpu": 128, "cuda": 512}
_IMAGE_PX: Final = 64
_PREPARING_BATCHES: Final[dict[Way, int]] = {"eager": 0, "graph": 3, "compile": 3}


@dataclass(frozen=True, slots=True)
class NetworkPace:
    """The network alone at one number of timesteps and one batch size.

    Attributes:
        way: ``eager``, as torch runs it; ``graph``, replayed as a CUDA graph where the batch is
            small enough, as in any run on a GPU; ``compile``, likewise after torch.compile.
        timesteps: Calls of the network per tile, the mean included.
        batch_size: Tiles per batch.
        tiles_per_second: All workers together.
        gmac_per_tile: Multiplications and additions per tile, in 10^9.
        gmac_per_second: The two multiplied.
        share_of_bound: gmac_per_second over what this machine reaches at best.
        peak_rss_mb: Most memory of the process meanwhile, in megabytes; null where unknown.
        peak_gpu_mb: Most memory that torch held on the device, in megabytes; null on the CPU.
    """

    way: Way
    timesteps: int
    batch_size: int
    tiles_per_second: float
    gmac_per_tile: float
    gmac_per_second: float
    share_of_bound: float
    peak_rss_mb: float | None
    peak_gpu_mb: float | None


def measure_network(
    predictor: Predictor,
    workload: Workload,
    workers: Workers,
    *,
    way: Way,
    timesteps: int,
    batch_size: int,
    bound_gmac_per_second: float,
    seconds: float,
) -> NetworkPace:
    """Measure the network alone.

    Args:
        predictor: The network on its device.
        workload: The tiles.
        workers: As in a run.
        way: How the predictor runs the network.
        timesteps: Calls of the network per tile.
        batch_size: Tiles per batch.
        bound_gmac_per_second: From :func:`measure_bound`.
        seconds: How long to measure.
    """
    batch = workload.batch(batch_size)

    def work() -> int:
        predictor.predict(*batch, timesteps=timesteps)
        return batch_size

    # The first batches of a shape are eager, then captured and compiled: that is not the pace.
    for _ in range(_PREPARING_BATCHES[way]):
        work()
    # On the CPU: what a graph replays is not counted, and it is the same everywhere.
    counted = Predictor(predictor.checkpoint, "cpu", "fp32")
    gmac = gmac_per_tile(lambda: counted.predict(*workload.batch(1), timesteps=timesteps))
    with watch_memory(predictor.device) as peak:
        pace = measure_pace(work, workers, seconds)
    return NetworkPace(
        way=way,
        timesteps=timesteps,
        batch_size=batch_size,
        tiles_per_second=pace,
        gmac_per_tile=gmac,
        gmac_per_second=pace * gmac,
        share_of_bound=pace * gmac / bound_gmac_per_second,
        peak_rss_mb=peak.rss_mb,
        peak_gpu_mb=peak.gpu_mb,
    )


def gmac_per_tile(ground_one_tile: Callable[[], object]) -> float:
    """Count multiplications and additions of matrix products and convolutions, in 10^9."""
    with FlopCounterMode(display=False) as counter:
        ground_one_tile()
    return float(counter.get_total_flops()) / _FLOPS_OF_A_MAC / _GIGA


def measure_bound(
    device: torch.device, dtype: torch.dtype, workers: Workers, seconds: float
) -> float:
    """Measure what this machine reaches at best with the same workers, in 10^9 MAC/s.

    The better of a large matrix product and a wide 3x3 convolution of the same library: what the
    network would reach if nothing but multiplying took time.

    Args:
        device: The device that computes.
        dtype: Of the network's weights.
        workers: As in a run.
        seconds: How long to measure each.
    """
    kind = "cuda" if device.type == "cuda" else "cpu"
    size, channels = _MATRIX_SIZE[kind], _CHANNELS[kind]
    matrix = torch.rand(size, size, device=device, dtype=dtype)
    image = torch.rand(1, channels, _IMAGE_PX, _IMAGE_PX, device=device, dtype=dtype)
    kernel = torch.rand(channels, channels, 3, 3, device=device, dtype=dtype)
    image, kernel = (x.contiguous(memory_format=torch.channels_last) for x in (image, kernel))
    works: dict[Callable[[], torch.Tensor], int] = {
        lambda: matrix @ matrix: size**3,
        lambda: torch.conv2d(image, kernel, padding=1): 9 * (channels * _IMAGE_PX) ** 2,
    }

    def repeated(operation: Callable[[], torch.Tensor], n_macs: int) -> Callable[[], int]:
        def work() -> int:
            with torch.inference_mode():
                operation()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return n_macs

        return work

    paces = [measure_pace(repeated(op, n), workers, seconds) for op, n in works.items()]
    return max(paces) / _GIGA
