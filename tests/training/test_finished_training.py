"""A training that has come to its end and is given again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from axion_stage3.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def state_of(folder: Path) -> dict[Path, tuple[str, int]]:
    """Path to hash and time of change, for every file in a folder."""
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_says_so_and_changes_nothing(
    shared_data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AXION_STAGE3_BATCH_SIZE", "auto")  # for infer; training has no environment
    config, out = tmp_path / "quick.toml", tmp_path / "out"
    config.write_text(
        "generator_steps = 1\nequalizer_crops = 16\ngate_crops = 16\ndraw_crops = 16\n"
        "validate_every = 2\ncrop_px = 32\nbatch_size = 2\n"
    )
    scenes = ["--data-dir", f"{shared_data_dir}", "--split-file", f"{shared_data_dir}/split.csv"]
    command = ["train", *scenes, "--config", str(config), "--output-dir", str(out)]
    assert run([*command, "--max-steps", "1"]) == 0
    assert "finished before" not in capsys.readouterr().err
    before = state_of(out)

    assert run([*command, "--max-steps", "1"]) == 0

    said = capsys.readouterr().err
    assert "Training was finished before: nothing is changed." in said
    assert "Best validation" in said
    assert state_of(out) == before
    assert run([*command, "--max-steps", "2"]) == 0
    log = map(json.loads, (out / "training_log.jsonl").read_text().splitlines())
    assert [tuple(entry) for entry in log] == 2 * [("step", "validation"), ("step", "calibrated")]
