"""Each troubleshooting section of the Stage 3 guide: one command finds the cause, names the remedy.

The guide has the user open files in Python and compare folders by eye; the situations here are
those it describes, with real runs of ``infer``.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.cli.app import run
from axion_stage3.testing.tile_factories import write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    Said = Callable[..., tuple[int, str]]

INFER = ("infer", "--opt-v2-dir", "stage2_outputs", "--s1-dir", "tiles/s1", "--output-dir", "out")
INPUTS = ("--opt-v2-dir", "stage2_outputs/", "--s1-dir", "tiles/s1/")
N_TILES = 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that is quick, whose answers stay near opt_v2."""
    import torch

    from axion_stage3.diffusion.checkpoint import save_checkpoint
    from axion_stage3.diffusion.encoder import NetworkConfig
    from axion_stage3.diffusion.network import GroundingNetwork

    torch.manual_seed(0)
    sizes = NetworkConfig(
        widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1
    )
    path = tmp_path_factory.mktemp("checkpoint") / "best_model.pt"
    save_checkpoint(path, GroundingNetwork(sizes), epoch=28, config={"timesteps": 2})
    return path


@pytest.fixture
def said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Said:
    """Runs a command in a folder laid out as in the guide: exit code, and all that was said."""
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path, N_TILES, sizes=(64,))
    (tmp_path / "opt_v2").rename("stage2_outputs")
    (tmp_path / "tiles").mkdir()
    (tmp_path / "s1").rename("tiles/s1")

    def call(*arguments: object) -> tuple[int, str]:
        code = run(list(map(str, arguments)))
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).split())

    return call


def _rewrite(path: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(path) as stored:
        arrays = {key: change(stored[key]) for key in stored.files}
    np.savez(path, **arrays)


def test_no_matching_tiles_found(said: Said, checkpoint: Path) -> None:
    for path in Path("tiles/s1").iterdir():
        path.rename(path.with_stem(path.stem + "_S1"))
    code, text = said(*INFER, "--checkpoint", checkpoint)
    assert code == 4
    assert "No matching tile pairs found between stage2_outputs/ and tiles/s1/" in text

    code, text = said("validate", *INPUTS)

    assert code == 3
    assert "There is no s1 tile of this name. Nearest without a partner: tile_000_S1.npz" in text
    assert "Give both files of a pair the same name" in text


def test_out_of_memory(said: Said, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from axion_stage3.inference.predictor import Predictor

    def predict(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Predictor, "predict", predict)
    code, _ = said(*INFER, "--checkpoint", checkpoint, "--batch-size", 4)
    assert code in (3, 7)

    code, text = said("inspect-tile", "tile_001", "--output-dir", "out")

    assert code == 3
    assert "failed in the phase compute" in text
    assert "memory" in text


@pytest.mark.parametrize(
    ("folder", "change", "cause", "remedy"),
    [
        ("stage2_outputs", lambda x: x * 10000, "AX-T030", "--opt-scale 10000"),
        ("tiles/s1", lambda x: 10 ** (x / 10), "AX-T040", "--s1-units linear"),
        ("tiles/s1", lambda x: (x + 14) / 5, "AX-T042", "Undo the normalisation"),
    ],
)
def test_invalid_output_values(
    said: Said,
    folder: str,
    change: Callable[[np.ndarray], np.ndarray],
    cause: str,
    remedy: str,
) -> None:
    _rewrite(f"{folder}/tile_001.npz", change)

    code, text = said("validate", *INPUTS)
    assert code == 3
    assert f"{cause} error" in text
    assert "(1 tile)" in text
    assert remedy in text

    code, text = said("inspect-tile", "tile_001", *INPUTS)
    assert code == 3
    assert cause in text
    assert remedy in text


def test_invalid_output_of_a_broken_checkpoint(said: Said) -> None:
    """The inputs are cleared of suspicion, and the output is named."""
    Path("out").mkdir()
    np.savez("out/tile_001.npz", opt_final=np.full((4, 64, 64), 12.0, np.float32))

    assert said("validate", *INPUTS)[0] == 0
    code, text = said("validate", "out")

    assert code == 3
    assert "AX-T023 error: Values outside the expected range" in text
    assert "check the checkpoint" in text


def test_slow_processing(said: Said, checkpoint: Path) -> None:
    assert said(*INFER, "--checkpoint", checkpoint, "--quiet")[0] == 0

    _, text = said("inspect-tile", "tile_001", "--output-dir", "out")

    assert "Outcome: written, after" in text
    assert "compute" in text.partition("Outcome: written, after")[2].partition("Recorded")[0]


def test_failed_tiles(said: Said, checkpoint: Path) -> None:
    def spoil(band: np.ndarray) -> np.ndarray:
        spoilt = band.copy()
        spoilt[..., 5, 5] = np.nan
        return spoilt

    _rewrite("stage2_outputs/tile_002.npz", spoil)
    code, _ = said(*INFER, "--checkpoint", checkpoint, "--seed", 5)
    assert code == 3

    code, text = said("validate", "out")
    assert code == 3
    assert "AX-T065 error: The tile failed in the run (1 tile)" in text
    assert "tile_002.npz: run: It failed in the phase read" in text

    code, text = said("inspect-tile", "tile_002", "--output-dir", "out")
    assert code == 3
    assert "AX-T020 error: Pixels without a usable value" in text
    assert "Give --fill-invalid" in text


def test_the_command_that_runs_one_tile_again_does_so(
    said: Said, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is a stand-in that writes down what it is asked for; that is then done here."""
    assert said(*INFER, "--checkpoint", checkpoint, "--seed", 5, "--quiet")[0] == 0
    document = json.loads(said("inspect-tile", "tile_001", "--output-dir", "out", "--json")[1])
    program = Path("bin/axion-stage3")
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" > asked.txt\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent.absolute()), prepend=os.pathsep)

    subprocess.run(["sh", "-c", document["run"]["rerun_command"]], check=True)
    assert said(*Path("asked.txt").read_text().splitlines())[0] == 0

    rerun = "rerun/tile_001/output/tile_001.npz"
    with np.load("out/tile_001.npz") as once, np.load(rerun) as again:
        np.testing.assert_allclose(again["opt_final"], once["opt_final"], atol=1e-5)

    document = json.loads(said("inspect-tile", "tile_002", "--output-dir", "out", "--json")[1])
    assert "rerun/tile_001/" not in document["run"]["rerun_command"]
