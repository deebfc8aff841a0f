"""``axion-stage3 validate``: formats, filters, exit codes, saving and loading."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from inspection_bench import NAME, Bench

from axion_stage3.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Validate = Callable[..., tuple[int, str]]


@pytest.fixture
def validate(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Validate:
    """Runs the command on the folders of the bench."""

    def call(*arguments: object, is_on_folders: bool = True) -> tuple[int, str]:
        folders = ("--opt-v2-dir", bench.opt_v2_dir, "--s1-dir", bench.s1_dir)
        given = [*(folders if is_on_folders else ()), *arguments]
        code = run(["validate", *map(str, given)])
        return code, capsys.readouterr().out

    return call


@pytest.fixture
def damaged(bench: Bench) -> Bench:
    """One tile with NaN, one with a foreign key and clipped radar, one clean."""
    opt_v2 = bench.opt_v2.copy()
    opt_v2[0, 10:20, 10:20] = np.nan
    bench.write(opt_v2)
    clipped = np.minimum(bench.s1, np.percentile(bench.s1, 90))
    bench.write(s1={"s1": clipped, "note": np.zeros(3)}, name="tile_002.npz")
    bench.write(name="tile_003.npz")
    return bench


def test_text_is_grouped_by_finding(damaged: Bench, validate: Validate) -> None:
    code, text = validate()

    assert code == 3
    assert "3 tiles checked, 1 tile without findings." in text
    rows = [line.split()[:3] for line in text.splitlines() if line.startswith("AX-T")][:3]
    assert rows == [
        ["AX-T020", "error", "1"],
        ["AX-T024", "warning", "1"],
        ["AX-T011", "info", "1"],
    ]
    assert "tile_001.npz: opt_v2: 100 values (0.3%) are unusable: 100 NaN; in one" in text
    assert "-> Give --fill-invalid" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--ignore", "AX-T020"], 0),
        (["--ignore", "T020", "--fail-on", "warning"], 3),
        (["--ignore", "20", "--ignore", "24", "--fail-on", "warning"], 0),
        (["--ignore", "20", "--ignore", "24", "--fail-on", "info"], 3),
        (["--fail-on", "never"], 0),
        (["--fill-invalid"], 0),
        (["--fill-invalid", "--fail-on", "warning"], 3),
        (["--ignore", "20", "--min-severity", "error", "--fail-on", "info"], 0),
    ],
)
def test_exit_code_follows_the_threshold(
    arguments: list[str], expected: int, damaged: Bench, validate: Validate
) -> None:
    assert validate(*arguments)[0] == expected


def test_json_lists_tiles_and_summary(damaged: Bench, validate: Validate) -> None:
    _, text = validate("--format", "json")

    assert validate("--json")[1] == text
    document = json.loads(text)
    assert [each["tile"] for each in document["tiles"]] == [NAME, "tile_002.npz"]
    assert document["tiles"][0]["findings"][0]["figures"]["n_nan"] == 100
    assert document["summary"]["n_checked"] == document["n_tiles"] == 3
    assert document["summary"]["n_tiles_by_worst"] == {"error": 1, "warning": 1}


def test_json_of_clean_tiles(bench: Bench, validate: Validate) -> None:
    bench.write()

    code, text = validate("--format", "json")

    assert code == 0
    assert json.loads(text)["tiles"] == []


def test_json_lines(damaged: Bench, validate: Validate) -> None:
    _, text = validate("--format", "jsonl")

    first, *tiles, last = map(json.loads, text.splitlines())
    assert first["command"] == "validate"
    assert [each["tile"] for each in tiles] == [NAME, "tile_002.npz", "tile_003.npz"]
    assert last["summary"]["n_without_findings"] == 1


def test_csv_has_a_row_per_finding(damaged: Bench, validate: Validate) -> None:
    _, text = validate("--format", "csv")

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["AX-T020", "AX-T024", "AX-T011"]
    assert rows[0]["bands"] == "blue"
    assert rows[0]["path"].endswith(f"opt_v2/{NAME}")


def test_github_annotates_files(damaged: Bench, validate: Validate) -> None:
    _, text = validate("--format", "github", "--min-severity", "warning")

    error, warning = text.splitlines()
    assert error.startswith(f"::error file={damaged.opt_v2_dir}/{NAME},title=AX-T020 ")
    assert warning.startswith(f"::warning file={damaged.s1_dir}/tile_002.npz,title=AX-T024")
    assert "0.3%25" in error


def test_saved_results_are_reported_again(
    damaged: Bench, validate: Validate, tmp_path: Path
) -> None:
    saved = tmp_path / "results.jsonl"
    _, text = validate("--save", saved, "--min-severity", "error")
    assert "AX-T024" not in text

    code, again = validate("--load", saved, is_on_folders=False)

    _, directly = validate()
    assert code == 3
    assert again == directly  # what was filtered from the report is in the file all the same


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello\n",
        '{"command":"validate"}\n',
        '{"schema_version":99,"command":"validate"}\n',
        "[1]\n",
        "{header}\n",
        '{header}\n{"tile":"x","findings":[{}],"is_checked":true}\n',
        '{header}\n{"tile":"x"}\n',
    ],
)
def test_damaged_results_are_refused(
    content: str, bench: Bench, validate: Validate, tmp_path: Path
) -> None:
    bench.write()
    saved = tmp_path / "results.jsonl"
    _, lines = validate("--format", "jsonl")
    saved.write_text(content.replace("{header}", lines.splitlines()[0]))

    assert validate("--load", saved, is_on_folders=False)[0] == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--ignore", "AX-T999"], 2),
        (["--ignore", "what"], 2),
        (["--load", "results.jsonl"], 2),
        (["--format", "csv", "--json"], 2),
        (["--checkpoint", "nowhere.safetensors"], 5),
        (["--opt-scale", "0"], 2),
        (["--save", "nowhere/results.jsonl"], 6),
    ],
)
def test_wrong_options(arguments: list[str], code: int, bench: Bench, validate: Validate) -> None:
    bench.write()

    assert validate(*arguments)[0] == code


def test_nothing_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate"]) == 2
    assert "--opt-v2-dir" in capsys.readouterr().err


def test_outputs_of_a_run(bench: Bench, validate: Validate) -> None:
    bench.run(bench.opt_v2)

    code, text = validate(bench.output_dir, "--fail-on", "warning", is_on_folders=False)

    assert code == 3
    assert "AX-T060 warning: opt_final is identical to opt_v2" in text


def test_hostile_names_do_not_reach_the_terminal(bench: Bench, validate: Validate) -> None:
    bench.write({"opt\x1b[31m": bench.opt_v2})

    for name in ("text", "json", "jsonl", "csv", "github"):
        assert "\x1b" not in validate("--format", name)[1]
