"""Commands that write beside ``infer`` leave the input folders of a run alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from axion_stage3.cli.app import run


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run with its inputs and truth; its folder is the current one."""
    root = Path(shutil.copytree(finished_run.parent, tmp_path / "own"))
    for manifest in (root / finished_run.name / "runs").glob("run-manifest*.json"):
        text = manifest.read_text().replace(str(finished_run.parent), str(root))
        manifest.write_text(text)
    monkeypatch.chdir(root)
    return root / finished_run.name


@pytest.mark.parametrize(
    "command",
    [
        ["visualize", "RUN", "--only", "report", "--into", "opt_v2"],
        ["visualize", "RUN", "--only", "report", "--into", "s1/a/pictures", "--s1-dir", "more"],
        ["visualize", "RUN", "--only", "report", "--into", "more/pictures", "--s1-dir", "more"],
        ["visualize", "RUN", "--only", "report", "--into", "truth/x", "--truth-dir", "truth"],
        ["export", "RUN", "--allow-unreferenced", "--output-dir", "opt_v2"],
        ["export", "RUN", "--allow-unreferenced", "--output-dir", "more", "--opt-v2-dir", "more"],
        ["stats", "RUN", "--plots", "s1"],
        ["stats", "RUN", "--csv", "s1/tiles.csv"],
        ["stats", "RUN", "--parquet", "opt_v2/a/tiles.parquet"],
        ["validate", "RUN", "--save", "s1/found.jsonl"],
        ["validate", "--opt-v2-dir", "opt_v2", "--save", "opt_v2/found.jsonl"],
        ["inspect-tile", "a/tile_0", "--output-dir", "RUN", "--png", "s1/tile.png"],
        ["inspect-tile", "a/tile_0", "--s1-dir", "s1", "--png", "s1/b/tile.png"],
        ["inspect-tile", "opt_v2/a/tile_0.npz", "--png", "opt_v2/a/tile.png"],
        ["train", "--data-dir", ".", "--split-file", "t.csv", "--output-dir", "s1/trained"],
    ],
    ids=" ".join,
)
def test_nothing_is_written_there(
    own_run: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("opt_v2", "more")
    before = sorted(own_run.parent.rglob("*"))

    assert run([str(own_run) if word == "RUN" else word for word in command]) == 2

    message, hint = capsys.readouterr().err.splitlines()
    assert "input folders are never written to" in message
    assert hint == "  Hint: Give a place beside it."
    assert sorted(own_run.parent.rglob("*")) == before


def test_pictures_do_not_follow_a_link_out_of_the_output_folder(
    own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_run / "visuals").symlink_to("../opt_v2")
    before = sorted(own_run.parent.rglob("*"))

    assert run(["visualize", str(own_run), "--only", "report"]) == 6

    assert "leads out of the output folder" in capsys.readouterr().err
    assert sorted(own_run.parent.rglob("*")) == before


@pytest.mark.usefixtures("own_run")
def test_a_folder_around_them_is_no_input_folder() -> None:
    assert run(["stats", "outputs", "--csv", "tiles.csv", "--quiet"]) == 0
    assert Path("tiles.csv").is_file()
    assert run(["inspect-tile", "outputs/a/tile_1.npz", "--png", "outputs/a/tile_1.png"]) == 0
    assert Path("outputs/a/tile_1.png").is_file()
