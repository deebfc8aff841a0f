"""Tools that the tests of inference share."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.inference.run_observer import RunObserver
from axion_stage3.runs.journal_lines import decode_line
from axion_stage3.testing.tile_factories import write_pairs
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import LoadedTile, load_pair

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from numpy.typing import NDArray

    from axion_stage3.runs.outcome import TileOutcome

EXAMPLE_TILES = Path(__file__).parents[2] / "examples" / "tiles"
TINY = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)


def lively_network(seed: int = 0, strength: float = 0.01) -> GroundingNetwork:
    """A tiny network whose output layers are not zero, so that it changes tiles."""
    torch.manual_seed(seed)
    network = GroundingNetwork(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0, strength)
    return network


def tile_arrays(n_tiles: int, height: int, width: int | None = None) -> tuple[Any, Any, list[str]]:
    """A batch of plausible tiles: opt_v2, s1 and names."""
    random = np.random.default_rng(n_tiles * 1000 + height)
    size = (height, height if width is None else width)
    opt_v2 = random.uniform(0.02, 0.5, (n_tiles, 4, *size)).astype(np.float32)
    s1 = random.uniform(-25, -5, (n_tiles, 2, *size)).astype(np.float32)
    return opt_v2, s1, [f"folder/tile_{i:03d}.npz" for i in range(n_tiles)]


def loaded_tile(name: str, height: int = 16, width: int = 16, value: float = 0.2) -> LoadedTile:
    """A tile of one value."""
    opt_v2 = np.full((4, height, width), value, np.float32)
    return LoadedTile(name, opt_v2, np.full((2, height, width), -12, np.float32))


def cut_examples(folder: Path, n_tiles: int) -> None:
    """Write small pieces of the real example tiles, in two sizes."""
    pairs = find_pairs(EXAMPLE_TILES / "opt_v2", EXAMPLE_TILES / "s1").pairs
    tiles = [load_pair(pair) for pair in pairs]
    for side in ("opt_v2", "s1"):
        (folder / side).mkdir()
    for i in range(n_tiles):
        tile, corner = tiles[i % len(tiles)], i // len(tiles) * 4
        piece = np.s_[:, corner : corner + 24, corner : corner + 16 + i % 2 * 8]
        write_npz(folder / "opt_v2" / f"tile_{i:03d}.npz", {"opt_v2": tile.opt_v2[piece]})
        write_npz(folder / "s1" / f"tile_{i:03d}.npz", {"s1": tile.s1[piece]})


def read_output(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an output file."""
    with np.load(path) as file:
        return dict(file)


def hashes(folder: Path, pattern: str = "*.npz") -> dict[str, str]:
    """Relative path to hash of the files below a folder, without those that a run keeps."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and "runs" not in path.relative_to(folder).parts
    }


def temporary_files(folder: Path) -> list[Path]:
    """Temporary files that were left behind."""
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


def journal_lines(output_dir: Path) -> list[dict[str, Any]]:
    """All tile outcomes in the journals."""
    paths = sorted((output_dir / "runs").glob("journal-*.jsonl"))
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    documents = [decode_line(line) for line in lines]
    return [document for document in documents if document is not None and "tile" in document]


class Watcher(RunObserver):
    """Keeps what it is told, and may act when a tile is done."""

    def __init__(self, on_tile: Callable[[int], None] = lambda _: None) -> None:
        self.events: list[str] = []
        self.outcomes: list[TileOutcome] = []
        self.warnings: list[str] = []
        self._on_tile = on_tile

    def model_loading(self, device: str, timesteps: int) -> None:
        self.events.append(f"loading on {device}, T={timesteps}")

    def model_loaded(self, model: Any) -> None:
        self.events.append(f"loaded {model.epoch} {model.timesteps} {model.precision}")

    def pairs_found(self, pairing: Any) -> None:
        self.events.append(f"{len(pairing.pairs)} pairs")

    def tiles_selected(self, n_selected: int, n_pairs: int) -> None:
        self.events.append(f"{n_selected} of {n_pairs} selected")

    def tiles_planned(self, plan: Any) -> None:
        self.events.append(f"{len(plan.to_do)} to do")

    def tile_done(self, outcome: TileOutcome) -> None:
        self.outcomes.append(outcome)
        self._on_tile(len(self.outcomes))

    def warned(self, message: str) -> None:
        self.warnings.append(message)


def run_as_process(options: dict[str, Any]) -> None:
    """Body of a child process: a run that ends the process with its exit code."""
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run_inference(**options).exit_code)


def signal_a_run(
    engine: str, number: signal.Signals, exit_code: int, folder: Path, checkpoint: Path
) -> None:
    """Send a signal to all processes of a run with two workers, and see that it ends cleanly.

    Then that any other run goes on from there, to the same outputs.
    """
    write_pairs(folder, 250, sizes=(64,))
    out = folder / "out"
    options = {
        "--opt-v2-dir": folder / "opt_v2", "--s1-dir": folder / "s1", "--output-dir": out,
        "--checkpoint": checkpoint, "--device": "cpu", "--engine": engine, "--workers": "2",
        "--timesteps": "10",
    }  # fmt: skip
    words = [str(word) for option in options.items() for word in option]
    program = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from axion_stage3.cli.app import main\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "infer", *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    trade = "process" if engine == "processes" else engine
    while not any(
        path.stat().st_size > 2000 for path in out.glob(f"runs/journal-*-{trade}-*.jsonl")
    ):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, number)  # as a terminal or a scheduler does: to all of the group
    text, err = process.communicate(timeout=100)
    assert process.returncode == exit_code, err
    assert json.loads(text)["is_interrupted"], "and nothing else on standard output"
    manifest = json.loads((out / "runs" / "run-manifest.json").read_text())
    assert manifest["state"] == "interrupted"
    assert not list((out / "runs").glob("lease-*"))
    go_on = partial(
        run_inference,
        opt_v2_dir=folder / "opt_v2",
        s1_dir=folder / "s1",
        checkpoint=checkpoint,
        device="cpu",
        timesteps=10,
    )
    assert go_on(output_dir=out).summary["processed"] == 250
    assert hashes(out) == hashes(go_on(output_dir=folder / "whole").output_dir)
