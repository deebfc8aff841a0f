"""Memory does not grow with the number of tiles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import torch

from axion_stage3.benchmarking.whole_runs import measure_process
from axion_stage3.benchmarking.workload import load_workload
from axion_stage3.diffusion.checkpoint import save_checkpoint
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork

if TYPE_CHECKING:
    from pathlib import Path

TINY = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are compared as Linux counts them")
@pytest.mark.timeout(600)
def test_ten_thousand_tiles_take_the_memory_of_four_thousand(tmp_path: Path) -> None:
    checkpoint = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    save_checkpoint(checkpoint, GroundingNetwork(TINY), epoch=1, config={"timesteps": 2})
    workload = load_workload(None, None, 32)
    peaks = {}
    for n_tiles in (4_000, 10_000):
        folder = tmp_path / str(n_tiles)
        opt_v2_dir, s1_dir = workload.write(folder, n_tiles)
        command = ["infer", "--checkpoint", checkpoint, "--opt-v2-dir", opt_v2_dir]
        command += ["--s1-dir", s1_dir, "--output-dir", folder / "out", "--batch-size", "8"]
        pace = measure_process("infer", [*map(str, command), "--quiet"])
        assert pace.peak_rss_mb is not None
        assert len(list((folder / "out").glob("*.npz"))) == n_tiles
        peaks[n_tiles] = pace.peak_rss_mb
    # The heaps of the threads fill up over the first few thousand tiles, differently each time.
    assert peaks[10_000] <= 1.15 * peaks[4_000]
