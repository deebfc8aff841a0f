"""The cache of graphs, with a stand-in for CUDA's capture that keeps its rules: fixed memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from inference_workbench import tile_arrays
from torch.utils._python_dispatch import TorchDispatchMode

from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.diffusion.noise_schedule import NoiseSchedule
from axion_stage3.diffusion.samplers import plan_sampling
from axion_stage3.inference import device_sampler
from axion_stage3.inference.device_sampler import DeviceSampler, SamplingJob
from axion_stage3.inference.graph_replay import GraphCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from axion_stage3.diffusion.checkpoint import Checkpoint
    from axion_stage3.inference.graph_replay import DeviceFunction, Replay


class FixedMemory:
    """Captures as CUDA does: a replay reads the captured inputs, writes the captured results."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.n_captures = 0
        self.n_replays = 0
        self._fault = fault

    def __call__(
        self, function: DeviceFunction, inputs: Sequence[Tensor]
    ) -> tuple[Replay, list[Tensor]]:
        self.n_captures += 1
        if self._fault is not None:
            raise self._fault
        results = function(*inputs)

        def replay() -> None:
            self.n_replays += 1
            for result, fresh in zip(results, function(*inputs), strict=True):
                result.copy_(fresh)

        return replay, results


def doubled(tiles: Tensor) -> list[Tensor]:
    return [tiles * 2]


def run(cache: GraphCache, key: str, value: float) -> Tensor:
    return cache.run(key, doubled, [torch.full((2,), value)], list)[0]


def test_a_replay_takes_new_inputs_and_leaves_older_results_alone() -> None:
    capture = FixedMemory()
    cache = GraphCache(capture, pytest.fail)
    results = [run(cache, "a", value) for value in (1.0, 2.0, 3.0)]
    assert [float(result[0]) for result in results] == [2.0, 4.0, 6.0]
    assert (capture.n_captures, capture.n_replays) == (1, 3)


def test_few_graphs_are_kept_and_the_oldest_goes() -> None:
    capture = FixedMemory()
    cache = GraphCache(capture, pytest.fail)
    for key in "abcdefgh":
        run(cache, key, 1.0)
    run(cache, "a", 1.0)
    run(cache, "i", 1.0)
    assert capture.n_captures == 9
    run(cache, "a", 1.0)
    assert capture.n_captures == 9
    run(cache, "b", 1.0)
    assert capture.n_captures == 10


def test_a_capture_that_fails_is_said_once_and_not_tried_again() -> None:
    capture = FixedMemory(RuntimeError("operation not permitted when stream is capturing\nat ..."))
    notes: list[str] = []
    cache = GraphCache(capture, notes.append)
    for key in "aab":
        assert float(run(cache, key, 3.0)[0]) == 6.0
    assert capture.n_captures == 1
    assert len(notes) == 1
    assert "RuntimeError: operation not permitted when stream is capturing)" in notes[0]


def test_a_capture_without_room_costs_its_own_shape_the_graph_and_is_not_said() -> None:
    capture = FixedMemory(torch.OutOfMemoryError("no room"))
    cache = GraphCache(capture, pytest.fail)
    for key in "aaab":
        assert float(run(cache, key, 3.0)[0]) == 6.0
    assert capture.n_captures == 2


@pytest.mark.parametrize("timesteps", [1, 6])
@pytest.mark.parametrize("sampler", ["2m", "ancestral"])
def test_the_sampler_by_replay_is_the_eager_one(
    checkpoint: Checkpoint, timesteps: int, sampler: str
) -> None:
    capture = FixedMemory()
    plan = plan_sampling(sampler, timesteps - 1, checkpoint.schedule)
    job = SamplingJob(plan, is_measured=True, is_scored=False)
    network, dtype = checkpoint.network, torch.float32
    eager = DeviceSampler(network, dtype)
    replaying = DeviceSampler(network, dtype, capture=capture, on_note=pytest.fail)
    calls: list[int] = []
    for i in range(4):
        opt_v2, s1 = (torch.from_numpy(array) for array in tile_arrays(2, 24)[:2])
        opt_v2 = opt_v2 + 0.01 * i
        n_noises = 1 + plan.n_step_noises if plan.n_calls else 0
        noises = [torch.randn(opt_v2.shape) for _ in range(n_noises)]
        with torch.inference_mode():
            expected = eager.sample(opt_v2, s1, noises, job, lambda: None)
            results = replaying.sample(opt_v2, s1, noises, job, lambda: calls.append(1))
        for result, right in zip(results, expected, strict=True):
            torch.testing.assert_close(result, right, rtol=0, atol=1e-6)
        assert len(calls) > i
    # The first batch of a shape prepares nothing: it may be the only one.
    assert (capture.n_captures, capture.n_replays) == (1, 3)


def test_large_batches_need_no_graph(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_sampler, "_MOST_GRAPH_PX", 2 * 24 * 24)
    capture = FixedMemory()
    sampler = DeviceSampler(checkpoint.network, torch.float32, capture=capture)
    job = SamplingJob(plan_sampling("2m", 0, checkpoint.schedule))
    for n_tiles, n_captures in ((3, 0), (2, 1)):
        tiles = [torch.from_numpy(array) for array in tile_arrays(n_tiles, 24)[:2]]
        with torch.inference_mode():
            for _ in range(2):
                sampler.sample(*tiles, [], job, lambda: None)
        assert capture.n_captures == n_captures


class OperationLog(TorchDispatchMode):
    """Notes which operations are run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        self.names.add(str(operation))
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("sampler", ["2m", "euler", "heun", "ancestral"])
@pytest.mark.parametrize("size", [(120, 120), (99, 200)])
def test_nothing_is_done_that_a_capture_forbids(
    monkeypatch: pytest.MonkeyPatch, sampler: str, size: tuple[int, int]
) -> None:
    """On a device without memory: no value can be looked at, no other device be mixed in."""
    # Which that device does not know.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    network = GroundingNetwork().to("meta")
    plan = plan_sampling(sampler, 5, NoiseSchedule())
    job = SamplingJob(plan, is_measured=True, is_scored=True)
    device_side = DeviceSampler(network, torch.float32)
    opt_v2, s1 = (torch.empty(2, n_bands, *size, device="meta") for n_bands in (4, 2))
    noises = [torch.empty_like(opt_v2) for _ in range(1 + plan.n_step_noises)]
    with torch.inference_mode():
        for _ in range(2):  # as before a capture: the first may empty a full store of blurs
            device_side.sample(opt_v2, s1, noises, job, lambda: None)
        with OperationLog() as log:
            results = device_side.sample(opt_v2, s1, noises, job, lambda: None)
    assert [result.device.type for result in results] == ["meta", "meta"]
    assert results[1].dtype == torch.float64
    forbidden = ("_local_scalar_dense", "nonzero", "rand", "lift_fresh", "unique", "masked_select")
    assert not [name for name in log.names if any(word in name for word in forbidden)]
    assert any("conv2d" in name or "convolution" in name for name in log.names)
