"""The figures that this project wants to reach, and whether a benchmark reached them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axion_stage3.benchmarking.diffusers_yardstick import YardstickPace
    from axion_stage3.benchmarking.file_pace import FilePace
    from axion_stage3.benchmarking.network_pace import NetworkPace
    from axion_stage3.benchmarking.whole_runs import ProcessPace, RunPace

HELP: Final = "--help"
INSPECT_TILE: Final = "inspect-tile"
INFER_ONE: Final = "infer, one tile"
INFER_MANY: Final = "infer, batch 8"

ENCODING_PX: Final = 256
"""Size of the tiles that encoding is judged by, in pixels."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and what it should come to.

    Attributes:
        figure: What is compared.
        value: What was measured; null if this benchmark cannot tell.
        limit: What it should come to.
        direction: Whether it should be at least or at most that.
        is_reached: Whether it is; null without a value.
    """

    figure: str
    value: float | None
    limit: float
    direction: Literal["at least", "at most"]
    is_reached: bool | None


def judge(
    network: Sequence[NetworkPace],
    files: Sequence[FilePace],
    runs: Sequence[RunPace],
    processes: Sequence[ProcessPace],
    yardstick: YardstickPace | None,
) -> tuple[Goal, ...]:
    """Compare what was measured with what is wanted.

    Args:
        network: The network alone.
        files: Reading and writing alone.
        runs: From files to files.
        processes: Commands as processes of their own.
        yardstick: The other network, if it was measured.
    """
    best_run = {t: _fastest(runs, t) for t in (1, 10)}
    best_network = _fastest(network, 10)
    yardstick_pace = None if yardstick is None else yardstick.tiles_per_second
    encoding = {pace.tile_px: pace.times_numpy for pace in files if pace.operation == "encode"}
    seconds = {pace.command: pace.seconds for pace in processes}
    peaks = {pace.command: pace.peak_rss_mb for pace in processes}
    return (
        _at_least(
            "file to file over the yardstick, T=10",
            _ratio(best_run[10], yardstick_pace),
            25.0,
        ),
        _at_most("time at T=10 over T=1, file to file", _ratio(best_run[1], best_run[10]), 2.5),
        _at_least("file to file over the network, T=10", _ratio(best_run[10], best_network), 0.92),
        _at_least(f"encoding {ENCODING_PX} px over numpy", encoding.get(ENCODING_PX), 8.0),
        _at_most("peak RSS of infer at batch 8, MB", peaks.get(INFER_MANY), 900.0),
        _at_most("--help, s", seconds.get(HELP), 0.5),
        _at_most("inspect-tile, s", seconds.get(INSPECT_TILE), 0.6),
        _at_most("infer of one tile, start to end, s", seconds.get(INFER_ONE), 4.0),
    )


def judge_gpu(
    network: Sequence[NetworkPace],
    runs: Sequence[RunPace],
    file_paces: Sequence[float],
    *,
    is_gpu: bool,
) -> tuple[Goal, ...]:
    """Compare what was measured on a GPU with what is wanted on an H100.

    Without a GPU the goals are there, but say that nothing was measured.

    Args:
        network: The network alone.
        runs: From files to files.
        file_paces: Tiles/s of reading and writing without the network, in each way.
        is_gpu: Whether a GPU computed.
    """
    if not is_gpu:
        network = runs = ()
    best_run, best_network = _fastest(runs, 10), _fastest(network, 10)
    file_pace = max(file_paces, default=None)
    slower = min(best_network, file_pace) if best_network and file_pace else None
    singly = [pace for pace in runs if pace.batch_size == 1]
    memory = [pace.peak_gpu_mb for pace in network if (pace.batch_size, pace.way) == (8, "graph")]
    return (
        _at_least("GPU: file to file, T=10, tiles/s", best_run, 3000.0),
        _at_least("GPU: that over slower of network, files", _ratio(best_run, slower), 0.8),
        _at_least("GPU: file to file, batch 1, tiles/s", _fastest(singly, 10), 300.0),
        _at_least("GPU: network alone, T=10, tiles/s", best_network, 7000.0),
        _at_most(
            "GPU memory at batch 8, MB",
            max((mb for mb in memory if mb is not None), default=None),
            500.0,
        ),
    )


def _fastest(paces: Sequence[NetworkPace] | Sequence[RunPace], timesteps: int) -> float | None:
    return max((p.tiles_per_second for p in paces if p.timesteps == timesteps), default=None)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part and whole else None


def _at_least(figure: str, value: float | None, limit: float) -> Goal:
    return Goal(figure, value, limit, "at least", None if value is None else value >= limit)


def _at_most(figure: str, value: float | None, limit: float) -> Goal:
    return Goal(figure, value, limit, "at most", None if value is None else value <= limit)
