"""``axion-stage3 inspect-tile``: what it shows, how fast, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pytest
from inspection_bench import NAME, Bench

from axion_stage3.cli.app import run
from axion_stage3.cli.inspection_pictures import panels_of
from axion_stage3.inspection.run_story import rerun_command
from axion_stage3.inspection.tile_inspection import inspect_tile

if TYPE_CHECKING:
    from axion_stage3.tiles.findings import Subject


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = run(["inspect-tile", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_file_alone(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write(s1={"s1_vv": bench.s1[0], "s1_vh": bench.s1[1], "note": np.zeros(2)})

    code, text = shown(capsys, bench.s1_dir / NAME)

    assert code == 0
    for part in ("Layout: s1_bands", "s1_vh", "96 x 96", "<f4", "36,864", "note", "AX-T011"):
        assert part in text
    minimum = f"{bench.s1[0].min():.4f}"
    assert re.search(rf"vv +{minimum} ", text)
    assert "█" in text


def test_pair_shows_findings_with_advice(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.opt_v2[:, :6, :] = np.nan
    bench.write()

    code, text = shown(
        capsys, "tile_001", "--opt-v2-dir", bench.opt_v2_dir, "--s1-dir", bench.s1_dir
    )

    assert code == 3
    assert "AX-T020 error: Pixels without a usable value" in text
    assert "at the border" in text
    assert "Give --fill-invalid" in text
    assert f"{6 * 96:>6}" in text  # NaN per band
    assert "\nopt_v2" in text
    assert "s1 (VV VH)" in text


def test_lines_fit_80_columns_and_carry_no_colour(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.opt_v2[:, :6, :] = np.nan
    bench.write({"opt_v2": bench.opt_v2, "a_key_that_is_much_longer_than_others": np.zeros(9)})

    _, text = shown(capsys, NAME, "--opt-v2-dir", bench.opt_v2_dir, "--s1-dir", bench.s1_dir)

    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "\x1b" not in text


def test_options_of_infer_are_heeded(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write((bench.opt_v2 * 10000).astype(np.uint16))
    folder = ("--opt-v2-dir", bench.opt_v2_dir)

    plain, text = shown(capsys, NAME, *folder)
    scaled, _ = shown(capsys, NAME, *folder, "--opt-scale", "10000")

    assert (plain, scaled) == (3, 0)
    assert "--opt-scale 10000" in text


def test_story_of_a_failed_tile(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run(None, opt_scale=2.5)

    code, text = shown(capsys, "tile_001", "--output-dir", bench.output_dir)

    assert code == 3
    assert "Outcome: failed in the phase read" in text
    assert "Error AX-E411: The disk coughed." in text
    assert "Give it tea." in text
    assert str(bench.opt_v2_dir) in text  # found through the manifest
    command = next(line for line in text.splitlines() if "mkdir -p" in line)
    for part in ("--opt-scale 2.5", "--timesteps 10", "--sampler 2m", "--seed 7", NAME):
        assert part in command


def test_story_of_a_written_tile(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run(bench.truth)

    code, text = shown(capsys, NAME, "--output-dir", bench.output_dir)

    assert code == 0
    assert "Outcome: written, after 0.50 s (read 0.10 s, compute 0.40 s)" in text
    assert f"change_max {np.abs(bench.truth - bench.opt_v2).max():.4f}" in text
    for subject in ("opt_v2  ", "s1  ", "opt_final  "):
        assert f"\n{subject}" in text


def test_tile_of_which_only_the_journal_is_left(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(bench.truth)
    for folder in (bench.opt_v2_dir, bench.s1_dir, bench.output_dir):
        (folder / NAME).unlink()

    code, text = shown(capsys, NAME, "--output-dir", bench.output_dir)

    assert code == 3
    assert "AX-T066" in text


def test_output_saved_with_its_inputs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write_output({"opt_final": bench.opt_v2, "opt_v2": bench.opt_v2, "s1": bench.s1})

    code, text = shown(capsys, bench.output_dir / NAME)

    assert code == 0
    assert "AX-T060" in text
    assert "\nopt_v2" in text
    assert "s1 (VV VH)" in text


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["no.npz"], "There is no tile no.npz"),
        (["no.npz", "--opt-v2-dir", "{opt_v2}"], "There is no tile no.npz"),
        (["tile_01", "--opt-v2-dir", "{opt_v2}"], "Nearest names there: tile_001.npz"),
        (["x.npz", "--s1-dir", "nowhere"], "nowhere does not exist"),
        (["{opt_v2}"], "is a folder, not a tile"),
        (["../x.npz", "--s1-dir", "{opt_v2}"], "leads out of the folder"),
        (["x.npz", "--output-dir", "nowhere"], "nowhere does not exist"),
    ],
)
def test_no_such_tile(
    arguments: list[str], part: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write()

    code = run(["inspect-tile", *(each.format(opt_v2=bench.opt_v2_dir) for each in arguments)])

    assert code == 4
    assert part in " ".join(capsys.readouterr().err.split())


def test_text_file_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.npz").write_text("dear diary")

    code, text = shown(capsys, tmp_path / "notes.npz")

    assert code == 3
    assert "AX-T001" in text


def test_png_shows_the_panels(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write()
    png = bench.root / "tile.png"

    shown(capsys, NAME, "--opt-v2-dir", bench.opt_v2_dir, "--s1-dir", bench.s1_dir, "--png", png)

    data = png.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    assert (width, height) == (2 * 480 + 8, 480)


def test_gaps_are_seen_in_the_picture(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.opt_v2[:, 10:20, 30:50] = np.nan
    bench.s1[0, :5] = -9999
    bench.write()

    inspection = inspect_tile(bench.opt_v2_dir / NAME, s1_dir=bench.s1_dir)

    is_gap = np.zeros((96, 96), bool)
    is_gap[10:20, 30:50] = True
    optical, radar = panels_of(inspection.pixels)
    assert np.array_equal((optical.image == (255, 0, 255)).all(axis=-1), is_gap)
    assert (radar.image[:5] == (255, 0, 255)).all()
    assert not (radar.image[5:] == (255, 0, 255)).all(axis=-1).any()


def test_tiles_in_wrong_units_are_drawn_too(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write()
    folders = ("--opt-v2-dir", bench.opt_v2_dir, "--s1-dir", bench.s1_dir)
    clean = _picture(bench)
    bench.write((bench.opt_v2 * 10000).astype(np.uint16), 10 ** (bench.s1 / 10))
    wrong = _picture(bench)

    _, text = shown(capsys, NAME, *folders)

    assert "\nopt_v2, as stored" in text
    assert "s1, as stored" in text
    for before, after in zip(clean, wrong, strict=True):
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8


def test_a_tile_without_one_of_its_bands_has_no_picture(bench: Bench) -> None:
    bench.s1[1] = np.nan
    bench.opt_v2[2] = np.nan
    bench.write()

    assert _picture(bench) == []


def _picture(bench: Bench) -> list[np.ndarray]:
    inspection = inspect_tile(bench.opt_v2_dir / NAME, s1_dir=bench.s1_dir)
    return [panel.image for panel in panels_of(inspection.pixels, inspection.stored)]


def test_png_without_a_usable_pixel_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.npz").write_text("dear diary")
    png = tmp_path / "tile.png"

    code = run(["inspect-tile", str(tmp_path / "notes.npz"), "--png", str(png)])

    assert code == 3
    assert "no picture" in capsys.readouterr().err
    assert not png.exists()


def test_answers_without_importing_torch_or_matplotlib(bench: Bench) -> None:
    """Each would take longer than the whole command; `axion-stage3 benchmark` has the time."""
    bench.run(bench.truth)
    program = (
        "import sys\n"
        "from axion_stage3.cli.app import run\n"
        f"code = run(['inspect-tile', {NAME!r}, '--output-dir', {str(bench.output_dir)!r}])\n"
        "print(code, {'torch', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "0 set()"


def test_a_tile_in_an_object_store_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect-tile", "s3://bucket/tile.npz"]) == 2
    assert "s3://bucket/tile.npz lies in an object store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "has_colour"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals(
    environment: dict[str, str], has_colour: bool, bench: Bench
) -> None:
    bench.write()
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        program = Path(sys.executable).with_name("axion-stage3")
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM")}
        arguments = [program, "inspect-tile", NAME, "--opt-v2-dir", bench.opt_v2_dir]
        with subprocess.Popen(arguments, stdout=end, env=plain | environment) as process:
            os.close(end)
            text = _read_all(screen)
        assert process.returncode == 0

    assert ("\x1b[38;5;" in text) == has_colour
    assert ("▀" in text) == has_colour
    assert ("░" in text) == (not has_colour)


def _read_all(screen: BinaryIO) -> str:
    """What comes until the other end of a terminal is closed, which Linux reports as an error."""
    pieces = []
    with contextlib.suppress(OSError):
        while piece := screen.read(1 << 16):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_json_is_the_report(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run(bench.truth)

    code, text = shown(capsys, NAME, "--output-dir", bench.output_dir, "--json")

    document = json.loads(text)
    assert code == 0
    assert [file["subject"] for file in document["files"]] == ["opt_v2", "s1", "opt_final"]
    assert document["run"]["outcome"]["outcome"] == "written"
    assert shlex.split(document["run"]["rerun_command"])[:2] == ["mkdir", "-p"]
    blue = document["files"][0]["bands"][0]
    assert blue["mean"] == pytest.approx(float(bench.opt_v2[0].mean()), rel=1e-6)
    assert sum(blue["histogram"]["counts"]) == blue["n_pixels"] == 96 * 96


def test_the_command_to_run_a_tile_again_has_the_table_that_places_it() -> None:
    paths: dict[Subject, Path] = {"opt_v2": Path("a/t.npz"), "s1": Path("b/t.npz")}
    command = rerun_command("t.npz", paths, {"georeference": "my places.csv", "seed": 3})
    assert "--georeference 'my places.csv'" in command
