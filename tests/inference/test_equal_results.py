"""Whatever makes a run fast changes nothing: all ways agree with the plain one.

The plain way is written out here: the bundled network in the default memory order, one tile at a
time, on one thread, step by step.
"""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from inference_workbench import read_output

from axion_stage3.benchmarking.workload import load_workload
from axion_stage3.diffusion.checkpoint import Checkpoint, load_checkpoint
from axion_stage3.diffusion.samplers import plan_sampling, sample_residual
from axion_stage3.diffusion.tile_noise import initial_noise
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.inference.predictor import Predictor
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import LoadedTile, load_pair

if TYPE_CHECKING:
    from torch import Tensor

    from axion_stage3.inference.devices import Precision

EXAMPLES = Path(__file__).parents[2] / "examples" / "tiles"
TIMESTEPS = 10
SEED = 3
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


@pytest.fixture(scope="module")
def bundled() -> Checkpoint:
    return load_checkpoint()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four example pairs of two sizes."""
    folder = tmp_path_factory.mktemp("pairs")
    pairs = find_pairs(EXAMPLES / "opt_v2", EXAMPLES / "s1").pairs
    for pair in (*pairs[:3], pairs[-1]):
        for source in (pair.opt_v2_path, pair.s1_path):
            (folder / source.parent.name).mkdir(exist_ok=True)
            shutil.copy(source, folder / source.parent.name / source.name)
    return folder


@pytest.fixture(scope="module")
def tiles(folder: Path) -> list[LoadedTile]:
    return [load_pair(pair) for pair in find_pairs(folder / "opt_v2", folder / "s1").pairs]


@pytest.fixture(scope="module")
def plain(bundled: Checkpoint, tiles: list[LoadedTile]) -> dict[str, Tensor]:
    network = deepcopy(bundled.network)
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    plan = plan_sampling("2m", TIMESTEPS - 1, bundled.schedule)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    results = {}
    with torch.no_grad():
        for tile in tiles:
            opt_v2, s1 = torch.tensor(tile.opt_v2)[None], torch.tensor(tile.s1)[None]
            expected = network.expect_detail(network.encode(opt_v2, s1))
            noise = initial_noise(SEED, tile.name, 0, tile.opt_v2.shape)[None]
            denoiser = network.bind(expected, plan.sigmas)
            packed = network.pack(noise).contiguous()
            residual = sample_residual(denoiser, packed, plan, no_step_noise)
            results[tile.name] = network.compose(expected, residual)[0]
    torch.set_num_threads(n_threads)
    return results


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1, "io_threads": 1},
        {"batch_size": 3},
        {"batch_size": "auto", "io_threads": 4},
    ],
    ids=lambda options: "-".join(f"{key}-{value}" for key, value in options.items()),
)
def test_every_way_through_a_run_is_the_plain_one(
    folder: Path, plain: dict[str, Tensor], tmp_path: Path, options: dict[str, Any]
) -> None:
    result = run_inference(
        opt_v2_dir=folder / "opt_v2",
        s1_dir=folder / "s1",
        output_dir=tmp_path / "out",
        timesteps=TIMESTEPS,
        seed=SEED,
        device="cpu",
        precision="fp32",
        **options,
    )
    assert result.exit_code == 0
    for name, expected in plain.items():
        opt_final = read_output(tmp_path / "out" / name)["opt_final"]
        assert np.abs(opt_final - expected.numpy()).max() <= 1e-5, name


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_within_a_batch_change_nothing(
    bundled: Checkpoint, tiles: list[LoadedTile], plain: dict[str, Tensor], n_threads: int
) -> None:
    former = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    opt_final = predict(Predictor(bundled, "cpu"), tiles[:3])
    torch.set_num_threads(former)
    for tile, grounded in zip(tiles, opt_final, strict=False):
        assert (grounded - plain[tile.name]).abs().max() <= 1e-5, tile.name


@pytest.mark.parametrize("timesteps", [1, TIMESTEPS])
def test_bfloat16_is_within_two_hundredths_of_a_standard_deviation(
    bundled: Checkpoint, timesteps: int
) -> None:
    """On all examples; single pixels of two dark tiles are beyond when detail is drawn.

    How far depends on the processor: where it has no bfloat16 of its own, oneDNN rounds elsewhere.
    """
    examples = load_workload(None, None, 120)
    batch = examples.batch(examples.n_distinct)
    expected, rounded = (
        Predictor(bundled, "cpu", precision).predict(*batch, timesteps=timesteps).opt_final
        for precision in PRECISIONS
    )
    errors = (rounded - expected).abs().flatten(1) / expected.std(dim=(1, 2, 3))[:, None]
    assert bool((errors.amax(dim=1) > 1e-5).all())
    assert float(errors.max()) <= (2e-2 if timesteps == 1 else 4.5e-2)
    assert float((errors > 2e-2).float().mean(dim=1).max()) <= 4e-4


def no_step_noise(step: int) -> Tensor:
    raise AssertionError(f"the sampler 2m asked for noise after step {step}")


def predict(predictor: Predictor, tiles: list[LoadedTile]) -> Tensor:
    return predictor.predict(
        np.stack([tile.opt_v2 for tile in tiles]),
        np.stack([tile.s1 for tile in tiles]),
        [tile.name for tile in tiles],
        timesteps=TIMESTEPS,
        seed=SEED,
    ).opt_final
