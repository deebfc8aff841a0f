"""Shards, their plan and their merge, as commands; and the recipes that drive them."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_workbench import check_document, state_of

from axion_stage3.cli.app import run
from axion_stage3.cli.plan_report import duration_text, size_text
from axion_stage3.runs.parts import Shard

RECIPES = Path(__file__).parents[2] / "examples" / "cluster"
FOLDERS = ["--opt-v2-dir", "stage2_outputs", "--s1-dir", "tiles/s1"]
MODEL = ["--checkpoint", "checkpoints/stage3/best_model.pt", "--device", "cpu"]
TIMES = ("processing_time_seconds", "tiles_per_second", "stage_seconds")


def infer(output_dir: str, *extra: str) -> int:
    return run(["infer", *FOLDERS, *MODEL, "--output-dir", output_dir, *extra])


def tiles_of(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.npz")}


def reports(folder: str) -> tuple[dict[str, Any], str]:
    summary = json.loads(Path(folder, "inference_summary.json").read_text())
    for key in TIMES:
        summary.pop(key)
    return summary, Path(folder, "tile_statistics.json").read_text()


@pytest.mark.usefixtures("workspace")
def test_shards_in_any_order_end_as_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("whole") == 0
    for k in (2, 3, 1):
        assert not Path("parts/inference_summary.json").exists()
        assert infer("parts", "--shard", f"{k}/3") == 0
    assert tiles_of("parts") == tiles_of("whole")
    assert reports("parts") == reports("whole")
    said = capsys.readouterr().err
    assert said.count("axion-stage3 merge parts") == 2
    assert "  Shard: 3/3" in said
    assert len(list(Path("parts/runs").glob("journal-*-shard-?-of-3.jsonl"))) == 3
    Path("parts/inference_summary.json").unlink()
    assert run(["merge", "parts"]) == 0
    assert reports("parts") == reports("whole")


@pytest.mark.usefixtures("workspace")
def test_a_merge_says_which_shards_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"tile_{i:03}.npz" for i in (1, 2, 3)]
    n_here = sum(Shard(2, 5).holds(name) for name in names)
    assert infer("parts", "--shard", "2/5", "--quiet") == 0
    capsys.readouterr()
    assert run(["merge", "parts", "--quiet", "--json"]) == 3
    captured = capsys.readouterr()
    document = check_document(captured.out, "merge")
    assert (document["exit_code"], document["n_shards"]) == (3, 5)
    assert document["missing_shards"] == [1, 3, 4, 5]
    assert document["summary"]["processed"] == n_here
    assert "not begun: shard 1/5, 3/5, 4/5, 5/5" in captured.err
    manifest = Path("parts/runs/run-manifest-2-of-5.json")
    manifest.write_text(manifest.read_text().replace('"finished"', '"interrupted"'))
    assert run(["merge", "parts", "--quiet"]) == 3
    assert "not at its end: shard 2/5" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("folder", ["nowhere", "tiles", "tiles/s1/tile_001.npz"])
def test_a_merge_of_no_run_is_refused(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["merge", folder]) == 4
    said = capsys.readouterr().err
    assert folder in said
    assert "choose" not in said
    assert not Path(folder, "inference_summary.json").exists()


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5", ""])
def test_a_bad_shard_is_one_clear_message(shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("parts", "--shard", shard) == 2
    said = capsys.readouterr().err
    assert f"--shard is '{shard}'" in said
    assert "give K/N with K from 1 to N, such as 3/16" in said
    assert not Path("parts").exists()


@pytest.mark.usefixtures("workspace")
def test_more_shards_than_can_be_named_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("parts", "--shard", "1/100000") == 2
    said = capsys.readouterr().err
    assert "N at most 99999" in said
    assert not Path("parts").exists()


@pytest.mark.usefixtures("workspace")
def test_of_many_missing_shards_the_first_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("parts", "--shard", "1/99999", "--quiet") == 0
    capsys.readouterr()
    assert run(["merge", "parts", "--quiet"]) == 3
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "not begun" in line)
    assert line.endswith("20/99999, 21/99999 and 99978 more")


@pytest.mark.usefixtures("workspace")
def test_a_manifest_of_too_many_shards_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert infer("parts", "--shard", "1/3", "--quiet") == 0
    capsys.readouterr()
    manifest = Path("parts/runs/run-manifest-1-of-3.json")
    manifest.write_text(manifest.read_text().replace('"1/3"', '"1/100000"'))
    run(["merge", "parts", "--quiet"])
    assert "not begun" not in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("options", [("--indices", "FOO"), ("--workers", "2")])
def test_a_plan_refuses_what_the_run_would(options: tuple[str, str]) -> None:
    assert infer("parts", "--plan", *options) == infer("parts", *options) == 2


@pytest.mark.usefixtures("workspace")
def test_the_plan_of_a_first_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = state_of(".")
    assert infer("parts", "--shard", "1/2", "--plan") == 0
    assert state_of(".") == before
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert "not measured yet" in captured.out
    assert "guessed from the inputs' sizes" in captured.out
    assert [line.split()[0] for line in lines[-5:]] == ["shard", "1/2", "2/2", "largest", "all"]
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("workspace")
def test_the_plan_of_very_many_shards_lists_the_first_and_the_largest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert infer("parts", "--shard", "1/100", "--plan") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  ... and 36 more (--json lists them all)" in lines
    assert [line.split()[0] for line in lines[-2:]] == ["largest", "all"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not known"),
        (0.0123, "0.0123 s"),
        (99, "99 s"),
        (100, "1 min 40 s"),
        (3600 * 3 + 60 * 12, "3 h 12 min"),
        (3600 * 24 * 3, "3 d 0 h"),
    ],
)
def test_a_duration_is_said_in_the_two_units_that_say_most(
    seconds: float | None, text: str
) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.9, "1 kB"),
        (1.23e9, "1.23 GB"),
        (5e15, "5 PB"),
        (5.12e18, "5.12 EB"),
        (5.12e21, "5,120 EB"),
    ],
)
def test_a_size_is_said_with_three_digits(n_bytes: float, text: str) -> None:
    assert size_text(n_bytes) == text


@pytest.mark.usefixtures("workspace")
def test_a_plan_rests_on_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.txt").write_text("tile_002\n")
    assert infer("parts", "--tiles", "list.txt", "--quiet") == 0
    assert infer("parts", "--shard", "1/4", "--plan", "--json") == 0
    plan = check_document(capsys.readouterr().out, "infer-plan")
    assert (plan["n_pairs"], plan["n_tiles"], plan["n_to_do"], plan["n_measured"]) == (3, 3, 2, 1)
    assert plan["bytes_per_tile"] == Path("parts/tile_002.npz").stat().st_size
    assert plan["seconds_per_tile"] > 0
    assert sum(shard["n_tiles"] for shard in plan["shards"]) == 3
    assert sum(shard["output_bytes"] for shard in plan["shards"]) == 2 * plan["bytes_per_tile"]
    total = sum(shard["seconds"] for shard in plan["shards"])
    assert total == pytest.approx(2 * plan["seconds_per_tile"])
    # Measured with other options, a tile says nothing of this run.
    assert infer("parts", "--seed", "1", "--existing", "skip", "--plan") == 0
    assert "not measured yet" in capsys.readouterr().out


def stub(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def commands_of(script: list[str], tmp_path: Path, **environ: str) -> list[list[str]]:
    """The command lines of axion-stage3 that a script runs, with GNU parallel played by bash."""
    programs = tmp_path / "programs"
    stub(
        programs, "axion-stage3", f'printf "%q " "$@" >> {tmp_path}/calls; echo >> {tmp_path}/calls'
    )
    stub(
        programs,
        "parallel",
        "words=()\n"
        'while [[ $1 != ":::" ]]; do words+=("$1"); shift; done; shift\n'
        "while [[ ${words[0]} == --* ]]; do "
        "case ${words[0]} in --line-buffer) n=1;; *) n=2;; esac; "
        'words=("${words[@]:n}"); done\n'
        'for value; do line="${words[*]}"; line="${line//"{}"/$value}"; '
        'bash -c "${line//"{%}"/$value}"; done',
    )
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(script, check=True, env={**os.environ, **environ, "PATH": path}, cwd=tmp_path)
    return [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    "name", ["slurm_array.sh", "gnu_parallel.sh", "kubernetes_indexed_job.yaml"]
)
def test_a_recipe_runs_every_shard(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPES / name
    folders = ["stage2_outputs", "tiles/s1", "out"]
    calls: list[list[str]] = []
    if name.startswith("slurm"):
        for k in ("1", "2"):
            counts = {"SLURM_ARRAY_TASK_ID": k, "SLURM_ARRAY_TASK_COUNT": "2"}
            calls = commands_of([str(recipe), *folders], tmp_path, **counts)
    elif name.startswith("gnu"):
        calls = commands_of([str(recipe), *folders, "2"], tmp_path, CUDA_PER_SLOT="1")
    else:
        (container,) = yaml.safe_load(recipe.read_text())["spec"]["template"]["spec"]["containers"]
        places = dict(zip(("/data/opt_v2", "/data/s1", "/outputs"), folders, strict=True))
        command = [*container["command"][:-1], container["command"][-1]]
        command[-1] = re.sub(r"/(data|outputs)\S*", lambda m: places[m[0]], command[-1])
        for k in ("0", "1"):
            calls = commands_of(command, tmp_path, JOB_COMPLETION_INDEX=k, SHARDS="2")
    assert [call[call.index("--shard") + 1] for call in calls] == ["1/2", "2/2"]
    for call in calls:
        assert run([*call, *MODEL, "--timesteps", "1"]) == 0
    assert reports("out")[0]["processed"] == 3


def test_the_recipes_are_sound() -> None:
    for script in RECIPES.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
    job = yaml.safe_load((RECIPES / "kubernetes_indexed_job.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed"
    assert {"name": "SHARDS", "value": str(job["completions"])} in container["env"]
    assert job["parallelism"] <= job["completions"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
