"""Folders as a user has them: tiles and small checkpoints, as in the Stage 3 guide."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_workbench import EXAMPLE_TILES, N_TILES

from axion_stage3.testing.tile_factories import write_pair


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that is quick, whose answers stay near opt_v2."""
    path = tmp_path_factory.mktemp("checkpoint") / "best_model.pt"
    return _save_small_checkpoint(path, epoch=28, timesteps=10)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The same network, which takes one step."""
    return _save_small_checkpoint(tmp_path / "small.safetensors", epoch=1, timesteps=1)


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Three made-up tiles of 32 px with their truth, in opt_v2/, s1/ and truth/."""
    folder = tmp_path / "tiles"
    for part in ("opt_v2", "s1", "truth"):
        (folder / part).mkdir(parents=True)
    for seed in range(3):
        write_pair(folder, f"tile_{seed}.npz", seed=seed, height=32, has_truth=True)
    return folder


@pytest.fixture
def workspace(small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with stage2_outputs/, tiles/s1/ and checkpoints/stage3/best_model.pt."""
    monkeypatch.chdir(tmp_path)
    opt_v2_dir, s1_dir = Path("stage2_outputs"), Path("tiles/s1")
    for folder in (opt_v2_dir, s1_dir, Path("checkpoints/stage3")):
        folder.mkdir(parents=True)
    smallest = sorted((EXAMPLE_TILES / "opt_v2").glob("*.npz"), key=lambda p: p.stat().st_size)
    for number, opt_v2 in enumerate(smallest[:N_TILES], start=1):
        name = f"tile_{number:03}.npz"
        shutil.copy(opt_v2, opt_v2_dir / name)
        shutil.copy(EXAMPLE_TILES / "s1" / opt_v2.name, s1_dir / name)
    shutil.copy(small_checkpoint, "checkpoints/stage3/best_model.pt")
    return tmp_path


def _save_small_checkpoint(path: Path, *, epoch: int, timesteps: int) -> Path:
    import torch

    from axion_stage3.diffusion.checkpoint import save_checkpoint
    from axion_stage3.diffusion.encoder import NetworkConfig
    from axion_stage3.diffusion.network import GroundingNetwork

    torch.manual_seed(0)
    sizes = NetworkConfig(
        widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1
    )
    save_checkpoint(path, GroundingNetwork(sizes), epoch=epoch, config={"timesteps": timesteps})
    return path
