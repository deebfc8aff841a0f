"""``axion-stage3 visualize`` from the outside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from axion_stage3.cli.app import run
from axion_stage3.exporting.schemas import SCHEMAS, schema_files
from axion_stage3.exporting.visualization import visualize_run

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def visualize(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run the command into a folder of its own; returns exit code and document."""

    def call(output_dir: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
        given = [str(output_dir), "--into", str(tmp_path / "visuals"), "--quiet", "--json"]
        code = run(["visualize", *given, *map(str, arguments)])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, json.loads((SCHEMAS / "visualize.schema.json").read_text()))
        return code, document

    return call


@pytest.fixture
def own_run(pictured_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictured_run.parent, tmp_path / "own")) / pictured_run.name


@pytest.fixture
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of which figures there are, not of what they show: they are empty files."""
    monkeypatch.setattr("axion_stage3.exporting.tile_figures.tile_figure", lambda *_, **__: b"")


def test_everything_is_made_and_named(
    visualize: Callable[..., tuple[int, dict[str, Any]]], pictured_run: Path, tmp_path: Path
) -> None:
    before = sorted(pictured_run.parent.rglob("*"))
    code, document = visualize(
        pictured_run, "--truth-dir", pictured_run.parent / "truth", "--limit", 2
    )
    assert code == 0
    assert document["n_tiles"] == 8
    assert document["n_chosen"] == len(document["figures"]) == 2
    assert len(document["contact_sheets"]) == 1
    made = {str(path) for path in (tmp_path / "visuals").rglob("*") if path.is_file()}
    assert made == {document["report"], *document["figures"], *document["contact_sheets"]}
    assert sorted(pictured_run.parent.rglob("*")) == before


@pytest.mark.usefixtures("_no_drawing")
def test_the_most_changed_tiles_are_chosen(
    visualize: Callable[..., tuple[int, dict[str, Any]]], pictured_run: Path, tmp_path: Path
) -> None:
    _, document = visualize(pictured_run, "--only", "figures", "--limit", 2)
    recorded = json.loads((pictured_run / "tile_statistics.json").read_text())
    by_change = sorted(recorded, key=lambda tile: -tile["change_mean"])
    expected = sorted(tile["tile_name"] for tile in by_change[:2])
    figures = [
        Path(path).relative_to(tmp_path / "visuals" / "figures") for path in document["figures"]
    ]
    assert [path.with_suffix(".npz").as_posix() for path in figures] == expected


@pytest.mark.usefixtures("_no_drawing")
@pytest.mark.parametrize("name", ["south/tile_10.npz", "south/tile_10"])
def test_a_named_tile_gets_its_figure_alone(
    visualize: Callable[..., tuple[int, dict[str, Any]]], pictured_run: Path, name: str
) -> None:
    code, document = visualize(pictured_run, "--tile", name)
    assert code == 0
    assert document["report"] is None
    assert document["contact_sheets"] == []
    assert [Path(path).name for path in document["figures"]] == ["tile_10.png"]


def test_figures_show_the_indices_that_are_asked_for(
    visualize: Callable[..., tuple[int, dict[str, Any]]],
    pictured_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[list[str]] = []

    def noted(rows: Any, **_: Any) -> bytes:
        drawn.append([panel.title for row in rows for panel in row])
        return b""

    monkeypatch.setattr("axion_stage3.exporting.tile_figures.tile_figure", noted)
    assert visualize(pictured_run, "--only", "figures", "--limit", 1)[0] == 0
    arguments = ("--only", "figures", "--limit", 1, "--indices", "evi2,NDWI")
    assert visualize(pictured_run, *arguments)[0] == 0

    assert "NDVI of opt_final" in drawn[0]
    assert "NDVI of opt_final" not in drawn[1]
    assert {"EVI2 of opt_final", "NDWI of opt_final"} <= set(drawn[1])


def test_the_report_alone_needs_no_extra(
    visualize: Callable[..., tuple[int, dict[str, Any]]],
    pictured_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, document = visualize(pictured_run, "--only", "report")
    assert code == 0
    assert "AX-T" in Path(document["report"]).read_text(encoding="utf-8")
    assert "AX-T" not in Path(
        visualize(pictured_run, "--only", "report", "--no-findings")[1]["report"]
    ).read_text(encoding="utf-8")


def test_without_the_extra_nothing_is_begun(
    pictured_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["visualize", str(pictured_run), "--into", str(tmp_path / "visuals")]) == 8
    assert "pip install 'axion-stage3[plots]'" in capsys.readouterr().err
    assert not (tmp_path / "visuals").exists()


def test_a_damaged_tile_costs_its_picture_and_no_more(
    visualize: Callable[..., tuple[int, dict[str, Any]]], own_run: Path
) -> None:
    (own_run / "north/tile_00.npz").write_bytes(b"damaged")
    chosen = ("--tile", "north/tile_00.npz", "--tile", "north/tile_01.npz")
    code, document = visualize(own_run, "--only", "figures", "--only", "sheets", *chosen)
    assert code == 3
    assert [tile["tile_name"] for tile in document["undrawn"]] == ["north/tile_00.npz"]
    assert "north/tile_00.npz" in document["undrawn"][0]["reason"]
    assert len(document["figures"]) == 1
    assert len(document["contact_sheets"]) == 1


@pytest.mark.usefixtures("_no_drawing")
def test_the_console_names_what_could_not_be_drawn(
    own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_run / "north/tile_00.npz").write_bytes(b"damaged")
    options = ["--into", str(tmp_path / "pictures"), "--only", "figures", "--limit", "0"]

    assert run(["visualize", str(own_run), *options, "-q"]) == 3

    figures, not_drawn = capsys.readouterr().out.splitlines()
    assert figures.endswith(f"figures: {tmp_path}/pictures/figures/")
    assert not_drawn.startswith("Not drawn: north/tile_00.npz: ")

    assert run(["visualize", str(own_run), *options[:-1], "7", "-q"]) == 3

    assert "6 of 8 tiles were drawn" in capsys.readouterr().out


def test_the_report_counts_what_could_not_be_compared(
    visualize: Callable[..., tuple[int, dict[str, Any]]], own_run: Path
) -> None:
    truth = own_run.parent / "truth"
    options = ("--only", "report", "--no-findings", "--truth-dir", truth)
    for n_missing, name in enumerate(["north/tile_00.npz", "north/tile_01.npz"], start=1):
        (truth / name).unlink()
        _, document = visualize(own_run, *options)
        html = Path(document["report"]).read_text(encoding="utf-8")
        assert f"<dt>not compared with the truth</dt><dd>{n_missing}</dd>" in html


def test_a_truth_folder_of_other_tiles_is_refused(
    own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, into = own_run.parent / "truth", tmp_path / "pictures"
    options = ["--into", str(into), "--truth-dir", str(truth)]
    (truth / "south/tile_10.npz").unlink()
    assert run(["visualize", str(own_run), *options, "--tile", "south/tile_10"]) == 4
    assert "south/tile_10.npz has no truth of the same name" in capsys.readouterr().err

    for path in truth.rglob("*.npz"):
        path.rename(path.with_stem(f"{path.stem}_truth"))
    assert run(["visualize", str(own_run), *options]) == 4
    assert "None of the 8 tiles has a truth of the same name" in capsys.readouterr().err
    assert not into.exists()


@pytest.mark.usefixtures("_no_drawing")
def test_the_console_says_where_everything_is(
    pictured_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "visuals"
    assert run(["visualize", str(pictured_run), "--into", str(into), "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == f"Report: {into / 'report.html'}"
    assert "1 figure: " in captured.out
    assert "1 contact sheet: " in captured.out
    assert "1 of 8 tiles were drawn" in captured.out
    assert "\x1b" not in captured.out + captured.err
    assert "Drawing figures: 1/1" in captured.err
    assert (
        run(["visualize", str(pictured_run), "--into", str(into), "--tile", "south/tile_10"]) == 0
    )
    assert "--limit" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("missing",), 4, "does not exist"),
        ((".",), 4, "no output tile"),
        (("RUN", "--truth-dir", "missing"), 4, "does not exist"),
        (("RUN", "--s1-dir", "missing"), 4, "does not exist"),
        (("RUN", "--tile", "south/tile_1O.npz"), 4, "south/tile_10.npz"),
        (("RUN", "--only", "movie"), 2, "report, figures, sheets"),
        (("RUN", "--into", "file/below"), 6, "cannot be made"),
        ((), 2, "OUTPUT_DIR"),
    ],
)
def test_wrong_input_is_one_message_with_the_documented_code(
    pictured_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    exit_code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    given = [str(pictured_run) if word == "RUN" else word for word in arguments]
    assert run(["visualize", *given]) == exit_code
    error = capsys.readouterr().err
    assert words in " ".join(error.split())
    assert "Traceback" not in error


@pytest.mark.parametrize("inputs", ["opt_v2", "s1", "truth"])
def test_a_folder_of_inputs_is_refused_and_left_alone(
    own_run: Path, capsys: pytest.CaptureFixture[str], inputs: str
) -> None:
    folder = own_run.parent / inputs
    before = sorted(folder.rglob("*"))

    assert run(["visualize", str(folder), "--only", "report"]) == 4

    assert f"{folder} holds no output of infer" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("is_damaged", [False, True])
def test_outputs_without_the_records_of_their_run_are_drawn(
    visualize: Callable[..., tuple[int, dict[str, Any]]],
    own_run: Path,
    tmp_path: Path,
    *,
    is_damaged: bool,
) -> None:
    moved = Path(shutil.copytree(own_run / "north", tmp_path / "moved"))
    if is_damaged:
        (moved / "tile_00.npz").write_bytes(b"damaged")

    code, document = visualize(moved, "--only", "sheets")

    assert code == (3 if is_damaged else 0)
    assert len(document["contact_sheets"]) == 1


def test_the_schemas_are_those_of_the_documents() -> None:
    """To renew them: ``python -m axion_stage3.exporting.schemas``."""
    for name, text in schema_files().items():
        assert (SCHEMAS / name).read_text(encoding="utf-8") == text


def test_the_library_function_does_the_same(pictured_run: Path, tmp_path: Path) -> None:
    drawn = visualize_run(
        pictured_run, into=tmp_path / "a" / "b", parts={"sheets"}, tiles=["south/tile_10.npz"]
    )
    assert [Path(path).name for path in drawn.contact_sheets] == ["sheet-001.png"]
    assert drawn.figures == ()


def test_torch_is_not_needed(pictured_run: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from axion_stage3.cli.app import run\n"
        "if __name__ == '__main__':\n"
        f"    code = run(['visualize', {str(pictured_run)!r}, '--into', {str(tmp_path)!r}, "
        "'--only', 'report'])\n"
        "    assert code == 0\n"
        "    assert not {'torch', 'matplotlib'} & set(sys.modules)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
