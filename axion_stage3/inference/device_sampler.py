"""What a batch goes through on the device: encoder, steps, statistics; eagerly or as one graph."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from axion_stage3.diffusion.highpass import blur_matrices
from axion_stage3.diffusion.residual_denoiser import denoise_at_level
from axion_stage3.diffusion.samplers import sample_residual
from axion_stage3.inference.compilation import Compiler
from axion_stage3.inference.device_grounding import constants_of
from axion_stage3.inference.device_statistics import measure_batch
from axion_stage3.inference.devices import is_out_of_memory
from axion_stage3.inference.graph_replay import CudaCapture, GraphCache
from axion_stage3.inference.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from torch import Tensor

    from axion_stage3.diffusion.network import Encoding, ExpectedDetail, GroundingNetwork
    from axion_stage3.diffusion.residual_denoiser import Levels
    from axion_stage3.diffusion.samplers import SamplingPlan, StepNoise
    from axion_stage3.inference.graph_replay import Capture

_MOST_GRAPH_PX: Final = 2**20
"""Larger batches keep the device busy for longer than it takes to launch their kernels."""

_REMEMBERED_SHAPES: Final = 1024


@dataclass(frozen=True, slots=True)
class SamplingJob:
    """What is to be done with a batch.

    Attributes:
        plan: Sampler and noise levels.
        is_measured: Whether the figures of the tiles are wanted.
        is_scored: Whether the measures of the grounding score are among them.
    """

    plan: SamplingPlan
    is_measured: bool = False
    is_scored: bool = False


class DeviceSampler:
    """A network on a device, and the ways to run it; safe to use from several threads.

    Args:
        network: The network, on its device and in its precision.
        dtype: That precision.
        is_compiled: Whether torch.compile is tried.
        has_graphs: Whether CUDA graphs are; without effect elsewhere.
        on_note: Is told why something that was to be tried does not work.
        capture: How graphs are captured; None for the device's own way.

    Attributes:
        transfers: The way to the device and back.
    """

    def __init__(
        self,
        network: GroundingNetwork,
        dtype: torch.dtype,
        *,
        is_compiled: bool = False,
        has_graphs: bool = True,
        on_note: Callable[[str], None] = lambda _: None,
        capture: Capture | None = None,
    ) -> None:
        self._network = network
        self._dtype = dtype
        self._device = network.optical_mean.device
        self.transfers = Transfers(self._device)
        if capture is None and has_graphs and (stream := self.transfers.compute_stream) is not None:
            capture = CudaCapture(stream)
        self._graphs = None if capture is None else GraphCache(capture, on_note)
        # Kept for good: graphs read them.
        self._levels: dict[tuple[float, ...], Levels] = {}
        self._shapes = _ShapeCounter()
        self._plain = _Parts(
            network.encode, network.expect_detail, denoise_at_level, network.compose
        )
        self._fast = self._plain
        if is_compiled:
            compiler = Compiler(on_note)
            self._fast = _Parts(
                compiler.compiled(network.encode),
                compiler.compiled(network.expect_detail),
                compiler.compiled(denoise_at_level),
                compiler.compiled(network.compose),
            )

    def sample(
        self,
        opt_v2: Tensor,
        s1: Tensor,
        noises: Sequence[Tensor],
        job: SamplingJob,
        before_call: Callable[[], None],
    ) -> list[Tensor]:
        """Ground a batch with one draw, within ``transfers.submitting()``.

        Args:
            opt_v2: (B, 4, H, W) float32 on the device, reflectance.
            s1: (B, 2, H, W) float32 on the device, backscatter in dB.
            noises: (B, 4, H, W) each, on the device: the first one, then those of the steps.
            job: What is to be done.
            before_call: Called before the network is; what it raises ends the batch.

        Returns:
            opt_final, (B, 4, H, W) float32, then the figures, (B, K) float64, if they are wanted.
        """
        key = job, opt_v2.shape
        is_repeated = self._shapes.has_come_before(key)
        parts = self._fast if is_repeated else self._plain
        self.levels(job.plan)

        def compute(
            opt_v2: Tensor, s1: Tensor, *noises: Tensor, before_call: Callable[[], None] = _nothing
        ) -> list[Tensor]:
            encoding = self.encode(opt_v2, s1, before_call, parts)
            opt_final = encoding.mean
            if noises:
                expected = self.expect_detail(encoding, parts)
                opt_final = self.draw(
                    expected, job.plan, noises[0], noises[1:].__getitem__, before_call, parts
                )
            if not job.is_measured:
                return [opt_final]
            return [opt_final, self.measure(opt_final, opt_v2, s1, is_scored=job.is_scored)]

        inputs = [opt_v2, s1, *noises]
        height, width = opt_v2.shape[-2:]
        is_small = len(opt_v2) * height * width <= _MOST_GRAPH_PX
        if self._graphs is None or not (is_small and is_repeated):
            return compute(*inputs, before_call=before_call)
        before_call()
        try:
            return self._graphs.run(
                key, compute, inputs, lambda: self._constants(job, height, width)
            )
        except Exception as error:
            if is_out_of_memory(error):
                self._graphs.clear()
            raise

    def encode(
        self,
        opt_v2: Tensor,
        s1: Tensor,
        before_call: Callable[[], None],
        parts: _Parts | None = None,
    ) -> Encoding:
        """Run the encoder; arguments as for :meth:`sample`."""
        before_call()
        with self._arithmetic():
            return (parts or self._plain).encode(opt_v2, s1)

    def expect_detail(self, encoding: Encoding, parts: _Parts | None = None) -> ExpectedDetail:
        """Tell what is to be drawn, always in float32; ``parts`` as for :meth:`draw`."""
        with self._exact_convolutions():
            return (parts or self._plain).expect_detail(encoding)

    def draw(
        self,
        expected: ExpectedDetail,
        plan: SamplingPlan,
        initial: Tensor,
        step_noise: StepNoise,
        before_call: Callable[[], None],
        parts: _Parts | None = None,
    ) -> Tensor:
        """Draw the detail of encoded tiles.

        Args:
            expected: What is to be drawn.
            plan: Sampler and noise levels.
            initial: Noise to begin with, (B, 4, H, W).
            step_noise: Gives the noise of a step, (B, 4, H, W).
            before_call: As for :meth:`sample`.
            parts: The parts of the network that compute.

        Returns:
            opt_final, (B, 4, H, W) float32; the mean where the plan leaves no room for a draw.
        """
        if plan.n_calls == 0:
            return expected.mean
        network, parts = self._network, parts or self._plain
        levels = self.levels(plan)

        def denoise(noisy: Tensor, sigma: float) -> Tensor:
            before_call()
            return denoiser(noisy, sigma)

        with self._arithmetic():
            denoiser = network.bind(expected, plan.sigmas, levels=levels, denoise=parts.denoise)
            residual = sample_residual(
                denoise, network.pack(initial), plan, lambda step: network.pack(step_noise(step))
            )
        return parts.compose(expected, residual)

    def measure(self, opt_final: Tensor, opt_v2: Tensor, s1: Tensor, *, is_scored: bool) -> Tensor:
        """Compute the figures of tiles where they are; see :func:`measure_batch`."""
        with self._exact_convolutions():
            return measure_batch(opt_final, opt_v2, s1, is_scored=is_scored)

    def levels(self, plan: SamplingPlan) -> Levels:
        """The denoiser's weights at the noise levels, computed once a plan."""
        levels = self._levels.get(plan.sigmas)
        if levels is None:
            with self._arithmetic():
                levels = self._levels[plan.sigmas] = self._network.levels(plan.sigmas)
        return levels

    def _constants(self, job: SamplingJob, height: int, width: int) -> list[Tensor]:
        """What a graph reads beside its inputs and the weights."""
        constants = blur_matrices(height, width, self._device)
        if job.is_scored:
            constants += constants_of(height, width, self._device)
        return constants

    def _arithmetic(self) -> AbstractContextManager[None]:
        if self._dtype == torch.float32:
            return self._exact_convolutions()
        # The weights have this precision already: a cache of cast weights would only be in the way
        # of graphs.
        return torch.autocast(self._device.type, self._dtype, cache_enabled=False)

    def _exact_convolutions(self) -> AbstractContextManager[None]:
        """By default torch lets convolutions of float32 on CUDA round to 10 bits (TF32)."""
        if self._device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(
            enabled=True, benchmark=torch.backends.cudnn.benchmark, allow_tf32=False
        )


class _Parts(NamedTuple):
    """The parts of the network, as they are or compiled."""

    encode: Callable[[Tensor, Tensor], Encoding]
    expect_detail: Callable[[Encoding], ExpectedDetail]
    denoise: Callable[..., Tensor]
    compose: Callable[[ExpectedDetail, Tensor], Tensor]


class _ShapeCounter:
    """Tells which shapes come again: for one that does not, nothing is prepared."""

    def __init__(self) -> None:
        self._seen: set[Hashable] = set()

    def has_come_before(self, key: Hashable) -> bool:
        if key in self._seen:
            return True
        if len(self._seen) >= _REMEMBERED_SHAPES:
            self._seen.clear()
        self._seen.add(key)
        return False


def _nothing() -> None:
    pass
