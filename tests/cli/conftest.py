"""A folder as a user has it: real tiles and a small checkpoint, as in the Stage 3 guide."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_workbench import EXAMPLE_TILES, N_TILES


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    save_checkpoint(path, GroundingNetwork(sizes), epoch=28, config={"timesteps": 10})
    return path


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
