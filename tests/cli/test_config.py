"""Which source of a configuration entry wins, over the whole table; what is refused, and how."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from axion_stage3.config import InferenceConfig, option_name, resolve_config
from axion_stage3.config_documents import configuration_text, describe_configuration
from axion_stage3.errors import UsageError

# Entry: value in the file, in the environment, on the command line; all differ from the default.
TABLE: dict[str, tuple[Any, str, Any]] = {
    "checkpoint": ("file.pt", "env.pt", Path("given.pt")),
    "opt_v2_dir": ("opt_file", "opt_env", Path("opt_given")),
    "s1_dir": ("s1_file", "s1_env", Path("s1_given")),
    "output_dir": ("out_file", "out_env", Path("out_given")),
    "tiles": ("file.txt", "env.txt", Path("-")),
    "shard": ("1/2", "2/3", "3/4"),
    "engine": ("ray", "local", "ray"),
    "workers": (2, "3", "auto"),
    "address": ("a:1", "b:2", "auto"),
    "batch_size": (2, "3", "auto"),
    "timesteps": (2, "3", 4),
    "device": ("cuda", "cuda:1", "cpu"),
    "precision": ("bf16", "fp16", "fp32"),
    "compile": (True, "1", True),
    "georeference": ("a.csv", "b.csv", "c.csv"),
    "indices": ("NDVI", "EVI2", "NDWI,SAVI"),
    "opt_offset": (1.0, "-1000", -2.5),
    "sampler": ("euler", "heun", "ancestral"),
    "seed": (2, "3", 4),
    "samples": (2, "3", 4),
    "save_intermediate": (True, "true", True),
    "statistics": (False, "false", False),
    "opt_scale": (10.0, "100", 10000.0),
    "s1_units": ("linear", "linear", "linear"),
    "fill_invalid": (True, "1", True),
    "resample_s1": (True, "yes", True),
    "existing": ("skip", "overwrite", "fail"),
    "max_failures": (5, "7", "5%"),
    "retry_failed": (True, "on", True),
    "io_threads": (3, "4", 5),
}
FOLDERS = {"opt_v2_dir": "a", "s1_dir": "b", "output_dir": "c"}


def resolve(given: dict[str, object], **sources: Any) -> InferenceConfig:
    return resolve_config(InferenceConfig, given, **sources).config


def written(given: dict[str, object]) -> str:
    """The configuration as ``config show`` writes it."""
    return configuration_text(describe_configuration(given), with_sources=False)


def parsed(entry: str, value: object) -> object:
    """The value as a configuration holds it."""
    return getattr(InferenceConfig(**{**FOLDERS, entry: value}), entry)


def test_the_table_has_every_entry() -> None:
    assert set(TABLE) == set(InferenceConfig.model_fields)


@pytest.mark.parametrize("entry", TABLE)
def test_given_beats_environment_beats_file_beats_default(entry: str, tmp_path: Path) -> None:
    in_file, in_environment, given = TABLE[entry]
    file = tmp_path / "run.toml"
    file.write_text(f"{entry} = {json.dumps(in_file)}\n")
    environ = {f"AXION_STAGE3_{entry.upper()}": in_environment}
    others = {name: folder for name, folder in FOLDERS.items() if name != entry}

    from_file = resolve_config(InferenceConfig, {**others, entry: None}, config_file=file)
    from_environment = resolve_config(
        InferenceConfig, {**others, entry: None}, config_file=file, environ=environ
    )
    from_options = resolve_config(
        InferenceConfig, {**others, entry: given}, config_file=file, environ=environ
    )

    assert getattr(from_file.config, entry) == parsed(entry, in_file)
    assert getattr(from_environment.config, entry) == parsed(entry, in_environment)
    assert getattr(from_options.config, entry) == parsed(entry, given)
    assert from_file.sources[entry] == str(file)
    assert from_environment.sources[entry] == f"AXION_STAGE3_{entry.upper()}"
    assert from_options.sources[entry] == option_name(entry)
    if entry not in FOLDERS:
        resolved = resolve_config(InferenceConfig, others | {entry: None})
        assert getattr(resolved.config, entry) == InferenceConfig.model_fields[entry].default
        assert resolved.sources[entry] == "default"


@pytest.mark.parametrize(
    "entry", ["save_intermediate", "statistics", "fill_invalid", "resample_s1"]
)
def test_a_flag_can_be_turned_back_on_the_command_line(entry: str, tmp_path: Path) -> None:
    default = InferenceConfig.model_fields[entry].default
    file = tmp_path / "run.toml"
    file.write_text(f"{entry} = {json.dumps(not default)}\n")

    config = resolve({**FOLDERS, entry: default}, config_file=file)

    assert getattr(config, entry) is default


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_the_effective_configuration_is_a_configuration_file(kind: str, tmp_path: Path) -> None:
    given = {entry: values[2] for entry, values in TABLE.items()}
    given["output_dir"] = tmp_path / 'a "quoted" ünïcode\\name'
    config = resolve(given)
    text = written(given) if kind == "toml" else config.model_dump_json()
    file = tmp_path / f"effective.{kind}"
    file.write_text(text, encoding="utf-8")

    assert resolve({}, config_file=file) == config
    if kind == "toml":
        assert set(tomllib.loads(text)) == set(TABLE)


def test_other_variables_of_the_environment_are_left_alone() -> None:
    environ = {"AXION_STAGE3_DEBUG": "1", "AXION_STAGE3_FUTURE": "x", "SEED": "7"}
    assert resolve(dict(FOLDERS), environ=environ).seed == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timesteps": 0}, ["--timesteps is 0", "greater than or equal to 1"]),
        ({"batch_size": "0"}, ["--batch-size is '0'", "'auto'"]),
        ({"batch_size": "many"}, ["--batch-size is 'many'"]),
        ({"device": "tpu"}, ["--device is 'tpu'", "cuda:N"]),
        ({"sampler": "3m"}, ["--sampler is '3m'", "'ancestral'"]),
        ({"opt_scale": 0.0}, ["--opt-scale is 0.0"]),
        ({"opt_scale": float("nan")}, ["--opt-scale is nan"]),
        ({"seed": -1}, ["--seed is -1"]),
        ({"samples": 0}, ["--samples is 0"]),
        ({"samples": 3, "timesteps": 1}, ["3 samples at timesteps 1", "2 or more"]),
        ({"nonsense": 3}, ["unknown entry 'nonsense' in the arguments"]),
        ({"max_failures": "150%"}, ["--max-failures is '150%'", "5%"]),
        ({"shard": "4/3"}, ["--shard is '4/3'", "such as 3/16"]),
        ({"workers": "0"}, ["--workers is '0'", "'auto'"]),
        ({"engine": "dask"}, ["--engine is 'dask'", "'local', 'processes' or 'ray'"]),
        ({"max_failures": "1.5"}, ["--max-failures is '1.5'"]),
        ({"opt_v2_dir": ""}, ["--opt-v2-dir is ''", "empty"]),
        ({"s1_dir": "a\0b"}, ["--s1-dir", "characters"]),
        ({"s1_dir": None}, ["--s1-dir is missing"]),
        ({"output_dir": "a"}, ["output_dir a and opt_v2_dir a overlap"]),
        ({"output_dir": "b/out"}, ["output_dir b/out and s1_dir b overlap"]),
        ({"opt_v2_dir": "c/stage2"}, ["output_dir c and opt_v2_dir c/stage2 overlap"]),
        ({"timesteps": 0, "seed": -1}, ["--timesteps is 0", "--seed is -1"]),
    ],
)
def test_what_cannot_work_is_refused_by_name(given: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        resolve({**FOLDERS, **given})

    assert all(word in caught.value.message for word in words), caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_a_source_is_named_with_its_fault(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('timesteps = "few"\nbatchsize = 4\nzzz = 1\nno_stats = true\n')

    with pytest.raises(UsageError) as caught:
        resolve(dict(FOLDERS), config_file=file, environ={"AXION_STAGE3_SEED": "x"})

    message = caught.value.message
    assert f"timesteps in {file} is 'few'" in message
    assert "did you mean batch_size?" in message
    assert "unknown entry 'zzz'" in message
    assert "did you mean statistics?" in message
    assert "AXION_STAGE3_SEED is 'x'" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.toml", None),
        ("broken.toml", b"timesteps = = 3"),
        ("binary.toml", b"\xff\xfe\x00"),
        ("list.json", b"[1, 2]"),
        ("broken.json", b"{"),
        ("deep.json", b"[" * 100_000),
    ],
)
def test_an_unreadable_file_is_one_message(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UsageError, match="configuration file") as caught:
        resolve(dict(FOLDERS), config_file=file)

    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("max_failures", "n_tiles", "limit"),
    [
        (None, 100, None),
        ("0", 100, 0),
        ("7", 3, 7),
        ("5%", 100, 5),
        ("5%", 19, 0),
        ("0.5%", 400, 2),
    ],
)
def test_failure_limit(max_failures: str | None, n_tiles: int, limit: int | None) -> None:
    assert resolve({**FOLDERS, "max_failures": max_failures}).failure_limit(n_tiles) == limit


@pytest.mark.parametrize(
    "entry", ["timesteps = true", 'save_intermediate = "yes"', "statistics = 0", "seed = false"]
)
def test_a_switch_in_a_file_is_true_or_false_and_nothing_else_is(
    entry: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f"{entry}\n")
    name = entry.partition(" ")[0]
    with pytest.raises(UsageError, match=f"The entry {name} in .* is ") as caught:
        resolve(dict(FOLDERS), config_file=file)
    assert "config show" in caught.value.hint
