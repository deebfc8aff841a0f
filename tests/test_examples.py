"""The scripts in examples/ run, on the example tiles, with the bundled checkpoint."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from axion_stage3.cli.app import run
from axion_stage3.config import resolve_config
from axion_stage3.diffusion.checkpoint import (
    BUNDLED_CHECKPOINT,
    load_checkpoint,
    save_checkpoint,
)
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import load_optical
from axion_stage3.training.dataset import read_split_file
from axion_stage3.training.training_config import TrainingConfig
from axion_stage3.training.training_material import generators_name

EXAMPLES = Path(__file__).parents[1] / "examples"
N_TILES = len(list((EXAMPLES / "tiles" / "opt_v2").glob("*.npz")))
N_FEW = 2


def test_ground_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "ground_arrays.py"))["main"](n_tiles=N_TILES)

    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "tile"
    assert len(rows) == N_TILES
    errors = [tuple(map(float, row.split()[-2:])) for row in rows]
    assert sum(after for _, after in errors) < sum(before for before, _ in errors)


@pytest.fixture
def few_tiles(tmp_path: Path) -> Path:
    """A folder with opt_v2/ and s1/ of a few example tiles, where the scripts look for them."""
    tiles = tmp_path / "examples" / "tiles"
    for kind in ("opt_v2", "s1"):
        (tiles / kind).mkdir(parents=True)
        for path in sorted((EXAMPLES / "tiles" / kind).glob("*.npz"))[:N_FEW]:
            shutil.copy(path, tiles / kind)
    return tiles


def test_ground_folder(few_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(EXAMPLES / "ground_folder.py"))["main"]
    assert main.__globals__["EXAMPLE_TILES"] == EXAMPLES / "tiles"
    main.__globals__["EXAMPLE_TILES"] = few_tiles
    main(tmp_path / "out")

    first, *rows = capsys.readouterr().out.splitlines()
    assert first == f"{N_FEW} of {N_FEW} tiles, exit code 0"
    assert len(rows) == N_FEW
    assert all("uncertainty" in row for row in rows)


RECORD_OF_COMMANDS = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/commands.txt
case "$*" in *--json*) cat {folder}/document.json ;; esac
"""


