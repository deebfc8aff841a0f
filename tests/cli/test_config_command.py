"""``axion-stage3 config``: what holds and why; every configuration it writes can be fed back."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cli_workbench import check_document
from test_config import FOLDERS, TABLE, parsed

from axion_stage3.cli.app import run
from axion_stage3.config import InferenceConfig, option_name

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_OPTIONS = [word for name, value in FOLDERS.items() for word in (option_name(name), value)]


def option_words(entry: str, value: object) -> list[str]:
    """An entry as it is given on the command line."""
    if isinstance(value, bool):
        return [option_name(entry) if value else option_name(entry).replace("--", "--no-")]
    return [option_name(entry), str(value)]


@pytest.fixture
def entries(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``config show --json`` and return its entries by name."""

    def call(*words: str) -> dict[str, dict[str, Any]]:
        assert run(["config", "show", "--json", *words]) == 0
        document = check_document(capsys.readouterr().out, "config-show")
        return {entry["name"]: entry for entry in document["entries"]}

    return call


def test_each_option_beats_the_environment_and_each_variable_the_file(
    entries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.toml"
    file.write_text("".join(f"{entry} = {json.dumps(row[0])}\n" for entry, row in TABLE.items()))
    of_the_file = ("--config", str(file))

    from_defaults = entries()
    from_file = entries(*of_the_file)
    for entry, row in TABLE.items():
        monkeypatch.setenv(f"AXION_STAGE3_{entry.upper()}", row[1])
    from_environment = entries(*of_the_file)
    options = [word for entry, row in TABLE.items() for word in option_words(entry, row[2])]
    from_options = entries(*of_the_file, *options)

    defaults = InferenceConfig(**FOLDERS)  # type: ignore[arg-type]
    for entry, (in_file, in_environment, given) in TABLE.items():
        assert from_defaults[entry]["source"] == "default"
        assert from_defaults[entry]["is_missing"] is (entry in FOLDERS)
        if entry not in FOLDERS:
            assert from_defaults[entry]["value"] == getattr(defaults, entry)
        for shown, value, source in (
            (from_file, in_file, str(file)),
            (from_environment, in_environment, f"AXION_STAGE3_{entry.upper()}"),
            (from_options, given, option_name(entry)),
        ):
            wanted = parsed_value(entry, value)
            assert (shown[entry]["value"], shown[entry]["source"]) == (wanted, source)


def parsed_value(entry: str, value: object) -> object:
    """The value of an entry as JSON holds it."""
    held = parsed(entry, value)
    return held if isinstance(held, str | int | float | bool) else str(held)


@pytest.mark.parametrize("style", [[], ["--sources"]])
def test_what_it_shows_is_a_configuration_file(
    style: list[str], entries: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--batch-size", "4", "--no-stats", *FOLDER_OPTIONS]
    assert run(["config", "show", *options, *style]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "again.toml"
    file.write_text(text)

    assert tomllib.loads(text)["batch_size"] == 4
    again = entries("--config", str(file))
    assert {name: entry["value"] for name, entry in again.items()} == {
        name: entry["value"] for name, entry in entries(*options).items()
    }
    assert ("# --batch-size\n" in text) is bool(style)
    assert ("# Tiles per batch" in text) is not bool(style)


def test_a_folder_that_is_not_given_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--sources"]) == 0

    text = capsys.readouterr().out
    assert "# opt_v2_dir =  # required, not given" in text
    assert set(FOLDERS).isdisjoint(tomllib.loads(text))


def test_what_cannot_work_is_refused_as_by_infer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--timesteps", "0"]) == 2
    assert "--timesteps is 0" in capsys.readouterr().err


def test_a_first_file_is_written_once(
    entries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["config", "init"]) == 0
    text = (tmp_path / "axion-stage3.toml").read_text()

    assert all(f"{name} =" in text for name in InferenceConfig.model_fields)
    assert set(tomllib.loads(text)) == set(FOLDERS)
    shown = entries("--config", "axion-stage3.toml")
    assert shown["opt_v2_dir"]["value"] == "stage2_outputs"
    assert tomllib.loads(text.replace("# batch_size =", "batch_size ="))["batch_size"] == 1
    assert run(["config", "init"]) == 6
    assert (tmp_path / "axion-stage3.toml").read_text() == text


def test_the_schema_takes_what_the_configuration_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({**FOLDERS, "batch_size": "auto"}, schema)
    for refused in ({**FOLDERS, "batchsize": 4}, {**FOLDERS, "timesteps": 0}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(refused, schema)


def test_the_configuration_of_a_run_can_be_fed_back(
    entries: Any, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--opt-v2-dir", "stage2_outputs", "--s1-dir", "tiles/s1", "--output-dir", "out"]
    checkpoint = ["--checkpoint", "checkpoints/stage3/best_model.pt"]
    options = ["--timesteps", "1", "--seed", "7", "--save-intermediate", "--json", "--quiet"]
    assert run(["infer", *folders, *checkpoint, *options]) == 0
    document = check_document(capsys.readouterr().out, "infer")
    (workspace / "result.json").write_text(json.dumps(document))

    for record in ("out/runs/run-manifest.json", "result.json"):
        shown = entries("--config", record)
        assert shown["seed"] == {"name": "seed", "value": 7, "source": record, "is_missing": False}
        assert run(["infer", "--config", record, "--output-dir", "again", "--quiet"]) == 0
        first, again = (workspace / folder / "tile_001.npz" for folder in ("out", "again"))
        assert first.read_bytes() == again.read_bytes()
