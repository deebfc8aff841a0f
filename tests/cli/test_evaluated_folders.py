"""``evaluate`` on folders: groups, and tiles that cannot be evaluated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cli_workbench import check_document

from axion_stage3.cli.app import run
from axion_stage3.testing.tile_factories import make_tile, write_pair
from axion_stage3.tiles.npz_writer import write_npz

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    "lines",
    [
        "tile,group,split\ntile_0.npz,a,val\ntile_1.npz,a,test\n",
        "tile,group\ntile_0.npz,a\ntile_1.npz,a\n",
    ],
    ids=["of any split", "without splits"],
)
def test_groups_come_from_the_split_file(
    lines: str, tiles: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "split.csv"
    split.write_text(lines)
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    assert run(["evaluate", *folders, "--split-file", str(split), "--json"]) == 0
    document = check_document(capsys.readouterr().out, "evaluate")
    assert {tile["tile"]: tile["group"] for tile in document["tiles"]} == {
        "tile_0.npz": "a",
        "tile_1.npz": "a",
        "tile_2.npz": "tile_2.npz",
    }
    assert document["families"][0]["n_groups"] == 2


def test_outputs_of_another_size_are_refused_by_name(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        write_npz(tmp_path / f"tile_{seed}.npz", {"opt_final": make_tile(seed, 24).truth})
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    assert run(["evaluate", *folders, "--opt-final-dir", str(tmp_path)]) == 4
    assert "Tile tile_0.npz: truth (4, 32, 32)" in capsys.readouterr().err


def break_truth(tiles: Path) -> None:
    (tiles / "truth" / "tile_1.npz").write_bytes(b"no NPZ")


def break_radar(tiles: Path) -> None:
    (tiles / "s1" / "tile_1.npz").write_bytes(b"no NPZ")


def put_nan_into_truth(tiles: Path) -> None:
    truth = make_tile(1, 32).truth.copy()
    truth[0, 3, 3] = float("nan")
    write_npz(tiles / "truth" / "tile_1.npz", {"opt_v2": truth})


def shrink_truth(tiles: Path) -> None:
    write_npz(tiles / "truth" / "tile_1.npz", {"opt_v2": make_tile(1, 24).truth})


def shrink_radar(tiles: Path) -> None:
    write_npz(tiles / "s1" / "tile_1.npz", {"s1": make_tile(1, 24).s1})


@pytest.mark.parametrize(
    "damage", [break_truth, break_radar, put_nan_into_truth, shrink_truth, shrink_radar]
)
def test_a_tile_that_cannot_be_evaluated_is_left_out_and_named(
    damage: Callable[[Path], None],
    tiles: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(tiles)
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    assert run(["evaluate", *folders, "--json"]) == 3
    text, said = capsys.readouterr()
    document = check_document(text, "evaluate")
    assert [tile["tile"] for tile in document["tiles"]] == ["tile_0.npz", "tile_2.npz"]
    assert document["families"][0]["n_tiles"] == 2
    (left_out,) = document["left_out"]
    assert left_out["tile"] == "tile_1.npz"
    assert "1 tile left out:\n  - tile_1.npz\n" in said
    assert said.split()[-1] == left_out["reason"].split()[-1]
    assert "--opt-scale" not in said  # which evaluate does not have
    assert "--fill-invalid" not in said


def test_an_output_that_a_run_did_not_make_is_left_out(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 2):
        write_npz(tmp_path / f"tile_{seed}.npz", {"opt_final": make_tile(seed, 32).truth})
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    assert run(["evaluate", *folders, "--opt-final-dir", str(tmp_path)]) == 3
    text, said = capsys.readouterr()
    assert "given: 2 tiles in 2 groups" in text
    assert "There is no opt_final tile tile_1.npz" in " ".join(said.split())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_with_a_hole_is_no_perfect_one(
    value: float, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finals = tmp_path / "finals"
    finals.mkdir()
    for seed in range(3):
        opt_final = make_tile(seed, 32).opt_v2.copy()
        if seed == 1:
            opt_final[2, 5, 5] = value
        write_npz(finals / f"tile_{seed}.npz", {"opt_final": opt_final})
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--opt-final-dir", str(finals)]

    assert run(["evaluate", *folders, "--json"]) == 3

    document = check_document(capsys.readouterr().out, "evaluate")
    assert [tile["tile"] for tile in document["tiles"]] == ["tile_0.npz", "tile_2.npz"]
    reason = "opt_final has values that are NaN or infinite: 1 of 4096."
    assert document["left_out"] == [{"tile": "tile_1.npz", "reason": reason}]


def test_left_out_tiles_are_named_in_order_whatever_their_fault(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finals = tmp_path / "finals"
    finals.mkdir()
    hole = np.full((4, 32, 32), np.nan, np.float32)
    write_npz(finals / "tile_0.npz", {"opt_final": hole})
    write_npz(finals / "tile_2.npz", {"opt_final": make_tile(2, 32).truth})
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]

    assert run(["evaluate", *folders, "--opt-final-dir", str(finals), "--json"]) == 3

    document = check_document(capsys.readouterr().out, "evaluate")
    assert [tile["tile"] for tile in document["left_out"]] == ["tile_0.npz", "tile_1.npz"]


def test_radar_of_another_size_beside_outputs_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("opt_v2", "s1", "truth", "finals"):
        (tmp_path / part).mkdir()
    for seed in range(3):
        write_pair(tmp_path, f"tile_{seed}.npz", seed=seed, height=64, has_truth=True)
        write_npz(tmp_path / f"finals/tile_{seed}.npz", {"opt_final": make_tile(seed, 64).truth})
    write_npz(tmp_path / "s1" / "tile_1.npz", {"s1": make_tile(1, 48).s1})
    folders = ["--truth-dir", f"{tmp_path}/truth", "--opt-v2-dir", f"{tmp_path}/opt_v2"]
    folders += ["--s1-dir", f"{tmp_path}/s1", "--opt-final-dir", f"{tmp_path}/finals"]

    assert run(["evaluate", *folders, "--json"]) == 3

    document = check_document(capsys.readouterr().out, "evaluate")
    assert [tile["tile"] for tile in document["tiles"]] == ["tile_0.npz", "tile_2.npz"]
    (left_out,) = document["left_out"]
    assert left_out["tile"] == "tile_1.npz"
    assert "s1 (2, 48, 48) differ in size" in left_out["reason"]


def test_tiles_without_a_truth_are_counted_and_all_are_named_when_verbose(
    tiles: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiles / "truth" / "tile_1.npz").unlink()
    folders = ["--truth-dir", f"{tiles}/truth", "--opt-v2-dir", f"{tiles}/opt_v2"]
    folders += ["--s1-dir", f"{tiles}/s1", "--checkpoint", str(checkpoint)]
    assert run(["evaluate", *folders, "--verbose"]) == 0
    text, said = capsys.readouterr()
    assert "given: 2 tiles in 2 groups" in text
    assert "tile_1.npz: left out, no truth of this name" in said

    assert run(["evaluate", *folders, "--json"]) == 0
    text, said = capsys.readouterr()
    assert check_document(text, "evaluate")["without_truth"] == ["tile_1.npz"]
    assert said.splitlines()[-1] == "1 tile has no truth of its name: tile_1.npz"

    for seed in range(4):
        write_pair(tiles, f"more/{seed}.npz", seed=seed, height=32)
    assert run(["evaluate", *folders]) == 0
    said = capsys.readouterr().err
    shown = "more/0.npz, more/1.npz, more/2.npz and 2 more"
    assert said.splitlines()[-1] == f"5 tiles have no truth of their name: {shown}"
    assert run(["evaluate", *folders, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_json_log_has_a_record_of_each_tile_without_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("opt_v2", "s1", "truth", "finals"):
        (tmp_path / part).mkdir()
    for seed in range(25):
        write_pair(tmp_path, f"tile_{seed:02}.npz", seed=seed, height=16, has_truth=seed != 1)
    write_npz(tmp_path / "finals" / "tile_00.npz", {"opt_final": make_tile(0, 16).truth})
    folders = ["--truth-dir", f"{tmp_path}/truth", "--opt-v2-dir", f"{tmp_path}/opt_v2"]
    folders += ["--opt-final-dir", f"{tmp_path}/finals"]

    assert run(["evaluate", *folders, "--log-format", "json", "--json"]) == 3

    text, said = capsys.readouterr()
    document = check_document(text, "evaluate")
    records = [json.loads(line) for line in said.splitlines()]
    (note,) = [record for record in records if "no truth" in record["message"]]
    assert (note["level"], note["tiles"]) == ("info", ["tile_01.npz"])
    warnings = [record for record in records if record["level"] == "warning"]
    assert {record["message"] for record in warnings} == {"tile left out"}
    assert len(warnings) == 23
    named = [{"tile": record["tile"], "reason": record["reason"]} for record in warnings]
    assert named == document["left_out"]
