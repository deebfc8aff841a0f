"""The console report has the structure and the words of the Stage 3 inference guide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axion_stage3.cli import infer_report as report
from axion_stage3.config import InferenceConfig
from axion_stage3.runs.summary import FailedTileRecord
from axion_stage3.tiles.folder_listing import RefusedFile

GUIDE_SUMMARY: dict[str, Any] = {
    "total_tiles": 1000,
    "processed": 998,
    "failed": 2,
    "success_rate": 0.998,
    "processing_time_seconds": 245.67,
    "tiles_per_second": 4.06,
    "aggregate_stats": {
        "opt_final_mean": 0.3456,
        "opt_final_std": 0.1234,
        "change_mean": 0.0234,
        "change_max": 0.1567,
    },
}


def config(**entries: object) -> InferenceConfig:
    folders = {
        "opt_v2_dir": "stage2_outputs/",
        "s1_dir": "tiles/s1/",
        "output_dir": "outputs/stage3_final/",
    }
    return InferenceConfig.model_validate(folders | entries)


def test_the_configuration_as_in_the_guide() -> None:
    given = config(checkpoint="checkpoints/stage3/best_model.pt", timesteps=10)

    assert report.configuration_lines(given, "cuda", 10) == [
        "Configuration:",
        "  Checkpoint: checkpoints/stage3/best_model.pt",
        "  opt_v2 directory: stage2_outputs/",
        "  S1 directory: tiles/s1/",
        "  Output directory: outputs/stage3_final/",
        "  Batch size: 1",
        "  Timesteps: 10",
        "  Device: cuda",
    ]


def test_what_is_not_the_default_is_shown() -> None:
    lines = report.configuration_lines(config(sampler="euler", save_intermediate=True), "cpu", 10)

    assert "  Checkpoint: bundled reference checkpoint" in lines
    assert "  Timesteps: 10" in lines
    assert lines[-2:] == ["  Sampler: euler", "  Save intermediate: yes"]


def test_the_model_and_the_pairs() -> None:
    assert report.model_lines("best_model.pt", 28, 10) == [
        "✓ Model loaded from best_model.pt",
        "  Epoch: 28",
        "  Timesteps: 10",
    ]
    assert report.pairs_lines(1000, 0, 0) == ["✓ Found 1000 matching tile pairs"]
    assert report.pairs_lines(1, 2, 3) == [
        "✓ Found 1 matching tile pair",
        "  Without an S1 tile: 2",
        "  Without an opt_v2 tile: 3",
    ]
    refused = [RefusedFile(Path("in/\x1b[31m.npz"), "a reason"), RefusedFile(Path("b"), "another")]
    assert report.pairs_lines(2, 0, 0, refused)[1:] == [
        r"  Not used: 2, such as 'in/\x1b[31m.npz' (a reason)"
    ]


def test_the_results_as_in_the_guide() -> None:
    assert report.result_lines(GUIDE_SUMMARY) == [
        "Results:",
        "  Total tiles: 1000",
        "  Processed: 998",
        "  Failed: 2",
        "  Success rate: 99.8%",
        "  Processing time: 245.67s",
        "  Throughput: 4.06 tiles/s",
        "",
        "Aggregate Statistics:",
        "  Mean output value: 0.3456",
        "  Mean output std: 0.1234",
        "  Mean change from Stage 2: 0.0234",
        "  Max change from Stage 2: 0.1567",
    ]


@pytest.mark.parametrize(
    ("waits", "bottleneck"),
    [
        ({}, "computing"),
        ({"wait_for_read": 0.9, "wait_for_write": 0.5}, "computing"),
        ({"wait_for_read": 1.1, "wait_for_write": 1.05}, "reading"),
        ({"wait_for_read": 1.1, "wait_for_write": 4.0}, "writing"),
    ],
)
def test_the_bottleneck_is_what_the_network_waits_for(
    waits: dict[str, float], bottleneck: str
) -> None:
    stages = {"read": 12.34, "compute": 10.0, "write": 3.0}
    lines = report.result_lines(GUIDE_SUMMARY | {"stage_seconds": stages | waits})
    assert lines[7:9] == [
        "  Time of all threads: reading 12.3s, computing 10.0s, writing 3.0s",
        f"  Bottleneck: {bottleneck}",
    ]


def test_no_tile_no_statistics() -> None:
    nothing = dict.fromkeys(GUIDE_SUMMARY["aggregate_stats"])
    without = report.result_lines({**GUIDE_SUMMARY, "aggregate_stats": nothing})
    assert "Aggregate Statistics:" not in without


def test_where_things_are() -> None:
    out = Path("outputs/stage3_final")
    paths = (out / "inference_summary.json", out / "tile_statistics.json")

    assert report.location_lines(out, *paths) == [
        "Output saved to: outputs/stage3_final/",
        "  Summary: outputs/stage3_final/inference_summary.json",
        "  Statistics: outputs/stage3_final/tile_statistics.json",
    ]
    assert report.location_lines(out, None, None) == ["Output saved to: outputs/stage3_final/"]


def failed(name: str, reason: str, hint: str = "") -> FailedTileRecord:
    return FailedTileRecord(name, "failed", "read", "AX-E410", reason, hint)


def test_failed_tiles_with_their_reasons() -> None:
    failures = [failed(f"tile_{n:03}.npz", f"reason {n}") for n in range(25)]

    assert report.failure_lines([], 0) == []
    assert report.failure_lines([failed("tile_000.npz", "It has NaN.", "Fill it.")], 1) == [
        "⚠ Warning: 1 tile failed:",
        "  - tile_000.npz",
        "      It has NaN.",
        "      Hint: Fill it.",
        "  When the cause is mended, --retry-failed runs these again.",
    ]
    many = report.failure_lines(failures, 25)
    assert many[0] == "⚠ Warning: 25 tiles failed:"
    assert many[-2] == "  ... and 5 more"
    assert len(many) == 1 + 2 * report.MAX_LISTED + 2


def test_long_reasons_are_wrapped_and_paths_stay_whole() -> None:
    path = "/data/" + "x" * 100 + ".npz"
    reason = f"In {path} " + "there is nothing " * 9
    lines = report.failure_lines([failed("t.npz", reason)], 1)

    assert sum(path in line for line in lines) == 1
    assert all(len(line) <= 80 for line in lines if path not in line)


def test_tiles_that_were_not_processed_are_counted() -> None:
    lines = report.result_lines({**GUIDE_SUMMARY, "skipped": 3, "pending": 4})

    assert "  Kept from another configuration: 3" in lines
    assert "  Not processed: 4" in lines


def test_the_report_is_readable_at_80_columns() -> None:
    lines = [
        *report.heading_lines("Inference Complete!"),
        *report.configuration_lines(config(), "cuda", 10),
        *report.result_lines(GUIDE_SUMMARY),
    ]
    assert all(len(line) <= 80 for line in lines)
