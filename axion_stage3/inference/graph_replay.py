"""CUDA graphs of the whole sampler: hundreds of kernels that are launched as one.

At small batches a GPU computes faster than a host can launch: the graph of a batch of one shape,
encoder, steps, statistics and all, is captured once and replayed from then on. A graph reads and
writes always the same memory; inputs are copied in before and results copied out behind it, on the
same stream, so that the order of the stream is all the protection they need and all graphs can
share one pool of memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import torch

from axion_stage3.inference.devices import brief_reason, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from torch import Tensor

    DeviceFunction = Callable[..., list[Tensor]]

_MOST_GRAPHS: Final = 8
_WARM_UPS: Final = 2


class Replay(Protocol):
    """A captured function."""

    def __call__(self) -> None:
        """Compute anew from what is in the inputs' memory into the results' memory."""
        ...


class Capture(Protocol):
    """Captures functions; :class:`CudaCapture`, or a stand-in in tests."""

    def __call__(
        self, function: DeviceFunction, inputs: Sequence[Tensor]
    ) -> tuple[Replay, list[Tensor]]:
        """Return the replay of ``function(*inputs)`` and the memory of its results."""
        ...


class CudaCapture:
    """Captures CUDA graphs on one stream, into one pool of memory.

    Args:
        stream: The stream; it must not be the default one.
    """

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, function: DeviceFunction, inputs: Sequence[Tensor]
    ) -> tuple[Replay, list[Tensor]]:
        """Warm up, capture, and return the replay and the memory of its results."""
        # What is made once (workspaces of libraries, plans, compiled kernels, matrices of filters)
        # is made here, on the very stream: it could not be made during capture.
        for _ in range(_WARM_UPS):
            function(*inputs)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads go on allocating pinned memory and waiting for events.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            results = function(*inputs)
        return graph.replay, results


@dataclass(frozen=True, slots=True)
class _Captured:
    replay: Replay
    inputs: tuple[Tensor, ...]
    results: list[Tensor]
    constants: Sequence[Tensor]
    """Tensors from caches that the graph reads: a cache may forget them, the graph must not."""


class GraphCache:
    """Runs functions by their graphs; to be used by one thread at a time.

    Args:
        capture: How graphs are captured.
        on_note: Is told, once, why there are no graphs.
    """

    def __init__(self, capture: Capture, on_note: Callable[[str], None]) -> None:
        self._capture = capture
        self._on_note = on_note
        self._graphs: OrderedDict[Hashable, _Captured] = OrderedDict()
        self._too_large: set[Hashable] = set()
        self._can_capture = True

    def run(
        self,
        key: Hashable,
        function: DeviceFunction,
        inputs: Sequence[Tensor],
        constants: Callable[[], Sequence[Tensor]],
    ) -> list[Tensor]:
        """Return ``function(*inputs)``.

        Args:
            key: Equal for equal shapes, types and functions.
            function: Computes on the current stream, without waiting for it and without drawing
                random numbers.
            inputs: Its inputs.
            constants: All other tensors that it reads and that nothing else is sure to keep.
        """
        captured = self._graphs.get(key)
        if captured is None and self._can_capture and key not in self._too_large:
            captured = self._captured(key, function, inputs, constants)
        if captured is None:
            return function(*inputs)
        self._graphs.move_to_end(key)
        for static, given in zip(captured.inputs, inputs, strict=True):
            static.copy_(given)
        captured.replay()
        return [result.clone() for result in captured.results]

    def clear(self) -> None:
        """Forget all graphs: their memory is needed for something else."""
        self._graphs.clear()

    def _captured(
        self,
        key: Hashable,
        function: DeviceFunction,
        inputs: Sequence[Tensor],
        constants: Callable[[], Sequence[Tensor]],
    ) -> _Captured | None:
        while len(self._graphs) >= _MOST_GRAPHS:
            self._graphs.popitem(last=False)
        try:
            static = tuple(tensor.clone() for tensor in inputs)
            replay, results = self._capture(function, static)
            captured = _Captured(replay, static, results, constants())
        except Exception as error:  # noqa: BLE001 - whatever it is, tiles can be computed without
            self._give_up(key, error)
            return None
        self._graphs[key] = captured
        return captured

    def _give_up(self, key: Hashable, error: Exception) -> None:
        """Memory that ran out costs this shape its graph; anything else ends capturing."""
        # Ending a capture that failed raises an error of its own.
        causes = [cause for cause in (error, error.__context__) if cause is not None]
        if any(map(is_out_of_memory, causes)):
            self._too_large.add(key)
            self._graphs.clear()
            return
        self._can_capture = False
        self._on_note(f"No CUDA graphs ({brief_reason(error)}); small batches will be slower.")
