"""The way of tiles to the device and back, beside computing.

On CUDA three streams share the work: one uploads, one computes, one downloads; what follows waits
for events on the device, never for the host. The host waits once a batch, for its download. While
it does, another worker prepares and submits the next batch: so uploads and downloads are double-
buffered by as many batches as there are workers. Host memory is pinned; torch's allocator of pinned
memory hands a buffer out again only when the copies that used it are done. On the CPU nothing is
copied.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor


class Transfers:
    """Moves tensors to a device and back; one for all threads that compute on it.

    Args:
        device: The device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._streams = _Streams(device) if device.type == "cuda" else None
        self._lock = Lock()

    @property
    def compute_stream(self) -> torch.cuda.Stream | None:
        """The stream that computes; None where there are no streams."""
        return None if self._streams is None else self._streams.compute

    def stage(self, tiles: Tensor) -> Tensor:
        """Copy tiles to where the device can fetch them by itself; to be done before submitting."""
        return tiles if self._streams is None else tiles.contiguous().pin_memory()

    def submitting(self) -> AbstractContextManager[None]:
        """Everything of one batch that is submitted inside is in one piece on the device's streams.

        On the CPU, where submitting is computing, several threads do so side by side.
        """
        return nullcontext() if self._streams is None else self._submitting(self._streams)

    @contextmanager
    def _submitting(self, streams: _Streams) -> Iterator[None]:
        with self._lock, torch.cuda.device(self._device), torch.cuda.stream(streams.compute):
            yield

    def upload(self, tiles: Tensor) -> Tensor:
        """Bring staged tiles to the device; what is submitted afterwards finds them there."""
        if self._streams is None:
            return tiles.to(self._device)
        streams = self._streams
        with torch.cuda.stream(streams.upload):
            uploaded = tiles.to(self._device, non_blocking=True)
        streams.compute.wait_stream(streams.upload)
        # Without this the memory could be handed to the next upload while it is still being read.
        uploaded.record_stream(streams.compute)
        return uploaded

    def download(self, results: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        """Begin to fetch results.

        Args:
            results: Tensors that were computed inside :meth:`submitting`.

        Returns:
            A function to be called outside of it, which waits and returns them on the CPU.
        """
        if self._streams is None:
            fetched = [result.cpu() for result in results]
            return lambda: fetched
        streams = self._streams
        streams.download.wait_stream(streams.compute)
        with torch.cuda.stream(streams.download):
            fetched = [
                torch.empty_like(result, device="cpu", pin_memory=True) for result in results
            ]
            for host, result in zip(fetched, results, strict=True):
                host.copy_(result, non_blocking=True)
                result.record_stream(streams.download)
            # Blocking: a thread that waits leaves its core to those that read and write.
            is_done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            is_done.record(streams.download)

        def wait() -> list[Tensor]:
            is_done.synchronize()
            return fetched

        return wait


class _Streams:
    def __init__(self, device: torch.device) -> None:
        # The stubs of torch leave the constructor without types.
        self.upload = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.compute = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.download = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # The weights were brought here by the default stream.
        torch.cuda.synchronize(device)
