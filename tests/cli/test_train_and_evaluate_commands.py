from __future__ import annotations

import csv
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from cli_workbench import check_document

from axion_stage3.cli.app import run
from axion_stage3.config import resolve_config
from axion_stage3.testing.tile_factories import make_tile, write_pair
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ["evaluate", "--truth-dir", "x", "--opt-v2-dir", "y"]


@pytest.fixture
def scenes(tmp_path: Path, tiles: Path) -> list[str]:
    """The options that name two scenes to train on and one held out, without opt_v2."""
    (tiles / "truth").rename(tiles / "s2_truth")
    (tiles / "opt_v2").rename(tmp_path / "stage2")
    split = tmp_path / "split.csv"
    split.write_text("tile,group,split\ntile_0.npz,a,train\ntile_1.npz,b,train\ntile_2.npz,c,val\n")
    return ["--data-dir", str(tiles), "--split-file", str(split)]


def test_an_untrained_checkpoint_changes_nothing(
    tiles: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    on_the_fly = ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    assert run(["evaluate", *folders, *on_the_fly, "--json"]) == 0
    (family,) = check_document(capsys.readouterr().out, "evaluate")["families"]
    assert (family["family"], family["n_tiles"], family["n_groups"]) == ("given", 3, 3)
    assert family["metrics"]["psnr"]["difference"] == pytest.approx(0, abs=1e-3)


def test_perfect_outputs_are_seen_in_table_and_csv(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finals = tmp_path / "finals"
    finals.mkdir()
    for seed in range(3):
        write_npz(finals / f"tile_{seed}.npz", {"opt_final": make_tile(seed, 32).truth})
    table = tmp_path / "figures.csv"
    arguments = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    arguments += ["--opt-final-dir", str(finals), "--csv", str(table)]
    assert run(["evaluate", *arguments]) == 0
    text, said = capsys.readouterr()
    assert said.startswith("Evaluating tiles: 3/3 [")
    assert "given: 3 tiles in 3 groups" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["tile"] for row in rows] == [f"tile_{seed}.npz" for seed in range(3)]
    assert all(float(row["opt_final_mae"]) == 0 < float(row["opt_v2_mae"]) for row in rows)


def test_seed_and_timesteps_reach_the_network_and_its_reference_the_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("opt_v2", "s1", "truth"):
        (tmp_path / part).mkdir()
    write_pair(tmp_path, "tile.npz", seed=0, height=48, has_truth=True)
    folders = ["--truth-dir", f"{tmp_path}/truth", "--opt-v2-dir", f"{tmp_path}/opt_v2"]
    folders += ["--s1-dir", f"{tmp_path}/s1"]
    found = []
    for options in (
        ["--timesteps", "1"],
        ["--timesteps", "3"],
        ["--timesteps", "3", "--seed", "1"],
    ):
        assert run(["evaluate", *folders, *options, "--json"]) == 0
        document = check_document(capsys.readouterr().out, "evaluate")
        found.append(document["tiles"][0]["opt_final"]["psnr"])
        assert document["tiles"][0]["truth_grounding"] is not None
    assert len(set(found)) == 3


def test_a_missing_library_is_said_before_anything_is_evaluated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run([*FOLDERS, "--opt-final-dir", "z", "--parquet", "figures.parquet"]) == 8
    assert "pip install 'axion-stage3[parquet]'" in capsys.readouterr().err


def test_the_number_of_draws_must_make_sense(
    tiles: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    assert run(["evaluate", *folders, "--samples", "0"]) == 2
    assert "--samples is 0" in capsys.readouterr().err
    assert run(["evaluate", *folders, "--samples", "2", "--timesteps", "1"]) == 2
    assert "all the same" in capsys.readouterr().err


def test_draws_are_judged_in_the_table(
    tiles: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]

    assert run(["evaluate", *folders, "--samples", "2", "--timesteps", "2"]) == 0

    text = capsys.readouterr().out
    assert "PSNR of the mean of the draws: " in text
    assert "(Gaussian: 0.683, 0.954, 0.997)" in text


def test_parquet_holds_the_table_of_the_csv(tiles: Path, checkpoint: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    files = ["--csv", f"{tmp_path}/t.csv", "--parquet", f"{tmp_path}/t.parquet"]
    assert run(["evaluate", *folders, *files]) == 0
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    found = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["tile"] for row in found] == [row["tile"] for row in rows]
    assert [row["opt_final_psnr"] for row in found] == [
        float(row["opt_final_psnr"]) for row in rows
    ]


@pytest.mark.parametrize(
    ("target", "exit_code", "words"),
    [
        ("tiles/truth/tile_0.csv", 2, "input folders are never written to"),
        ("tiles/opt_v2/more.csv", 2, "input folders are never written to"),
        ("tiles/s1/more.csv", 2, "input folders are never written to"),
        ("tiles/truth/tile_0.npz", 6, "is a tile"),
        ("out/tile_0.npz", 6, "is a tile"),
    ],
)
@pytest.mark.parametrize("option", ["--csv", "--parquet"])
def test_a_table_changes_no_tile_and_no_input_folder(
    tiles: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    target: str,
    exit_code: int,
    words: str,
) -> None:
    shutil.copytree(tiles / "truth", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1"]
    assert run(["evaluate", *folders, option, str(tmp_path / target)]) == exit_code
    assert words in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_link_to_the_csv_is_followed(tiles: Path, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("table.csv")
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    assert run(["evaluate", *folders, "--csv", f"{tmp_path}/link.csv"]) == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "table.csv").read_text().startswith("tile,")


@pytest.mark.parametrize("method", ["checkpoint", "smoothed", "regression"])
def test_a_method_is_judged_on_held_out_scenes(
    method: str, scenes: list[str], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*scenes, "--family", "blurred"]
    arguments += ["--method", method, "--checkpoint", str(checkpoint), "--samples", "2"]
    assert run(["evaluate", *arguments, "--json"]) == 0
    (family,) = check_document(capsys.readouterr().out, "evaluate")["families"]
    assert (family["family"], family["n_tiles"]) == ("blurred", 1)
    assert (family["draws"] is not None) == (method == "checkpoint")
    gain = family["metrics"]["psnr"]["difference"]
    assert {"checkpoint": abs(gain) < 1e-3, "smoothed": gain < 0, "regression": gain != 0}[method]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["evaluate"], 2, "Give --truth-dir and --opt-v2-dir, or --data-dir and --split-file"),
        (["evaluate", "--opt-v2-dir", "y"], 2, "--truth-dir is missing"),
        (["evaluate", "--data-dir", "x"], 2, "--split-file is missing"),
        (["evaluate", "--data-dir", "x", "--truth-dir", "y"], 2, "--truth-dir goes with folders"),
        ([*FOLDERS, "--s1-dir", "z", "--family", "hard"], 2, "--family goes with held-out scenes"),
        ([*FOLDERS, "--opt-final-dir", "z", "--method", "smoothed"], 2, "for held-out scenes"),
        ([*FOLDERS, "--s1-dir", "z", "--timesteps", "1001"], 2, "must be from 1 to 1000"),
        ([*FOLDERS, "--s1-dir", "z", "--samples", "1001"], 2, "must be from 1 to 1000"),
        ([*FOLDERS, "--s1-dir", "z", "--seed", "-1"], 2, "--seed is -1; it must be from 0 to"),
        ([*FOLDERS, "--s1-dir", "z", "--seed", str(2**63)], 2, f"from 0 to {2**63 - 1}"),
        (
            [*FOLDERS, "--s1-dir", "z", "--csv", "no/such/f.csv"],
            6,
            "no folder no/such for the file",
        ),
        ([*FOLDERS, "--opt-final-dir", "z", "--timesteps", "1"], 2, "--timesteps is for running"),
        ([*FOLDERS, "--opt-final-dir", "z", "--checkpoint", "c"], 2, "--checkpoint is for running"),
        (FOLDERS, 2, "nothing to compare"),
        (["evaluate", "--data-dir", "x", "--split-file", "y", "--family", "z"], 2, "family 'z'"),
        (["evaluate", "--data-dir", "x", "--split-file", "y", "--method", "z"], 2, "method 'z'"),
        (["train", "--data-dir", "x", "--split-file", "y"], 2, "--output-dir is missing"),
        (["train", "--batch-size", "0"], 2, "--batch-size is 0"),
    ],
)
def test_wrong_options_get_one_message(
    arguments: list[str], exit_code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == exit_code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("timesteps = 5000", "less than or equal to 1000"),
        ("learning_rate = inf", "finite number"),
        ("weight_decay = nan", "finite number"),
        ("clip_norm = inf", "finite number"),
        ("max_minutes = inf", "finite number"),
    ],
)
def test_numbers_that_training_cannot_work_with_are_refused_at_once(
    entry: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.toml").write_text(entry)
    assert run(["train", "--config", str(tmp_path / "t.toml")]) == 2
    error = capsys.readouterr().err
    assert entry.partition(" ")[0] in error
    assert words in error


def test_a_file_in_place_of_the_folder_of_pictures_is_named(
    tmp_path: Path, scenes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "quick.toml").write_text(
        "generator_steps = 1\nequalizer_crops = 16\ngate_crops = 0\ndraw_crops = 0\ncrop_px = 32\n"
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "validation").touch()
    arguments = [*scenes, "--max-steps", "1", "--output-dir", f"{tmp_path}/out"]
    arguments += ["--config", f"{tmp_path}/quick.toml"]
    assert run(["train", *arguments, "--batch-size", "2"]) == 6
    assert "out/validation cannot be made: File exists" in capsys.readouterr().err


def test_training_a_checkpoint_and_using_it(
    tmp_path: Path, tiles: Path, scenes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "quick.toml"
    config.write_text(
        "generator_steps = 1\nequalizer_crops = 16\ngate_crops = 16\ndraw_crops = 16\n"
        "validate_every = 2\ncrop_px = 32\n"
    )
    arguments = [*scenes, "--config", str(config), "--output-dir", str(tmp_path / "out")]
    arguments += ["--max-steps", "2", "--batch-size", "2"]
    assert run(["train", *arguments, "--json"]) == 0
    document = check_document(capsys.readouterr().out, "train")
    assert document["steps"] == 2
    assert set(document["validation"]) == {"hard", "generator", "mixed", "mild", "truth"}
    picture = (tmp_path / "out" / "validation" / "step_0000002.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    # One row of four pictures of 32 px tiles in places of 160 px: width and height in the header.
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (670, 172)
    effective = resolve_config(
        TrainingConfig, {}, config_file=tmp_path / "out" / "training_config.json"
    ).config
    assert effective == TrainingConfig(
        generator_steps=1,
        equalizer_crops=16,
        gate_crops=16,
        draw_crops=16,
        validate_every=2,
        crop_px=32,
        max_steps=2,
        batch_size=2,
    )
    used = ["--truth-dir", f"{tiles}/s2_truth", "--opt-v2-dir", str(tmp_path / "stage2")]
    used += ["--s1-dir", f"{tiles}/s1", "--checkpoint", document["best_checkpoint"]]
    assert run(["evaluate", *used, "--timesteps", "1"]) == 0
