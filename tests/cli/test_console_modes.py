"""Quiet, verbose and JSON logs, over every command that works on many tiles."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import typer.main

from axion_stage3.cli.app import COMMANDS, build_app, run

if TYPE_CHECKING:
    from pathlib import Path

RUN = "infer --checkpoint checkpoints/stage3/best_model.pt --opt-v2-dir stage2_outputs"
RUN += " --s1-dir tiles/s1 --output-dir out --timesteps 1"
EVALUATE = "evaluate --truth-dir stage2_outputs --opt-v2-dir stage2_outputs --opt-final-dir out"

# Command to words of a detail, after `infer` has filled `out`.
COMMAND_LINES = {
    f"{RUN} --existing overwrite": "tile_002.npz",
    "validate --opt-v2-dir stage2_outputs --s1-dir tiles/s1 --workers 1 --fail-on never":
        "tile_002.npz: findings: ",
    "validate out --workers 1 --fail-on never": "tile_002.npz: findings: ",
    "export out --output-dir {mode} --to png --allow-unreferenced": "tile_002.npz: exported",
    "stats out --recompute --csv tiles.csv": "3 tiles written to tiles.csv",
    f"{EVALUATE}": "tile_002.npz (given): PSNR ",
    "visualize out --only figures --tile tile_002": "tile_002.npz: drawn to ",
    "merge out": "Read run-manifest.json: finished",
}  # fmt: skip


class Mode(NamedTuple):
    options: str
    has_notes: bool
    has_details: bool
    is_json: bool


MODES = {
    "normal": Mode("", True, False, False),
    "quiet": Mode("--quiet", False, False, False),
    "verbose": Mode("--verbose", True, True, False),
    "json": Mode("--log-format json", True, False, True),
    "quiet-json": Mode("-q --log-format json", False, False, True),
    "verbose-json": Mode("-v --log-format json", True, True, True),
}


def records_of(text: str) -> list[dict[str, Any]]:
    """The records of a JSON log, each held to what all have in common."""
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        assert datetime.fromisoformat(record["time"]).utcoffset() is not None
        assert record["level"] in ("debug", "info", "warning", "error")
        assert record["message"] == record["message"].strip() != ""
    return records


@pytest.mark.parametrize("command", COMMAND_LINES, ids=lambda line: line.split()[0])
@pytest.mark.usefixtures("workspace")
def test_every_mode_says_what_it_should_and_the_data_is_the_same(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if command.startswith("export"):
        pytest.importorskip("rasterio")
    if command.startswith("visualize"):
        pytest.importorskip("matplotlib")
    assert run([*RUN.split(), "-q"]) == 0
    capsys.readouterr()
    detail, data = COMMAND_LINES[command], {}
    for name, mode in MODES.items():
        assert run([*command.format(mode=name).split(), *mode.options.split()]) == 0
        streams = capsys.readouterr()
        data[name] = streams.out.replace(name, "normal")
        said = streams.err
        if mode.is_json:
            records = records_of(said)
            assert any(each["level"] == "info" for each in records) is mode.has_notes
            details = [each for each in records if each["level"] == "debug"]
            said = "\n".join(" ".join(map(str, each.values())) for each in details)
            assert bool(details) is mode.has_details
        elif not mode.has_notes:
            assert said == ""
        assert (detail in said) is mode.has_details, name
    assert set(data.values()) == {data["normal"]}


@pytest.mark.parametrize("options", ["", "-q", "-v"])
def test_a_failed_tile_is_a_warning_with_its_reason(
    options: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "stage2_outputs" / "tile_002.npz").write_bytes(b"not a zip")

    assert run([*RUN.split(), "--log-format", "json", *options.split()]) == 3

    streams = capsys.readouterr()
    warnings = [each for each in records_of(streams.err) if each["level"] == "warning"]
    (failed,) = [each for each in warnings if each.get("tile") == "tile_002.npz"]
    assert failed["message"] == "tile failed"
    assert failed["phase"] == "read"
    assert failed["code"].startswith("AX-E")
    assert "zip" in failed["reason"].lower()
    assert failed["hint"]
    assert streams.out == ""


def test_the_events_of_a_run_come_in_order_with_their_facts(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "tiles" / "s1" / "lonely.npz").write_bytes(b"")
    assert run([*RUN.split(), "--log-format", "json", "-v", "--json"]) == 0

    streams = capsys.readouterr()
    assert json.loads(streams.out)["exit_code"] == 0
    records = {record["message"]: record for record in records_of(streams.err)}
    own = [word for word, record in records.items() if "logger" not in record]
    assert own == [
        "run begun", "model loaded", "pairs found", "tiles planned", "tile written",
        "Inference Complete!",
    ]  # fmt: skip
    assert records["run begun"]["configuration"]["timesteps"] == 1
    assert records["model loaded"]["epoch"] == 28
    assert records["pairs found"]["n_pairs"] == 3
    assert records["pairs found"]["n_without_opt_v2"] == 1
    assert records["tiles planned"]["n_to_do"] == 3
    assert records["Inference Complete!"]["processed"] == 3
    assert records["timesteps = 1, from --timesteps"]["logger"] == "axion_stage3.config"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_scene_says_how_far_it_is(
    log_format: str,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.setattr("axion_stage3.rasters.raster_pairing.LARGEST_TILE_PX", 128)
    profile = {"driver": "GTiff", "width": 160, "height": 160, "dtype": "float32"}
    grid = rasterio.Affine(10, 0, 344400, 0, -10, 5294400)
    for folder, n_bands, value in (("optical", 4, 0.1), ("radar", 2, -12.0)):
        (workspace / folder).mkdir()
        with rasterio.open(
            workspace / folder / "scene.tif", "w", count=n_bands, crs="EPSG:32633",
            transform=grid, **profile,
        ) as dataset:  # fmt: skip
            dataset.write(np.full((n_bands, 160, 160), value, np.float32))
    command = RUN.replace("stage2_outputs", "optical").replace("tiles/s1", "radar").split()

    assert run([*command, "-v", "--log-format", log_format]) == 0

    said = capsys.readouterr().err
    if log_format == "json":
        words = [record["message"] for record in records_of(said)]
        assert "scene begun" in words
        assert "windows done" in words
    else:
        assert "Scene scene" in said
        assert "100% (" in said


@pytest.mark.usefixtures("workspace")
def test_an_error_is_one_record_with_code_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    command = RUN.replace("tiles/s1", "nowhere").split()

    assert run([*command, "-q", "--log-format", "json"]) == 4

    (record,) = records_of(capsys.readouterr().err)
    assert record["level"] == "error"
    assert "nowhere" in record["message"]
    assert record["code"].startswith("AX-E")
    assert record["hint"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("infer --nope", "No such option: --nope"),
        ("stats", "Missing argument 'OUTPUT_DIR'"),
        ("stats out --top many", "Invalid value for '--top'"),
        ("nonsense", "No such command 'nonsense'"),
    ],
)
@pytest.mark.parametrize("option", ["--log-format json", "--log-format=json"])
def test_what_is_wrong_with_the_command_line_is_a_record_too(
    command: str, words: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), *option.split()]) == 2

    streams = capsys.readouterr()
    (record,) = records_of(streams.err)
    assert (record["level"], record["code"]) == ("error", "AX-E200")
    assert record["message"].startswith(words)
    assert "--help" in record["hint"]
    assert streams.out == ""


def test_what_is_not_an_error_is_shown_with_a_json_log_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["stats", "--log-format", "json", "--help"]) == 0

    streams = capsys.readouterr()
    assert "Usage: axion-stage3 stats" in streams.out
    assert streams.err == ""


def test_quiet_and_verbose_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["merge", "out", "-q", "-v"]) == 2
    assert "--quiet and --verbose contradict" in capsys.readouterr().err


def test_a_verbose_merge_names_the_journals_and_what_of_them_is_unreadable(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*RUN.split(), "-q"]) == 0
    with (workspace / "out" / "runs" / "journal-000001-main.jsonl").open("ab") as journal:
        journal.write(b"torn")
    assert run(["merge", "out", "-v"]) == 0
    said = capsys.readouterr().err
    assert "Read journal-000001-main.jsonl: 6 lines, 1 of them unreadable; finished\n" in said
    assert run(["merge", "out", "-q"]) == 0
    assert "1 line of the journals cannot be read" in capsys.readouterr().err


def test_the_library_is_silent_again_after_a_verbose_command(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*RUN.split(), "-v"]) == 0
    capsys.readouterr()

    assert run(["stats", "out", "--csv", str(workspace / "a.csv")]) == 0
    assert "written" not in capsys.readouterr().err


def test_a_command_has_all_options_of_the_console_or_none() -> None:
    program: Any = typer.main.get_command(build_app())
    for name in COMMANDS:
        command = program
        for word in name.split():
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts}
        own = options & {"--quiet", "--verbose", "--log-format"}
        assert len(own) in (0, 3), name


def test_failures_of_an_earlier_session_are_records_too(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "stage2_outputs" / "tile_002.npz").write_bytes(b"not a zip")
    for command in (RUN, RUN, "merge out"):  # nothing is left to do for the second and the third
        code = run([*command.split(), "-q", "--log-format", "json"])
        (failed,) = records_of(capsys.readouterr().err)
        assert (code, failed["message"], failed["tile"]) == (3, "tile failed", "tile_002.npz")
        assert failed["phase"] == "read"
        assert "zip" in failed["reason"].lower()
        assert failed["hint"]