@pytest.mark.usefixtures("few_tiles")
def test_run_infer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is a stand-in that records what it is asked for; that is then done here."""
    stand_in, document = tmp_path / "bin" / "axion-stage3", tmp_path / "document.json"
    stand_in.parent.mkdir()
    stand_in.write_text(RECORD_OF_COMMANDS.format(folder=tmp_path))
    stand_in.chmod(0o755)
    document.write_text('{"summary": {"aggregate_stats": {"change_mean": 7}}}')

    def said() -> str:
        programs = f"{stand_in.parent}{os.pathsep}{Path(sys.executable).parent}"
        done = subprocess.run(
            [EXAMPLES / "run_infer.sh", tmp_path / "out"],
            env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said() == "change_mean: 7\n"
    commands = [line.split() for line in (tmp_path / "commands.txt").read_text().splitlines()]
    assert [command[0] for command in commands] == ["infer", "infer"]
    assert all((EXAMPLES.parent / path).is_dir() for path in commands[0][2:5:2])
    monkeypatch.chdir(tmp_path)
    assert run(commands[0]) == 0
    assert "✓ Model loaded from bundled reference checkpoint" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.npz"))) == N_FEW
    assert run(commands[1]) == 0
    document.write_text(capsys.readouterr().out)
    assert said().startswith("change_mean: 0.")


def test_measure_planning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["measure", "--pairs", "64", "--folder", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "cluster" / "measure_planning.py"))["main"]()

    said = capsys.readouterr().out
    assert "64 pairs" in said
    assert "resume check seconds" in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("examples/draw_first_run.py", "required: output_dir, picture"),
        ("examples/training/make_example_tiles.py data", "required: output_dir"),
        ("examples/training/make_neighbour_tiles.py", "required: data_dir, output_dir"),
        ("docs/pictures/draw_best_and_worst.py", "required: data_dir"),
        (
            "examples/cluster/measure_planning.py --folder /no/such",
            "/no/such is no folder that can be written",
        ),
    ],
    ids=lambda text: text.split()[0].rpartition("/")[2],
)
def test_a_script_says_what_it_needs(
    command: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(EXAMPLES.parent / command.split(maxsplit=1)[0]), run_name="__main__")
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_draw_first_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    script = runpy.run_path(str(EXAMPLES / "draw_first_run.py"))
    for name in script["SHOWN"]:
        write_npz(tmp_path / name, {"opt_final": load_optical(EXAMPLES / "tiles" / "truth" / name)})

    script["main"](tmp_path, tmp_path / "picture.png")

    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("script", "folder", "split"),
    [("make_example_tiles.py", "tiles", "val"), ("make_neighbour_tiles.py", "neighbours", "train")],
)
def test_the_tiles_here_are_those_that_their_script_makes(
    script: str, folder: str, split: str
) -> None:
    """The scripts want the whole data set; what they choose of it can be looked at without."""
    made = runpy.run_path(str(EXAMPLES / "training" / script))
    entries = read_split_file(EXAMPLES / "training" / "reference_split.csv")
    here = {path.name for path in (EXAMPLES / folder / "s1").glob("*.npz")}

    if "CHOICE" in made:
        chosen = {name for name, _, _ in made["CHOICE"]}
        assert here == chosen
    else:
        assert here == {f"{column}_{row}.npz" for column, row in made["PLACES"]}
        chosen = {f"{made['SCENE']}_{column}_{row}.npz" for column, row in made["PLACES"]}
    assert chosen <= {entry.tile for entry in entries if entry.split == split}


@pytest.mark.parametrize(
    "name",
    [
        "quick.toml",
        "reference_first.toml",
        "reference_second.toml",
        "reference_third.toml",
        "reference_fourth.toml",
        "reference_fifth.toml",
        "reference_sixth.toml",
        "reference_seventh.toml",
        "reference_eighth.toml",
        "reference_ninth.toml",
        "reference_tenth.toml",
        "reference_eleventh.toml",
    ],
)
def test_the_training_configurations_can_work(name: str) -> None:
    resolved = resolve_config(TrainingConfig, {}, config_file=EXAMPLES / "training" / name)

    assert resolved.config != TrainingConfig()


def test_all_parts_of_the_reference_have_the_generators_of_the_first() -> None:
    """They are copied by name: a part that had others would train them anew."""
    files = list((EXAMPLES / "training").glob("reference_*.toml"))
    configs = [resolve_config(TrainingConfig, {}, config_file=file).config for file in files]
    assert len(files) == 11
    assert len({generators_name("tiles", config) for config in configs}) == 1


RECORD_OF_TRAINING = """#!{python} -IS
import shutil, sys, tomllib
from pathlib import Path

options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
config = tomllib.loads(Path(options["--config"]).read_text())
output_dir = Path(options["--output-dir"])
start_from = config.get("start_from")
assert Path(options["--split-file"]).is_file()
with open("parts.txt", "a") as stream:
    print(output_dir, start_from, start_from is None or Path(start_from).is_file(), file=stream)
output_dir.mkdir(parents=True, exist_ok=True)
for name in ("best", "last", "generators-1"):
    shutil.copy({checkpoint!r}, output_dir / f"{{name}}.safetensors")
