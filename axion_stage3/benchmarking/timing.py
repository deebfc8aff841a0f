"""Measuring a pace, and the memory that it takes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from axion_stage3.inference.devices import Workers

BYTES_PER_MEGABYTE: Final = 1e6

_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"


def measure_pace(work: Callable[[], int], workers: Workers, seconds: float) -> float:
    """Let workers do the same work side by side, as a run does, and count.

    Args:
        work: Does a piece of work and returns how many items that were; called by several threads.
            Its first call in each thread is not counted.
        workers: Threads that work, and threads of torch within each.
        seconds: How long to measure; every piece that was begun is ended.

    Returns:
        Items per second, of all workers together.
    """
    start_line = Barrier(workers.n_workers)

    def run() -> float:
        torch.set_num_threads(workers.n_threads)
        try:
            work()
            start_line.wait()
        except BrokenBarrierError:
            return 0.0  # another worker failed: its exception is the one to see
        except BaseException:
            start_line.abort()
            raise
        n_items, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds or not n_items:
            n_items += work()
        return n_items / elapsed

    n_torch_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers.n_workers) as pool:
            futures = [pool.submit(run) for _ in range(workers.n_workers)]
        return sum(future.result() for future in futures)
    finally:
        torch.set_num_threads(n_torch_threads)


@dataclass(slots=True)
class PeakMemory:
    """Most memory that was in use while something ran; None where the system does not tell.

    Attributes:
        rss_mb: Resident memory of the whole process, in megabytes.
        gpu_mb: Memory that torch held on the device, in megabytes: its tensors, the pool of its
            graphs and what it keeps for later.
    """

    rss_mb: float | None = None
    gpu_mb: float | None = None


@contextmanager
def watch_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Measure the peak of what runs inside; the result is filled in at the end.

    Args:
        device: The device that computes.
    """
    peak = PeakMemory()
    can_reset = _reset_peak_rss()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield peak
    peak.rss_mb = _peak_rss_mb() if can_reset else None
    if device.type == "cuda":
        peak.gpu_mb = torch.cuda.max_memory_reserved(device) / BYTES_PER_MEGABYTE


def _reset_peak_rss() -> bool:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _peak_rss_mb() -> float | None:
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / BYTES_PER_MEGABYTE
    return None
