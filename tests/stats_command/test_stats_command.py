"""``axion-stage3 stats`` from the outside."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from axion_stage3.cli.app import run
from axion_stage3.testing.run_factories import make_run
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import load_output

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "stats.schema.json"
HOSTILE = "földer/" + "long_" * 30 + "<b>&'\"\x1b[31m\u202eevil.npz"


@pytest.fixture
def stats(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command, which must succeed, and return what it wrote to standard output."""

    def call(*arguments: object) -> str:
        assert run(["stats", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def other_run(stats_run: Path, tmp_path: Path) -> Path:
    other = Path(shutil.copytree(stats_run, tmp_path / "other"))
    path = other / "alone.npz"
    write_npz(path, {"opt_final": load_output(path) + np.float32(0.125)})
    return other


def test_the_tables_say_what_the_run_said(stats: Callable[..., str], stats_run: Path) -> None:
    text = stats(stats_run, "--top", "3")
    summary = json.loads((stats_run / "inference_summary.json").read_text())
    assert "11 tiles in" in text
    assert f"{summary['aggregate_stats']['change_mean']:.4f}" in text
    assert "yes, exactly" in text
    assert "tile_statistics.json" in text
    for word in ("blue", "nir", "change_mean", "north", "south", "Most changed", "Least changed"):
        assert word in text


@pytest.mark.parametrize("more", [(), ("--recompute",), ("--top", "0")])
def test_lines_fit_80_columns_without_colour_codes(
    stats: Callable[..., str], stats_run: Path, other_run: Path, more: tuple[str, ...]
) -> None:
    text = stats(stats_run, "--against", other_run, *more)
    # Folders are shown whole, however long their paths are.
    lines = [line for line in text.splitlines() if "/test_" not in line and " in " not in line]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text


def test_the_document_keeps_its_schema(
    stats: Callable[..., str], stats_run: Path, other_run: Path
) -> None:
    schema = json.loads(SCHEMA.read_text())
    alone = json.loads(stats(stats_run, "--json"))
    jsonschema.validate(alone, schema)
    assert alone["comparison"] is None
    document = json.loads(stats(stats_run, "--against", other_run, "--json"))
    jsonschema.validate(document, schema)
    assert document["n_tiles"] == 11
    assert [tile["tile_name"] for tile in document["comparison"]["differences"]] == ["alone.npz"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**alone, "surprise": 1}, schema)


def test_a_comparison_names_the_tiles_that_differ(
    stats: Callable[..., str], stats_run: Path, other_run: Path
) -> None:
    text = stats(stats_run, "--against", other_run)
    compared = text[text.index("Compared with") :]
    assert "alone.npz" in compared
    assert "0.1250" in compared
    assert f"{'Equal':<30}{10:>10}" in compared


def test_csv_holds_every_digit(stats: Callable[..., str], stats_run: Path, tmp_path: Path) -> None:
    stats(stats_run, "--csv", tmp_path / "tiles.csv")
    with (tmp_path / "tiles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    recorded = json.loads((stats_run / "tile_statistics.json").read_text())
    assert [
        {key: value if key == "tile_name" else float(value) for key, value in row.items()}
        for row in rows
    ] == recorded


def test_parquet_holds_the_same(stats: Callable[..., str], stats_run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    stats(stats_run, "--parquet", tmp_path / "tiles.parquet")
    recorded = json.loads((stats_run / "tile_statistics.json").read_text())
    assert parquet.read_table(tmp_path / "tiles.parquet").to_pylist() == recorded


def test_plots_are_two_pictures(stats: Callable[..., str], stats_run: Path, tmp_path: Path) -> None:
    stats(stats_run, "--plots", tmp_path / "new" / "plots")
    pictures = sorted((tmp_path / "new" / "plots").iterdir())
    assert [path.name for path in pictures] == ["histograms.png", "scatter.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


@pytest.mark.parametrize(
    ("option", "module", "pip_line"),
    [
        ("--parquet", "pyarrow", "pip install 'axion-stage3[parquet]'"),
        ("--plots", "matplotlib", "pip install 'axion-stage3[plots]'"),
    ],
)
def test_a_missing_extra_is_named_with_its_pip_line(
    stats_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    module: str,
    pip_line: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert run(["stats", str(stats_run), option, str(tmp_path / "it")]) == 8
    error = capsys.readouterr().err
    assert pip_line in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("missing",), 4, "does not exist"),
        ((".",), 4, "no statistics"),
        ((".", "--recompute"), 4, "no output tile"),
        (("RUN", "--against", "missing"), 4, "does not exist"),
        (("RUN", "--against", "."), 4, "no tile in common"),
        (("RUN", "--recompute", "--opt-v2-dir", "missing"), 4, "does not exist"),
        (("RUN", "--opt-v2-dir", "."), 2, "--recompute"),
        (("RUN", "--csv", "missing/tiles.csv"), 6, "no folder missing for the file tiles.csv"),
        (("RUN", "--csv", "a", "--parquet", "./a"), 2, "Two tables are to be written to a"),
        ((), 2, "OUTPUT_DIR"),
        (("RUN", "--top", "-1"), 2, "--top"),
    ],
)
def test_wrong_input_is_one_message_with_the_documented_code(
    stats_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    exit_code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(stats_run) if word == "RUN" else word for word in arguments]
    assert run(["stats", *given]) == exit_code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize("option", ["--csv", "--parquet"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pipe", "not a regular file"),
        ("link-to-pipe", "not a regular file"),
        ("folder", "not a regular file"),
        ("tile.npz", "is a tile"),
        ("summary.json", "is a JSON document"),
        ("journal.jsonl", "is a log"),
    ],
)
def test_what_is_no_table_is_not_replaced(
    stats_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    words: str,
    option: str,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link-to-pipe").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for own in ("tile.npz", "summary.json", "journal.jsonl"):
        (tmp_path / own).write_bytes(b"a record")

    assert run(["stats", str(stats_run), option, str(tmp_path / name)]) == 6

    error = capsys.readouterr().err
    assert words in error
    assert "Give another path." in error
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "tile.npz").read_bytes() == b"a record"


@pytest.mark.parametrize("option", ["--csv", "--parquet"])
def test_a_link_to_a_table_is_followed(stats_run: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk/table")

    assert run(["stats", str(stats_run), option, str(tmp_path / "link"), "--quiet"]) == 0

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "table").stat().st_size > 0


def test_a_tile_that_cannot_be_recomputed_ends_with_3(
    stats: Callable[..., str],
    stats_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = Path(shutil.copytree(stats_run.parent, tmp_path / "own")) / stats_run.name
    assert "yes, all that is recomputed" in stats(own, "--recompute")
    (own / "alone.npz").write_bytes(b"not an NPZ")
    stats(own)
    for more in ((), ("--json",)):
        assert run(["stats", str(own), "--recompute", *more]) == 3
        assert "alone.npz" in capsys.readouterr().out


def test_hostile_names_do_no_harm(
    stats: Callable[..., str], stats_run: Path, tmp_path: Path
) -> None:
    """Names that ``infer`` refuses can still stand in a document that somebody wrote."""
    own = Path(shutil.copytree(stats_run, tmp_path / "own"))
    document: list[dict[str, Any]] = json.loads((own / "tile_statistics.json").read_text())
    document.append({**document[0], "tile_name": HOSTILE, "change_mean": 9.0})
    (own / "tile_statistics.json").write_text(json.dumps(document))
    text = stats(own)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines()[1:])) <= 80
    assert json.loads(stats(own, "--json"))["most_changed"][0]["tile_name"] == HOSTILE


def test_a_run_of_one_tile(stats: Callable[..., str], tmp_path: Path) -> None:
    text = stats(make_run(tmp_path, ["only.npz"]))
    assert "1 tile in" in text
    assert "Outliers" not in text


def test_torch_is_not_needed(stats_run: Path) -> None:
    program = (
        "import sys; from axion_stage3.cli.app import run; "
        f"code = run(['stats', {str(stats_run)!r}]); assert code == 0; "
        "assert not {'torch', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
