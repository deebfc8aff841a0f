"""The quick configuration learns something in its two minutes, on real tiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axion_stage3.cli.app import run

ROOT = Path(__file__).parents[2]
TILES = ROOT / "examples" / "tiles"
HELD_OUT = ("20180413", "20180224", "s12cr_sample4433", "s12cr_sample7264")


def write_split(path: Path) -> None:
    """One group per date or scene; four of them are held out."""
    lines = ["tile,group,split"]
    for tile in sorted((TILES / "truth").glob("*.npz")):
        parts = tile.stem.split("_")
        group = parts[3] if parts[0] == "ben" else parts[1]
        is_held_out = any(part in tile.stem for part in HELD_OUT)
        lines.append(f"{tile.name},{group},{'val' if is_held_out else 'train'}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_minutes_of_training_beat_opt_v2_on_held_out_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "s1").symlink_to(TILES / "s1")
    (tmp_path / "data" / "s2_truth").symlink_to(TILES / "truth")
    write_split(tmp_path / "split.csv")
    arguments = ["--data-dir", f"{tmp_path}/data", "--split-file", f"{tmp_path}/split.csv"]
    arguments += ["--config", str(ROOT / "examples" / "training" / "quick.toml")]
    assert run(["train", *arguments, "--output-dir", f"{tmp_path}/out", "--json"]) == 0
    validation = json.loads(capsys.readouterr().out)["validation"]
    for family in ("hard", "generator"):
        assert validation[family]["psnr_opt_final"] > validation[family]["psnr_opt_v2"], family
