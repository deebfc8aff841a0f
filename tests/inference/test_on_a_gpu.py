"""What holds on a GPU alone: graphs, streams, precision, memory that runs out there."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from inference_workbench import loaded_tile, read_output, tile_arrays

from axion_stage3.benchmarking.workload import load_workload
from axion_stage3.diffusion.checkpoint import Checkpoint, load_checkpoint
from axion_stage3.inference import batch_noise
from axion_stage3.inference.batch_grounding import BatchGrounder
from axion_stage3.inference.batch_sizing import BatchSizes
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.inference.predictor import Prediction, Predictor
from axion_stage3.inference.tile_stages import GroundedTile, ReadTile
from axion_stage3.inference.transfers import Transfers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
BATCH_SIZES = (1, 3, 8)


@pytest.fixture(scope="module")
def bundled() -> Checkpoint:
    return load_checkpoint()


@pytest.fixture
def noise_as_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU would draw other noise."""
    monkeypatch.setattr(batch_noise, "_COMPUTING_DEVICES", ("cuda", "cpu"))


def predict(predictor: Predictor, n_tiles: int, seed: int = 0, **options: Any) -> Prediction:
    return predictor.predict(
        *tile_arrays(n_tiles, 120), seed=seed, is_measured=True, is_scored=True, **options
    )


def graphs_of(predictor: Predictor) -> int:
    cache = predictor._sampler._graphs
    assert cache is not None
    return len(cache._graphs)


@pytest.mark.parametrize("sampler", ["2m", "ancestral"])
@pytest.mark.parametrize("n_tiles", BATCH_SIZES)
def test_a_replayed_graph_equals_eager_in_float32(
    bundled: Checkpoint, n_tiles: int, sampler: str
) -> None:
    eager = Predictor(bundled, "cuda", "fp32", has_graphs=False)
    replaying = Predictor(bundled, "cuda", "fp32", on_note=pytest.fail)
    for seed in range(4):
        expected = predict(eager, n_tiles, seed, sampler=sampler)
        result = predict(replaying, n_tiles, seed, sampler=sampler)
        assert (result.opt_final - expected.opt_final).abs().max() <= 1e-5
        assert result.figures is not None
        torch.testing.assert_close(result.figures, expected.figures, rtol=1e-5, atol=1e-4)
    assert graphs_of(replaying) == 1


@pytest.mark.usefixtures("noise_as_on_the_gpu")
@pytest.mark.parametrize(("precision", "limit"), [("bf16", 7e-2), ("fp16", 2e-2)])
def test_reduced_precision_stays_near_the_plain_path(
    bundled: Checkpoint, precision: Any, limit: float
) -> None:
    """A GPU rounds the bias of a convolution apart from its sum: it is farther than a CPU."""
    plain = Predictor(bundled, "cpu", "fp32")
    reduced = Predictor(bundled, "cuda", precision, on_note=pytest.fail)
    examples = load_workload(None, None, 120)
    batch = examples.batch(examples.n_distinct)
    for seed in range(3):
        expected = plain.predict(*batch, seed=seed).opt_final
        error = (reduced.predict(*batch, seed=seed).opt_final - expected).abs().amax(dim=(1, 2, 3))
        assert bool((error <= limit * expected.std(dim=(1, 2, 3))).all())


@pytest.mark.usefixtures("noise_as_on_the_gpu")
@pytest.mark.parametrize("options", [{}, {"samples": 2}, {"sampler": "ancestral"}])
def test_float32_is_that_of_the_cpu(bundled: Checkpoint, options: dict[str, Any]) -> None:
    plain, cuda = Predictor(bundled, "cpu", "fp32"), Predictor(bundled, "cuda", "fp32")
    for _ in range(3):
        difference = predict(cuda, 2, **options).opt_final - predict(plain, 2, **options).opt_final
        assert difference.abs().max() <= 1e-5


def test_windows_on_a_gpu_have_the_noise_of_the_whole(bundled: Checkpoint) -> None:
    cuda = Predictor(bundled, "cuda", "fp32")
    whole = cuda.predict(*tile_arrays(1, 328)).opt_final
    windows = cuda.predict(*tile_arrays(1, 328), window_px=256).opt_final
    other_noise = cuda.predict(*tile_arrays(1, 328), seed=1).opt_final
    # Of random pixels the network sees more than the overlap; other noise changes far more.
    assert (whole - windows).abs().max() < 0.1 * (whole - other_noise).abs().max()


