"""``infer`` into a folder with outputs, as a user sees it: what is said, and what is left there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_workbench import N_TILES

from axion_stage3.cli.app import run

COMMAND = [
    "infer", "--checkpoint", "checkpoints/stage3/best_model.pt", "--opt-v2-dir", "stage2_outputs",
    "--s1-dir", "tiles/s1", "--output-dir", "out", "--device", "cpu",
]  # fmt: skip
OUT = Path("out")
REPORTS = ["inference_summary.json", "tile_statistics.json"]


def infer(*extra: str) -> int:
    return run([*COMMAND, *extra])


def tile_names() -> list[str]:
    return [f"tile_{number:03}.npz" for number in range(1, N_TILES + 1)]


def summary() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((OUT / REPORTS[0]).read_text())
    return document


def described() -> list[str]:
    return [tile["tile_name"] for tile in json.loads((OUT / REPORTS[1]).read_text())]


@pytest.mark.usefixtures("workspace")
def test_reports_of_older_tiles_do_not_stay_when_no_new_ones_are_wanted() -> None:
    assert infer("--quiet") == 0
    assert infer("--quiet", "--no-stats") == 0
    assert [path.name for path in sorted(OUT.glob("*_s*.json"))] == REPORTS, "no tile was made"
    assert infer("--quiet", "--no-stats", "--existing", "overwrite", "--seed", "1") == 0
    assert not list(OUT.glob("*.json"))


@pytest.mark.usefixtures("workspace")
def test_tiles_without_statistics_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    infer("--no-stats")
    assert "Without statistics" not in capsys.readouterr().err
    infer()
    said = capsys.readouterr().err
    assert f"  Without statistics beside them: {N_TILES}\n" in said
    assert "--existing overwrite makes them" in said

    infer("--existing", "overwrite")
    (OUT / "tile_001.json").unlink()
    capsys.readouterr()
    infer("--log-format", "json")
    log = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (planned,) = [line for line in log if line["message"] == "tiles planned"]
    assert (planned["n_done"], planned["n_without_statistics"]) == (N_TILES, 1)


@pytest.mark.usefixtures("workspace")
def test_kept_tiles_stay_in_the_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    infer("--quiet")
    before = json.loads((OUT / REPORTS[1]).read_text())
    (OUT / "tile_001.npz").unlink()
    assert infer("--quiet", "--seed", "1", "--existing", "skip") == 0
    assert (summary()["processed"], summary()["skipped"]) == (1, N_TILES - 1)
    assert summary()["success_rate"] == 1
    assert summary()["aggregate_stats"]["n_tiles"] == N_TILES
    assert json.loads((OUT / REPORTS[1]).read_text())[1:] == before[1:]
    assert run(["stats", "out", "--recompute"]) == 0
    assert "yes, all that is recomputed" in capsys.readouterr().out


@pytest.mark.usefixtures("workspace")
def test_a_kept_tile_is_not_held_to_an_input_that_came_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    infer("--quiet")
    path = Path("stage2_outputs/tile_001.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{name: array[..., ::-1] for name, array in arrays.items()})
    assert infer("--quiet", "--existing", "skip") == 0
    assert (summary()["processed"], summary()["skipped"]) == (N_TILES - 1, 1)
    assert described() == tile_names()
    assert run(["validate", "out"]) == 0
    assert "Recorded statistics do not fit" not in capsys.readouterr().out


@pytest.mark.usefixtures("workspace")
def test_kept_tiles_that_nobody_knows_are_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    infer("--quiet")
    shutil.rmtree(OUT / "runs")
    assert infer("--existing", "skip") == 0
    assert "Success rate: 0.0%" in capsys.readouterr().err
    assert (summary()["skipped"], summary()["success_rate"]) == (N_TILES, 0)
    assert described() == []


@pytest.mark.usefixtures("workspace")
def test_a_retry_says_that_other_tiles_are_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("--retry-failed") == 0
    said = capsys.readouterr().err
    assert f"Failed Tiles Retried ({N_TILES} left: run without --retry-failed)" in said
    assert "Inference Complete!" not in said
    infer()
    assert infer("--retry-failed") == 0
    assert "Inference Complete!" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_a_refusal_offers_what_was_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    infer("--quiet")
    assert infer("--quiet", "--existing", "fail") == 6
    refusal = " ".join(capsys.readouterr().err.split())
    assert "--existing skip keeps it" in refusal
    assert refusal.count("--existing fail") == 1, "it was given already"
    assert infer("--quiet", "--seed", "1") == 6
    assert "--existing fail refuses" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("workspace")
def test_a_session_does_not_call_itself_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    infer("--verbose")
    assert "Read journal-000001-main.jsonl" in capsys.readouterr().err
    infer("--verbose")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Read j")]
    assert lines[0].endswith("; finished")
    assert lines[-1].endswith("; still open, or cut short")


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("name", ["journal-000009-main.jsonl", "lease-000009.json"])
def test_a_pipe_in_the_place_of_a_record_is_named(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (OUT / "runs").mkdir(parents=True)
    os.mkfifo(OUT / "runs" / name)

    assert infer("--quiet") == 6

    message, hint = capsys.readouterr().err.splitlines()
    assert "out/runs" in message
    assert message.endswith(f": {name} is not a regular file.")
    assert hint.startswith("  Hint: Restore access to the output folder")


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("workspace")
def test_a_pipe_in_the_place_of_a_manifest_or_a_summary_is_as_if_it_were_lost() -> None:
    assert infer("--quiet") == 0
    for path in (OUT / REPORTS[0], OUT / "runs" / "run-manifest.json"):
        path.unlink()
        os.mkfifo(path)

    assert run(["visualize", "out", "--only", "report", "--into", "pictures", "--quiet"]) == 0
    assert infer("--quiet") == 0

    assert summary()["processed"] == N_TILES
