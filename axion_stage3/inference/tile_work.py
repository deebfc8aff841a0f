"""From pairs to outputs, with one network on one device: what every engine does with its tiles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from axion_stage3.inference.batch_grounding import BatchDropped, BatchGrounder
from axion_stage3.inference.batch_sizing import BatchSizes
from axion_stage3.inference.devices import plan_workers
from axion_stage3.inference.memory_reuse import give_freed_memory_back
from axion_stage3.inference.pipeline import Pipeline, PipelineSize, Stages
from axion_stage3.inference.predictor import DEFAULT_WINDOW_PX, Predictor
from axion_stage3.inference.run_observer import RunObserver
from axion_stage3.inference.scene_grounding import ground_scenes
from axion_stage3.inference.tile_stages import TileReader, TileWriter
from axion_stage3.rasters.raster_pairing import RasterPair
from axion_stage3.statistics.spectral_indices import find_indices
from axion_stage3.tiles.tile_loading import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    import torch

    from axion_stage3.config import InferenceConfig
    from axion_stage3.diffusion.checkpoint import Checkpoint
    from axion_stage3.runs.outcome import TileOutcome
    from axion_stage3.tiles.pairing import TilePair

_BATCH_PX: Final = {"cpu": DEFAULT_WINDOW_PX**2, "cuda": 16 * DEFAULT_WINDOW_PX**2}
"""Most pixels in a batch of several tiles. On the CPU a signal must be obeyed within seconds, and a
batch in flight is only dropped between two calls of the network."""
_QUEUED_BATCHES: Final = 4


class TileWork:
    """Processes pairs as the configuration says; what it learns about batches stays.

    Args:
        config: The run.
        checkpoint: Its checkpoint.
        device: The device that computes.
        stop: Once it is set, no more tiles are begun and the batch in flight is dropped.
        on_note: Is told why something that makes runs fast does not work here.

    Raises:
        UsageError: Unknown index or precision.
        ResourceError: The network does not fit on the device.
    """

    def __init__(
        self,
        config: InferenceConfig,
        checkpoint: Checkpoint,
        device: torch.device,
        stop: Event,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._stop = stop
        self._predictor = Predictor(
            checkpoint,
            str(device),
            config.precision,
            is_compiled=config.compile,
            on_note=on_note,
            before_call=self._drop_if_stopped,
        )
        self._batch_px = _BATCH_PX.get(device.type, DEFAULT_WINDOW_PX**2)
        self._sizes = BatchSizes(config.batch_size, self._batch_px)
        predict = partial(
            self._predictor.predict,
            timesteps=config.timesteps,
            sampler=config.sampler,
            seed=config.seed,
            samples=config.samples,
            is_measured=True,
            is_scored=config.statistics and checkpoint.grounding_reference is not None,
        )
        self._ground = BatchGrounder(predict, self._sizes, device)
        self._write = TileWriter(
            config.output_dir,
            save_intermediate=config.save_intermediate,
            save_valid_mask=config.fill_invalid,
            save_statistics=config.statistics,
            reference=checkpoint.grounding_reference if config.statistics else None,
            indices=find_indices(config.indices),
        )
        self._load_options = LoadOptions(
            opt_scale=config.opt_scale,
            opt_offset=config.opt_offset,
            s1_units=config.s1_units,
            fill_invalid=config.fill_invalid,
            resample_s1=config.resample_s1,
        )

    def run(
        self,
        pairs: Sequence[TilePair],
        fingerprint: Callable[[TilePair], str],
        report: Callable[[TileOutcome], None],
        n_tiles: int,
        observer: RunObserver | None = None,
    ) -> None:
        """Take pairs through the pipeline, until all are done or the run is to stop.

        Args:
            pairs: The pairs.
            fingerprint: Gives a pair its fingerprint; called just before the pair is read.
            report: Takes note of what became of a tile; called by several threads.
            n_tiles: Number of pairs in the folders, done or not.
            observer: Is told how whole scenes go on.

        Raises:
            OutputError: The output folder cannot be written.
        """
        scenes: list[RasterPair] = []
        tiles: list[TilePair] = []
        for pair in pairs:
            if isinstance(pair, RasterPair) and pair.is_scene:
                scenes.append(pair)
            else:
                tiles.append(pair)
        if tiles:
            self._run_tiles(tiles, fingerprint, report, n_tiles)
        ground_scenes(
            scenes,
            self._predictor,
            self._config,
            self._load_options,
            fingerprint,
            report,
            observer or RunObserver(),
        )

    def _run_tiles(
        self,
        pairs: Sequence[TilePair],
        fingerprint: Callable[[TilePair], str],
        report: Callable[[TileOutcome], None],
        n_tiles: int,
    ) -> None:
        stages = Stages(
            read=TileReader(self._load_options, fingerprint),
            ground=self._ground,
            write=self._write,
            report=report,
            batch_size=self._sizes.size,
        )
        # By all tiles, not by those left to do: a resumed run is to give the same bits.
        workers = plan_workers(self._predictor.device, n_tiles)
        size = PipelineSize(
            n_readers=min(self._config.io_threads, len(pairs)),
            n_workers=workers.n_workers,
            n_compute_threads=workers.n_threads,
            n_writers=min(self._config.io_threads, len(pairs)),
            queue_px=_QUEUED_BATCHES * self._batch_px,
            # Two workers on one GPU share it: smaller batches would only slow its end down.
            n_shares=workers.n_workers if self._predictor.device.type == "cpu" else 1,
        )
        Pipeline(stages, size, self._stop).run(pairs)
        give_freed_memory_back()

    def _drop_if_stopped(self) -> None:
        if self._stop.is_set():
            raise BatchDropped
