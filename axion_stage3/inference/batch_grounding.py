"""One batch through the network, whatever a tile or the memory does to it.

A batch that fails is tried again tile by tile. A batch that runs out of memory is halved, and the
ceiling is remembered for its shape; a single tile that does not fit is grounded in small windows.
Nothing of this changes the number of timesteps.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from axion_stage3.errors import ResourceError
from axion_stage3.inference.device_statistics import figures_of
from axion_stage3.inference.devices import free_memory, is_out_of_memory
from axion_stage3.inference.predictor import DEFAULT_WINDOW_PX, Prediction
from axion_stage3.inference.tile_stages import GroundedTile, ReadTile
from axion_stage3.runs.outcome import TileOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from axion_stage3.inference.batch_queue import Shape
    from axion_stage3.inference.batch_sizing import BatchSizes

_SMALLEST_WINDOW_PX: Final = 256


class BatchDropped(Exception):  # noqa: N818 - no error: the run stops, the batch in flight with it
    """Raised between two calls of the network to abandon a batch."""


class BatchPredict(Protocol):
    """Grounds one batch, such as ``Predictor.predict`` with the run's options bound."""

    def __call__(
        self,
        opt_v2: NDArray[np.float32],
        s1: NDArray[np.float32],
        names: Sequence[str],
        *,
        window_px: int,
    ) -> Prediction:
        """See :meth:`axion_stage3.inference.predictor.Predictor.predict`."""
        ...


class BatchGrounder:
    """Grounds batches of one shape; safe to use from several threads.

    Args:
        predict: Grounds one batch.
        sizes: Learns how long batches take and which do not fit.
        device: The device that computes.
    """

    def __init__(self, predict: BatchPredict, sizes: BatchSizes, device: torch.device) -> None:
        self._predict = predict
        self._sizes = sizes
        self._device = device
        self._window_px: dict[Shape, int] = {}

    def __call__(self, batch: Sequence[ReadTile]) -> Iterator[GroundedTile | TileOutcome]:
        """Yield each tile grounded, or the outcome that says why it could not be.

        Raises:
            BatchDropped: The run is to stop.
        """
        waiting = deque([list(batch)])
        while waiting:
            part = waiting.popleft()
            n_fit = self._sizes.size(part[0].shape)
            if len(part) > n_fit:
                waiting.extendleft([part[n_fit:], part[:n_fit]])
                continue
            result = self._attempt(part)
            if isinstance(result, Prediction):
                yield from _unstack(part, result)
            elif is_out_of_memory(result) and self._makes_room(part):
                waiting.appendleft(part)
            elif len(part) > 1:
                waiting.extendleft([tile] for tile in reversed(part))
            else:
                yield _failure(part[0], result)

    def _attempt(self, batch: list[ReadTile]) -> Prediction | Exception:
        shape = batch[0].shape
        began = time.perf_counter()
        try:
            prediction = self._predict(
                np.stack([tile.tile.opt_v2 for tile in batch]),
                np.stack([tile.tile.s1 for tile in batch]),
                [tile.tile.name for tile in batch],
                window_px=self._window_px.get(shape, DEFAULT_WINDOW_PX),
            )
        except BatchDropped:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a batch does, it is these tiles
            # The frames of the traceback keep the tensors that used the memory up.
            return error.with_traceback(None)
        finally:
            seconds = time.perf_counter() - began
            for tile in batch:
                spent = tile.stage_seconds.get("compute", 0.0)
                tile.stage_seconds["compute"] = spent + seconds / len(batch)
        self._sizes.record(shape, len(batch), seconds)
        return prediction

    def _makes_room(self, batch: list[ReadTile]) -> bool:
        """Lower what the next attempt needs; False if it cannot be lowered."""
        free_memory(self._device)
        shape = batch[0].shape
        if len(batch) > 1:
            self._sizes.lower(shape, len(batch))
            return True
        window_px = self._window_px.get(shape, DEFAULT_WINDOW_PX)
        if min(window_px, max(shape)) <= _SMALLEST_WINDOW_PX:
            return False
        self._window_px[shape] = _SMALLEST_WINDOW_PX
        return True


def _unstack(batch: Sequence[ReadTile], prediction: Prediction) -> Iterator[GroundedTile]:
    opt_final = prediction.opt_final.numpy()
    std = None if prediction.std is None else prediction.std.numpy()
    figures = None if prediction.figures is None else prediction.figures.numpy()
    for i, tile in enumerate(batch):
        yield GroundedTile(
            tile,
            opt_final[i],
            None if std is None else std[i],
            None if figures is None else figures_of(figures[i]),
        )


def _failure(tile: ReadTile, error: Exception) -> TileOutcome:
    name = tile.tile.name
    if is_out_of_memory(error):
        height, width = tile.shape
        error = ResourceError(
            f"Memory ran out on {name} ({height} x {width} px), even alone and in the smallest "
            "windows.",
            hint="Free memory on the device, or use --device cpu.",
            tile_name=name,
        )
    return TileOutcome.of_error(
        name,
        error,
        phase="compute",
        fingerprint=tile.fingerprint,
        seconds=sum(tile.stage_seconds.values()),
    )
