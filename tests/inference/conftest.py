from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
from inference_workbench import lively_network

from axion_stage3.diffusion.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.testing.tile_factories import write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult


@pytest.fixture(autouse=True)
def _sigint_is_heard() -> Iterator[None]:
    """Started in the background of a shell, the tests themselves would ignore SIGINT."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, lively_network(), epoch=7, config={"timesteps": 4})
    return path


@pytest.fixture(scope="session")
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_path)


@pytest.fixture(scope="session")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs in three sizes and all key layouts; not to be changed."""
    folder = tmp_path_factory.mktemp("tiles")
    write_pairs(folder, 6, sizes=(24, 17, 32))
    return folder


@pytest.fixture
def infer(checkpoint_path: Path, tiles: Path, tmp_path: Path) -> Callable[..., RunResult]:
    """run_inference on the six pairs into ``tmp_path / "out"``, unless told otherwise."""
    return partial(
        run_inference,
        checkpoint=checkpoint_path,
        opt_v2_dir=tiles / "opt_v2",
        s1_dir=tiles / "s1",
        output_dir=tmp_path / "out",
        device="cpu",
    )