def test_a_replay_follows_its_inputs_and_its_noise(bundled: Checkpoint) -> None:
    replaying = Predictor(bundled, "cuda", "fp32", on_note=pytest.fail)
    eager = Predictor(bundled, "cuda", "fp32", has_graphs=False)
    opt_v2, s1, names = tile_arrays(1, 120)
    for step in range(5):
        tile = opt_v2 + np.float32(0.01 * step), s1 - np.float32(step), [f"tile_{step}.npz"]
        result = replaying.predict(*tile, seed=step).opt_final
        assert (result - eager.predict(*tile, seed=step).opt_final).abs().max() <= 1e-5
    first = replaying.predict(opt_v2, s1, names, seed=1).opt_final
    other_noise = replaying.predict(opt_v2, s1, names, seed=2).opt_final
    again = replaying.predict(opt_v2, s1, names, seed=1).opt_final
    assert not torch.equal(first, other_noise)
    assert torch.equal(first, again)


def test_graphs_of_several_shapes_share_a_pool_and_do_not_disturb_each_other(
    bundled: Checkpoint,
) -> None:
    eager = Predictor(bundled, "cuda", "fp32", has_graphs=False)
    replaying = Predictor(bundled, "cuda", "fp32", on_note=pytest.fail)
    expected = {n: predict(eager, n).opt_final for n in BATCH_SIZES}
    for _ in range(3):
        for n_tiles in (*BATCH_SIZES, *reversed(BATCH_SIZES)):
            result = predict(replaying, n_tiles).opt_final
            assert (result - expected[n_tiles]).abs().max() <= 1e-5
    assert graphs_of(replaying) == len(BATCH_SIZES)


def test_several_workers_share_a_device_without_mixing_their_tiles(bundled: Checkpoint) -> None:
    eager = Predictor(bundled, "cuda", "fp32", has_graphs=False)
    shared = Predictor(bundled, "cuda", "fp32", on_note=pytest.fail)
    expected = {seed: predict(eager, 2, seed).opt_final for seed in range(6)}
    errors: list[float] = []

    def work(worker: int) -> None:
        for turn in range(20):
            seed = (worker + turn) % len(expected)
            errors.append(float((predict(shared, 2, seed).opt_final - expected[seed]).abs().max()))

    threads = [Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 80
    assert max(errors) <= 1e-5


def test_what_is_copied_arrives_whole_while_buffers_go_round() -> None:
    transfers = Transfers(torch.device("cuda"))
    tiles = [torch.full((8, 4, 256, 256), float(i)) for i in range(24)]
    waits = []
    for batch in tiles:
        staged = transfers.stage(batch)
        assert staged.is_pinned()
        with transfers.submitting():
            uploaded = transfers.upload(staged)
            del staged
            for _ in range(20):
                uploaded = uploaded + 1.0
            waits.append(transfers.download([uploaded]))
            del uploaded
    for i, wait in enumerate(waits):
        (result,) = wait()
        assert result.is_pinned()
        assert bool((result == i + 20.0).all())


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_nothing_waits_for_the_device_but_the_fetch(bundled: Checkpoint) -> None:
    predictor = Predictor(bundled, "cuda", "fp32", on_note=pytest.fail)
    for _ in range(3):
        predict(predictor, 2)
    former = torch.cuda.get_sync_debug_mode()
    try:
        torch.cuda.set_sync_debug_mode("error")
        predict(predictor, 2)
    finally:
        torch.cuda.set_sync_debug_mode(former)


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(bundled: Checkpoint) -> None:
    predictor = Predictor(bundled, "cuda", "fp32")
    sizes = BatchSizes(64, 10**9)
    grounder = BatchGrounder(predictor.predict, sizes, predictor.device)
    batch = [ReadTile(loaded_tile(f"t{i}.npz", 256, 256), "p", {}) for i in range(64)]
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    allowed = torch.cuda.memory_reserved() + 600e6
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total))
    try:
        results = list(grounder(batch))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert all(isinstance(result, GroundedTile) for result in results)
    assert sizes.size((256, 256)) < 64
    single = predictor.predict(batch[5].tile.opt_v2[None], batch[5].tile.s1[None], ["t5.npz"])
    found = next(r for r in results if isinstance(r, GroundedTile) and r.source is batch[5])
    assert np.abs(found.opt_final - single.opt_final[0].numpy()).max() <= 1e-5


@pytest.mark.usefixtures("noise_as_on_the_gpu")
def test_runs_on_the_gpu_write_what_one_on_the_cpu_does(tmp_path: Path, tiles: Path) -> None:
    runs: dict[str, dict[str, Any]] = {
        "cpu": {"device": "cpu"},
        "cuda": {"device": "cuda"},
        "processes": {"device": "cuda", "engine": "processes", "workers": 2},
    }
    for name, options in runs.items():
        result = run_inference(
            opt_v2_dir=tiles / "opt_v2",
            s1_dir=tiles / "s1",
            output_dir=tmp_path / name,
            precision="fp32",
            **options,
        )
        assert result.exit_code == 0
    for path in sorted((tmp_path / "cpu").rglob("*.npz")):
        expected = read_output(path)["opt_final"]
        for name in ("cuda", "processes"):
            found = read_output(tmp_path / name / path.relative_to(tmp_path / "cpu"))["opt_final"]
            assert np.abs(found - expected).max() <= 1e-5
