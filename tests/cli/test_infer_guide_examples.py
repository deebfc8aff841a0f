"""Examples 1 to 6 of the Stage 3 inference guide run as written, on real tiles."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from cli_workbench import N_TILES, state_of

from axion_stage3.cli.app import run

BASIC = r"""
axion-stage3 infer \
  --checkpoint checkpoints/stage3/best_model.pt \
  --opt-v2-dir stage2_outputs/ \
  --s1-dir tiles/s1/ \
  --output-dir outputs/stage3_final/"""
EXAMPLES = {
    "1 basic": BASIC,
    "2 batch": BASIC + " \\\n  --batch-size 8",
    "3 intermediate": BASIC + " \\\n  --save-intermediate",
    "4 faster": BASIC + " \\\n  --timesteps 5 \\\n  --batch-size 4",
    "5 cpu": BASIC + " \\\n  --device cpu",
    "6 quiet": BASIC + " \\\n  --quiet",
}
OUTPUT = Path("outputs/stage3_final")
NAMES = [f"tile_{number:03}" for number in range(1, N_TILES + 1)]
GUIDE_REPORT = [
    "=" * 80,
    "Stage 3 Inference: SAR Grounding",
    "=" * 80,
    "",
    "Configuration:",
    "  Checkpoint: checkpoints/stage3/best_model.pt",
    "  opt_v2 directory: stage2_outputs/",
    "  S1 directory: tiles/s1/",
    "  Output directory: outputs/stage3_final/",
    "  Batch size: ",
    "  Timesteps: ",
    "  Device: ",
    "",
    "Loading Stage 3 model...",
    "✓ Model loaded from checkpoints/stage3/best_model.pt",
    "  Epoch: 28",
    "  Timesteps: ",
    "",
    "Finding tile pairs...",
    "✓ Found 3 matching tile pairs",
    "",
    "Processing tiles: 3/3 [",
    "",
    "=" * 80,
    "Inference Complete!",
    "=" * 80,
    "",
    "Results:",
    "  Total tiles: 3",
    "  Processed: 3",
    "  Failed: 0",
    "  Success rate: 100.0%",
    "  Processing time: ",
    "  Throughput: ",
    "  Time of all threads: ",
    "  Bottleneck: ",
    "",
    "Aggregate Statistics:",
    "  Mean output value: ",
    "  Mean output std: ",
    "  Mean change from Stage 2: ",
    "  Max change from Stage 2: ",
    "",
    "Output saved to: outputs/stage3_final/",
    "  Summary: outputs/stage3_final/inference_summary.json",
    "  Statistics: outputs/stage3_final/tile_statistics.json",
    "",
    "=" * 80,
]
SUMMARY_FIELDS = [
    "total_tiles",
    "processed",
    "failed",
    "success_rate",
    "processing_time_seconds",
    "tiles_per_second",
    "aggregate_stats",
]
AGGREGATE_FIELDS = ["opt_final_mean", "opt_final_std", "change_mean", "change_max"]
TILE_FIELDS = [
    "tile_name",
    "opt_final_mean",
    "opt_final_std",
    "change_mean",
    "change_max",
    "blue_mean",
    "green_mean",
    "red_mean",
    "nir_mean",
]

pytestmark = pytest.mark.usefixtures("workspace")


def infer(command: str) -> int:
    """Run a command line as it stands in the guide."""
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    assert program == "axion-stage3"
    return run(arguments)


def outputs() -> dict[str, np.ndarray]:
    """Tile name to opt_final."""
    return {name: np.load(OUTPUT / f"{name}.npz")["opt_final"] for name in NAMES}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_written(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = state_of("stage2_outputs", "tiles", "checkpoints")

    assert infer(EXAMPLES[example]) == 0

    streams = capsys.readouterr()
    lines = streams.err.splitlines()
    assert streams.out == ""
    if example == "6 quiet":
        assert lines == []
    else:
        if example == "3 intermediate":
            lines.remove("  Save intermediate: yes")
        assert len(lines) == len(GUIDE_REPORT), streams.err
        for line, expected in zip(lines, GUIDE_REPORT, strict=True):
            assert line.startswith(expected)
    assert state_of("stage2_outputs", "tiles", "checkpoints") == before
    for name in NAMES:
        with np.load(OUTPUT / f"{name}.npz") as tile:
            extra = {"opt_v2", "s1"} if example == "3 intermediate" else set()
            assert set(tile.files) == {"opt_final", "opt_v3"} | extra
            assert tile["opt_final"].dtype == np.float32
            assert tile["opt_final"].shape[0] == 4
            assert np.array_equal(tile["opt_final"], tile["opt_v3"])
            if extra:
                assert tile["opt_v2"].shape == tile["opt_final"].shape
                assert tile["s1"].shape == (2, *tile["opt_final"].shape[1:])


def test_the_options_of_an_example_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    infer(EXAMPLES["4 faster"])

    err = capsys.readouterr().err
    assert "  Batch size: 4\n" in err
    assert err.count("  Timesteps: 5\n") == 2


def test_the_timesteps_of_the_checkpoint_are_shown_as_in_the_guide(
    capsys: pytest.CaptureFixture[str],
) -> None:
    infer(BASIC)

    assert capsys.readouterr().err.count("  Timesteps: 10\n") == 2


def test_statistics_files_have_every_field_of_the_guide() -> None:
    infer(BASIC)

    summary = json.loads((OUTPUT / "inference_summary.json").read_text())
    tiles = json.loads((OUTPUT / "tile_statistics.json").read_text())
    one = json.loads((OUTPUT / "tile_001.json").read_text())
    assert list(summary)[: len(SUMMARY_FIELDS)] == SUMMARY_FIELDS
    assert list(summary["aggregate_stats"])[:4] == AGGREGATE_FIELDS
    assert (summary["total_tiles"], summary["processed"], summary["failed"]) == (3, 3, 0)
    assert [tile["tile_name"] for tile in tiles] == [f"{name}.npz" for name in NAMES]
    assert all(list(tile)[: len(TILE_FIELDS)] == TILE_FIELDS for tile in [*tiles, one])
    change_means = [tile["change_mean"] for tile in tiles]
    assert summary["aggregate_stats"]["change_mean"] == pytest.approx(np.mean(change_means))


def test_no_stats_writes_tiles_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer(BASIC + " --no-stats") == 0

    assert {path.name for path in OUTPUT.rglob("*.json")} <= {"run-manifest.json"}
    assert set(outputs()) == set(NAMES)
    assert "inference_summary.json" not in capsys.readouterr().err


def test_the_batch_size_does_not_change_the_result() -> None:
    infer(BASIC)
    alone = outputs()
    infer(BASIC + " --batch-size 8 --existing overwrite")

    for name, opt_final in outputs().items():
        assert np.abs(opt_final - alone[name]).max() < 1e-5


def test_json_is_one_document_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer(BASIC + " --json --quiet") == 0

    streams = capsys.readouterr()
    document = json.loads(streams.out)
    assert streams.err == ""
    assert document["schema_version"] == 1
    assert document["exit_code"] == 0
    assert document["summary"] == json.loads(Path(document["summary_path"]).read_text())
    assert document["configuration"]["opt_v2_dir"] == "stage2_outputs"


def test_options_may_come_from_a_file_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.toml").write_text(
        'checkpoint = "checkpoints/stage3/best_model.pt"\nopt_v2_dir = "stage2_outputs"\n'
        's1_dir = "tiles/s1"\noutput_dir = "elsewhere"\ntimesteps = 2\nseed = 3\nbatch_size = 2\n'
    )
    monkeypatch.setenv("AXION_STAGE3_SEED", "4")
    monkeypatch.setenv("AXION_STAGE3_BATCH_SIZE", "3")

    code = run(["infer", "--config", "run.toml", "--batch-size", "auto", "--json", "--quiet"])

    configuration = json.loads(capsys.readouterr().out)["configuration"]
    assert code == 0
    assert configuration["timesteps"] == 2
    assert configuration["seed"] == 4
    assert configuration["batch_size"] == "auto"
    Path("effective.json").write_text(json.dumps(configuration | {"output_dir": "again"}))
    assert run(["infer", "--config", "effective.json", "--quiet"]) == 0
    assert Path("again/tile_001.npz").read_bytes() == Path("elsewhere/tile_001.npz").read_bytes()


def test_a_second_run_finds_everything_done(capsys: pytest.CaptureFixture[str]) -> None:
    infer(BASIC)
    before = {path: path.stat().st_mtime_ns for path in OUTPUT.glob("*.npz")}
    capsys.readouterr()

    assert infer(BASIC) == 0

    err = capsys.readouterr().err
    assert "  Already done: 3\n" in err
    assert "  Processed: 3\n" in err
    assert {path: path.stat().st_mtime_ns for path in OUTPUT.glob("*.npz")} == before
