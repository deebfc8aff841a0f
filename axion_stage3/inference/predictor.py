"""From arrays to grounded arrays: one batch of tiles of one size, on one device."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

from axion_stage3.config import MAX_TIMESTEPS
from axion_stage3.diffusion.checkpoint import Checkpoint, load_checkpoint
from axion_stage3.diffusion.samplers import SamplingPlan, plan_sampling
from axion_stage3.errors import TilePixelsError, TileShapeError, TileUnitsError, UsageError
from axion_stage3.inference.batch_noise import Expand, WindowNoise, as_it_is, noise_of
from axion_stage3.inference.device_sampler import DeviceSampler, SamplingJob
from axion_stage3.inference.device_statistics import measure_batch
from axion_stage3.inference.devices import Precision, resolve_device, resolve_precision
from axion_stage3.inference.memory_reuse import keep_freed_memory
from axion_stage3.inference.windows import predict_in_windows
from axion_stage3.statistics.grounding_measures import MIN_SCORED_PX
from axion_stage3.tiles.bands import MIN_TILE_PX, OPTICAL_BANDS, RADAR_BANDS
from axion_stage3.tiles.units import check_backscatter_db, check_reflectance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from axion_stage3.diffusion.network import ExpectedDetail
    from axion_stage3.tiles.window import Window

Array: TypeAlias = "Tensor | NDArray[np.floating[Any]]"

DEFAULT_WINDOW_PX: Final = 512
"""Tiles with a longer side than this are grounded in windows of this size."""

_GROUND_BATCH_PX: Final = 2**20
_MEASURING_DEVICES: Final = ("cpu", "cuda")
"""Apple's GPUs have no float64."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A batch of grounded tiles.

    Attributes:
        opt_final: The tiles, (B, 4, H, W) float32 on the CPU, reflectance.
        std: Standard deviation over the draws, (B, 4, H, W) float32 on the CPU, reflectance; None
            with a single draw, zero where the timesteps leave no room for a draw.
        mean: Mean over the draws, like ``std``.
        figures: What the statistics of each tile are made from, (B, K) float64 on the CPU (see
            :mod:`axion_stage3.inference.device_statistics`); None if they were not asked for.
    """

    opt_final: Tensor
    std: Tensor | None = None
    mean: Tensor | None = None
    figures: Tensor | None = None


class Predictor:
    """A checkpoint's network on a device.

    What it returns for a tile depends on the tile, its name and the arguments of :meth:`predict`,
    not on the other tiles of the batch.

    Args:
        checkpoint: Network, schedule and default timesteps; it is not changed.
        device: See :func:`~axion_stage3.inference.devices.resolve_device`.
        precision: Of the network; what goes in and out is float32.
        is_compiled: Whether torch.compile is tried, for shapes that come more than once.
        has_graphs: Whether small batches are replayed as CUDA graphs; without effect elsewhere.
        on_note: Is told why something that was to be tried does not work.
        before_call: Called before each call of the network. What it raises ends the prediction.

    Attributes:
        checkpoint: As given.
        device: The device that computes.
        dtype: Of the network's weights and of its convolutions.

    Raises:
        UsageError: Unknown device or precision.
        ResourceError: There is no such device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        is_compiled: bool = False,
        has_graphs: bool = True,
        on_note: Callable[[str], None] = lambda _: None,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self.checkpoint = checkpoint
        self.device = resolve_device(device)
        self.dtype = resolve_precision(precision, self.device)
        self._before_call = before_call
        keep_freed_memory()
        network = checkpoint.network
        if self.device.type != "cpu" or self.dtype != torch.float32:
            network = deepcopy(checkpoint.network).to(self.device)
            network.reduce_precision(self.dtype)
        self._sampler = DeviceSampler(
            network, self.dtype, is_compiled=is_compiled, has_graphs=has_graphs, on_note=on_note
        )

    def predict(
        self,
        opt_v2: Array,
        s1: Array,
        names: Sequence[str],
        *,
        timesteps: int | None = None,
        sampler: str = "2m",
        seed: int = 0,
        samples: int = 1,
        window_px: int = DEFAULT_WINDOW_PX,
        is_measured: bool = False,
        is_scored: bool = False,
    ) -> Prediction:
        """Ground a batch of tiles of one size.

        Args:
            opt_v2: Stage 2 optical tiles, (B, 4, H, W) float32, finite reflectance; H, W >= 16.
            s1: Sentinel-1 tiles, (B, 2, H, W) float32, finite backscatter in dB.
            names: The tiles' full names; together with ``seed`` they decide the noise.
            timesteps: Calls of the network, the mean included; None for the checkpoint's number.
            sampler: Name of the sampler.
            seed: Seed of the run.
            samples: Number of draws; ``opt_final`` is the first of them, whatever their number.
            window_px: Tiles with a longer side are grounded in windows of this size, a multiple
                of 16 and at least 256.
            is_measured: Whether the figures of the tiles are wanted.
            is_scored: Whether the measures of the grounding score are among them; they are left out
                of tiles that are too small for it.

        Raises:
            TileShapeError: The arrays are no batch of pairs.
            UsageError: Unknown sampler, or timesteps not from 1 to 1000.
        """
        optical, radar = torch.as_tensor(opt_v2), torch.as_tensor(s1)
        _check_shapes(optical, radar)
        _check_names(names, len(optical))
        plan = self._plan(timesteps, sampler)
        height, width = optical.shape[-2:]
        shape = len(OPTICAL_BANDS), height, width
        noise = noise_of(self.device, seed, tuple(names), shape)

        is_scored = is_scored and min(height, width) >= MIN_SCORED_PX
        is_whole = max(height, width) <= window_px and self.device.type in _MEASURING_DEVICES
        job = SamplingJob(plan, is_measured and is_whole, is_scored)
        figures: Tensor | None = None

        def ground_window(window: Window) -> list[Tensor]:
            nonlocal figures
            tiles = window.cut(optical), window.cut(radar)
            parts, figures = self._ground(*tiles, job, samples, *noise.within(window))
            return parts

        with torch.inference_mode():
            parts = predict_in_windows(ground_window, height, width, window_px)
            if is_measured and not is_whole:
                figures = measure_batch(parts[0], optical, radar, is_scored=is_scored)
        std, mean = parts[1:] if samples > 1 else (None, None)
        return Prediction(parts[0], std, mean, figures)

    def predict_window(
        self,
        opt_v2: Array,
        s1: Array,
        noise: WindowNoise,
        *,
        timesteps: int | None = None,
        sampler: str = "2m",
        samples: int = 1,
    ) -> Prediction:
        """Ground one window of a scene whose noise is drawn elsewhere.

        Args:
            opt_v2: The window of the optical scene, (1, 4, y, x), as for :meth:`predict`.
            s1: The window of the radar scene, (1, 2, y, x).
            noise: The window's noise.
            timesteps: As for :meth:`predict`.
            sampler: As for :meth:`predict`.
            samples: As for :meth:`predict`.

        Raises:
            TileShapeError: The arrays are no pair.
            UsageError: Unknown sampler, or timesteps not from 1 to 1000.
        """
        optical, radar = torch.as_tensor(opt_v2), torch.as_tensor(s1)
        _check_shapes(optical, radar)
        plan = self._plan(timesteps, sampler)
        with torch.inference_mode():
            parts, _ = self._ground(optical, radar, SamplingJob(plan), samples, noise, as_it_is)
        return Prediction(*parts)

    def _plan(self, timesteps: int | None, sampler: str) -> SamplingPlan:
        if timesteps is not None and timesteps > MAX_TIMESTEPS:
            raise UsageError(
                f"{timesteps} timesteps are too many.", hint=f"Use {MAX_TIMESTEPS} or fewer."
            )
        n_calls = (self.checkpoint.timesteps if timesteps is None else timesteps) - 1
        return plan_sampling(sampler, n_calls, self.checkpoint.schedule)

    def _ground(
        self,
        opt_v2: Tensor,
        s1: Tensor,
        job: SamplingJob,
        samples: int,
        noise: WindowNoise,
        expand: Expand,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return opt_final and, with several draws, their spread and mean; then the figures.

        ``expand`` turns what ``noise`` returned into noise, on the device.
        """
        transfers = self._sampler.transfers
        staged = [transfers.stage(tiles) for tiles in (opt_v2, s1)]
        if samples == 1 and job.plan.n_calls:
            steps = range(job.plan.n_step_noises)
            noises = [noise(0), *(noise(0, step) for step in steps)]
            staged += map(transfers.stage, noises)
        with transfers.submitting():
            optical, radar, *noises = map(transfers.upload, staged)
            if samples == 1:
                noises = [*map(expand, noises)]
                results = self._sampler.sample(optical, radar, noises, job, self._before_call)
            else:

                def fetch(draw: int, step: int | None = None) -> Tensor:
                    return expand(transfers.upload(transfers.stage(noise(draw, step))))

                results = self._spread(optical, radar, job.plan, samples, fetch)
                if job.is_measured:
                    results.append(
                        self._sampler.measure(results[0], optical, radar, is_scored=job.is_scored)
                    )
            wait = transfers.download(results)
        fetched = wait()
        return (fetched[:-1], fetched[-1]) if job.is_measured else (fetched, None)

    def _spread(
        self, opt_v2: Tensor, s1: Tensor, plan: SamplingPlan, samples: int, fetch: WindowNoise
    ) -> list[Tensor]:
        """Return the first draw, and spread and mean of all; ``fetch`` gives noise there."""
        encoding = self._sampler.encode(opt_v2, s1, self._before_call)
        expected = self._sampler.expect_detail(encoding)
        first = self._draw(expected, plan, fetch, 0)
        # Welford's algorithm: the memory does not grow with the number of draws.
        mean, squares = first.clone(), torch.zeros_like(first)
        for draw in range(1, samples):
            tiles = self._draw(expected, plan, fetch, draw)
            change = tiles - mean
            mean += change / (draw + 1)
            squares += change * (tiles - mean)
        return [first, (squares / (samples - 1)).sqrt(), mean]

    def _draw(
        self, expected: ExpectedDetail, plan: SamplingPlan, fetch: WindowNoise, draw: int
    ) -> Tensor:
        initial = fetch(draw) if plan.n_calls else expected.mean
        return self._sampler.draw(
            expected, plan, initial, lambda step: fetch(draw, step), self._before_call
        )


def ground(
    opt_v2: Array,
    s1: Array,
    *,
    checkpoint: Checkpoint | Path | str | None = None,
    timesteps: int | None = None,
    sampler: str = "2m",
    seed: int = 0,
    device: str = "auto",
    names: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Ground optical tiles in what the radar saw.

    Args:
        opt_v2: Stage 2 optical tiles (blue, green, red, NIR), (B, 4, H, W), reflectance 0..1; any
            floating-point type; H, W >= 16.
        s1: Sentinel-1 tiles (VV, VH), (B, 2, H, W), backscatter in dB.
        checkpoint: Checkpoint or path of one; None for the bundled reference checkpoint.
        timesteps: Calls of the network; 1 gives the minimum-error answer. None for the
            checkpoint's number.
        sampler: ``2m``, ``euler``, ``heun`` or ``ancestral``.
        seed: Seed of the noise.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        names: Names that the noise of each tile follows from; with the names of the files the
            result is that of :func:`~axion_stage3.inference.grounding_run.run_inference`. None
            for ``0``, ``1``, ...

    Returns:
        The grounded tiles, (B, 4, H, W) float32, reflectance.

    Raises:
        TileShapeError: The arrays are no batch of pairs.
        TilePixelsError: A value is NaN or infinite.
        TileUnitsError: A tile looks like digital numbers, linear backscatter or normalised values.
        UsageError: Unknown device or sampler, or timesteps not from 1 to 1000.
        CheckpointError: The checkpoint is missing or unfit.
        ResourceError: There is no such device.
    """
    optical, radar = _as_float32(opt_v2), _as_float32(s1)
    names = [str(i) for i in range(len(optical))] if names is None else names
    _check_shapes(optical, radar)
    _check_names(names, len(optical))
    for key, tiles in {"opt_v2": optical, "s1": radar}.items():
        if not bool(torch.isfinite(tiles).all()):
            raise TilePixelsError(f"{key} has NaN or infinite values.", hint="Fill or drop them.")
    _check_units(optical, radar, names)
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = load_checkpoint(checkpoint)
    predictor = Predictor(checkpoint, device)
    # Tiles do not depend on their batch; smaller ones bound the memory.
    n_batch = max(1, _GROUND_BATCH_PX // (optical.shape[-1] * optical.shape[-2]))
    batches = [
        predictor.predict(
            optical[i : i + n_batch],
            radar[i : i + n_batch],
            names[i : i + n_batch],
            timesteps=timesteps,
            sampler=sampler,
            seed=seed,
        ).opt_final
        for i in range(0, len(optical), n_batch)
    ]
    return np.concatenate([batch.numpy() for batch in batches])


def _as_float32(tiles: Array) -> Tensor:
    if isinstance(tiles, Tensor):
        return tiles.detach().to("cpu", torch.float32)
    # A copy: the array of a caller may be read-only, which torch does not know, or flipped, which
    # it cannot hold.
    return torch.from_numpy(np.array(tiles, dtype=np.float32))


def _check_units(opt_v2: Tensor, s1: Tensor, names: Sequence[str]) -> None:
    for name, optical, radar in zip(names, opt_v2.cpu().numpy(), s1.cpu().numpy(), strict=True):
        try:
            check_reflectance(optical)
            check_backscatter_db(radar)
        except TileUnitsError as error:
            error.tile_name = name
            error.hint = "Give reflectance 0..1 and backscatter in dB."
            raise


def _check_shapes(opt_v2: Tensor, s1: Tensor) -> None:
    is_batch = (
        opt_v2.ndim == s1.ndim == 4
        and opt_v2.shape[1] == len(OPTICAL_BANDS)
        and s1.shape[1] == len(RADAR_BANDS)
        and opt_v2.shape[0] == s1.shape[0] > 0
        and opt_v2.shape[2:] == s1.shape[2:]
        and min(opt_v2.shape[2:]) >= MIN_TILE_PX
    )
    if not is_batch:
        raise TileShapeError(
            f"opt_v2 has shape {tuple(opt_v2.shape)} and s1 {tuple(s1.shape)}; a batch has "
            f"(B, {len(OPTICAL_BANDS)}, H, W) and (B, {len(RADAR_BANDS)}, H, W) with "
            f"H, W >= {MIN_TILE_PX}.",
            hint="Stack tiles of one size; a single tile gets a first axis with `tile[None]`.",
        )


def _check_names(names: Sequence[str], n_tiles: int) -> None:
    if len(names) != n_tiles:
        raise UsageError(
            f"{len(names)} names were given for {n_tiles} tiles.", hint="Give one name a tile."
        )