"""


RECORD_OF_AVERAGING = """#!/bin/sh
printf '%s\\n' "$*" >> averages.txt
cp "$2" "$4"
"""


def test_train_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part begins with a checkpoint that an earlier one left; what trains is a stand-in.

    What averages is one too, which saves three processes that import torch; what was asked of it is
    then done.
    """
    stand_ins = {
        "axion-stage3": RECORD_OF_TRAINING.format(
            python=sys.executable, checkpoint=str(BUNDLED_CHECKPOINT)
        ),
        "python": RECORD_OF_AVERAGING,
    }
    (tmp_path / "bin").mkdir()
    for name, text in stand_ins.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    script = EXAMPLES / "training" / "train_reference.sh"
    done = subprocess.run(
        ["bash", str(script), "data"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "training" / "eleventh" / "last.safetensors").is_file()
    assert (tmp_path / "parts.txt").read_text().splitlines() == [
        "training/first None True",
        "training/second training/first/best.safetensors True",
        "training/second training/first/best.safetensors True",
        "training/third training/second/average.safetensors True",
        "training/fourth training/third/last.safetensors True",
        "training/fourth training/third/last.safetensors True",
        "training/fifth training/fourth/average.safetensors True",
        "training/fifth training/fourth/average.safetensors True",
        "training/sixth training/fifth/average.safetensors True",
        "training/seventh training/sixth/last.safetensors True",
        "training/eighth training/seventh/last.safetensors True",
        "training/ninth training/eighth/average.safetensors True",
        "training/tenth training/ninth/last.safetensors True",
        "training/eleventh training/tenth/average.safetensors True",
    ]
    monkeypatch.chdir(tmp_path)
    averages = [line.split() for line in (tmp_path / "averages.txt").read_text().splitlines()]
    parts = [f"training/{part}" for part in ("second", "fourth", "fifth", "eighth", "tenth")]
    assert [each[3] for each in averages] == [f"{part}/average.safetensors" for part in parts]
    for each in averages:
        Path(each[3]).unlink()
        monkeypatch.setattr(sys, "argv", each)
        runpy.run_path(each[0], run_name="__main__")
        assert Path(each[3]).is_file()


def test_average_checkpoints(tmp_path: Path) -> None:
    late, early, average = (tmp_path / f"{name}.safetensors" for name in ("late", "early", "mean"))
    checkpoint = load_checkpoint()
    network, config = checkpoint.network, checkpoint.config
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    save_checkpoint(late, network, epoch=7, config=config)
    network.load_state_dict({name: 3 * value for name, value in weights.items()})
    save_checkpoint(early, network, epoch=2, config=config)

    script = EXAMPLES / "training" / "average_checkpoints.py"
    runpy.run_path(str(script))["main"](late, early, average, 0.75)

    averaged = load_checkpoint(average)
    assert averaged.epoch == 7
    for name, value in averaged.network.state_dict().items():
        torch.testing.assert_close(value, 1.5 * weights[name])


def test_measure_object_storage() -> None:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    script = EXAMPLES / "cluster" / "measure_object_storage.py"
    done = subprocess.run(
        [sys.executable, str(script), "--keys", "1500"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "1,500 pairs" in done.stdout
    assert "'LIST': 4" in done.stdout


@pytest.mark.slow
def test_measure_engines() -> None:
    pytest.importorskip("ray")
    script = EXAMPLES / "cluster" / "measure_engines.py"
    done = subprocess.run(
        [sys.executable, str(script), "--tiles", "4", "--size", "32"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "ray reaches " in done.stdout


@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES.rglob("*.*") if path.suffix not in (".npz", ".pyc")],
    ids=lambda path: path.name,
)
def test_every_file_is_in_a_test(path: Path) -> None:
    if path.name == "README.md":
        return
    tests = Path(__file__).parent
    texts = [file.read_text(encoding="utf-8") for file in tests.rglob("test_*.py")]
    assert any(path.name in text for text in texts)


@pytest.mark.slow
def test_planning_grows_no_faster_than_the_tiles(tmp_path: Path) -> None:
    """A tenth of what a million pairs may take: 60 s and 1.5 GB."""
    script = EXAMPLES / "cluster" / "measure_planning.py"
    tools = runpy.run_path(str(script))
    tools["make_data_set"](tmp_path, 100_000)
    tools["write_journal"](tmp_path)
    done = subprocess.run(
        [sys.executable, str(script), "--measure", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["processor_seconds"] < 6
    assert figures["peak_memory_bytes"] < 150e6
