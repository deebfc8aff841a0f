"""Runs in parts: lists of tiles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inference_workbench import Watcher, hashes

from axion_stage3.errors import RunConflictError, TileListError
from axion_stage3.runs.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult

    Infer = Callable[..., RunResult]


def listed(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def reports(output_dir: Path) -> tuple[dict[str, object], object]:
    """The two reports, without times."""
    summary = json.loads((output_dir / "inference_summary.json").read_text())
    for key in ("processing_time_seconds", "tiles_per_second", "stage_seconds"):
        summary.pop(key)
    return summary, json.loads((output_dir / "tile_statistics.json").read_text())


def test_lists_one_after_another_end_as_one_run(infer: Infer, tmp_path: Path) -> None:
    whole = infer(output_dir=tmp_path / "whole").output_dir
    first = listed(tmp_path / "first.txt", "tile_000", "tile_004", "tile_005")
    second = listed(tmp_path / "second.txt", "tile_001", "tile_002", "tile_003")
    watcher = Watcher()
    result = infer(tiles=first, observer=watcher)
    assert watcher.events[-2:] == ["3 of 6 selected", "3 to do"]
    assert sorted(hashes(result.output_dir)) == ["tile_000.npz", "tile_004.npz", "tile_005.npz"]
    assert result.summary["total_tiles"] == 3
    result = infer(tiles=second)
    assert (result.exit_code, result.summary["processed"]) == (0, 3)
    assert result.summary_path is not None
    assert hashes(result.output_dir) == hashes(whole)
    assert reports(result.output_dir) == reports(whole)


def test_a_list_beside_a_living_one_leaves_the_reports_to_it(infer: Infer, tmp_path: Path) -> None:
    part = listed(tmp_path / "list.txt", "tile_003.npz")
    digests = []

    def start_beside(n_done: int) -> None:
        assert n_done == 1
        (lease,) = (tmp_path / "out" / "runs").glob("lease-*.json")
        digests.append(json.loads(lease.read_text())["configuration_digest"])
        other = listed(tmp_path / "other.txt", "tile_001.npz")
        result = infer(tiles=other)
        assert (result.exit_code, result.summary_path) == (0, None)

    result = infer(tiles=part, observer=Watcher(start_beside))
    assert result.summary_path is not None
    assert reports(result.output_dir)[0]["processed"] == 2
    # A whole run is not let in beside a part, nor the other way round.
    whole = Lease.acquire(tmp_path / "out" / "runs", configuration_digest=digests[0])
    with whole, pytest.raises(RunConflictError, match="in use by another run"):
        infer(tiles=part)


def test_a_list_with_unknown_names_writes_nothing(infer: Infer, tmp_path: Path) -> None:
    with pytest.raises(TileListError, match=r"2 of the 3 .* tile_009.npz, nothing"):
        infer(tiles=listed(tmp_path / "list.txt", "tile_001", "tile_009.npz", "nothing"))
    assert not (tmp_path / "out").exists()
