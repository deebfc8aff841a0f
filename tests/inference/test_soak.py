"""A long run: what it holds does not grow with what it has done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inference_workbench import cut_examples, hashes

from axion_stage3.inference.run_observer import RunObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.runs.outcome import TileOutcome

MIB = 1 << 20
PAGE_BYTES = 4096


class Meter(RunObserver):
    """Measures this process now and then."""

    def __init__(self, every: int) -> None:
        self.n_done = 0
        self.resident_bytes: list[int] = []
        self.n_handles: list[int] = []
        self._every = every

    def tile_done(self, outcome: TileOutcome) -> None:
        self.n_done += 1
        if self.n_done % self._every == 0:
            resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.resident_bytes.append(resident_pages * PAGE_BYTES)
            self.n_handles.append(len(list(Path("/proc/self/fd").iterdir())))


def link_copies(folder: Path, n_tiles: int) -> None:
    """Many names for the pieces of real tiles that are there."""
    for side in ("opt_v2", "s1"):
        pieces = sorted((folder / side).iterdir())
        for i in range(n_tiles):
            target = folder / side / f"{i // 1000:03d}" / f"copy_{i:05d}.npz"
            target.parent.mkdir(exist_ok=True)
            target.hardlink_to(pieces[i % len(pieces)])
        for piece in pieces:
            piece.unlink()


def soak(infer: Callable[..., RunResult], folder: Path, n_tiles: int, every: int) -> Meter:
    cut_examples(folder, 48)
    link_copies(folder, n_tiles)
    meter = Meter(every)
    result = infer(opt_v2_dir=folder / "opt_v2", s1_dir=folder / "s1", timesteps=1, observer=meter)
    assert result.exit_code == 0
    assert result.summary["processed"] == n_tiles
    assert len(set(hashes(result.output_dir).values())) <= 48
    return meter


def test_file_handles_do_not_grow_with_the_number_of_tiles(
    infer: Callable[..., RunResult], tmp_path: Path
) -> None:
    meter = soak(infer, tmp_path, 200, every=20)
    assert max(meter.n_handles) - min(meter.n_handles) <= 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_tiles_in_constant_memory(
    infer: Callable[..., RunResult], tmp_path: Path
) -> None:
    meter = soak(infer, tmp_path, 20_000, every=1000)
    resident_mib = [round(value / MIB) for value in meter.resident_bytes]
    (tmp_path / "measured.txt").write_text(f"MiB: {resident_mib}\nhandles: {meter.n_handles}\n")
    settled = meter.resident_bytes[2:]
    assert max(settled) - min(settled) < 16 * MIB, resident_mib
    assert max(meter.n_handles) - min(meter.n_handles) <= 4
