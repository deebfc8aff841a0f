"""``axion-stage3 train`` as a function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axion_stage3.atomic_write import sweep_orphans, write_json
from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.errors import OutputError, RunConflictError, UsageError
from axion_stage3.inference.devices import resolve_device
from axion_stage3.runs.interruption import Interruption
from axion_stage3.runs.lease import Lease
from axion_stage3.storage.locations import lies_in, refuse_inputs
from axion_stage3.training.stage2_faults import FAULTS
from axion_stage3.training.trainer import Trainer, TrainingResult
from axion_stage3.training.training_config import TrainingConfig
from axion_stage3.training.training_material import prepare_material
from axion_stage3.training.training_state import STATE_NAME, read_state

if TYPE_CHECKING:
    from axion_stage3.paths import AnyPath
    from axion_stage3.training.training_observer import TrainingObserver


def train(
    config: TrainingConfig | None = None,
    *,
    data_dir: AnyPath,
    split_file: AnyPath,
    output_dir: AnyPath,
    device: str = "auto",
    observer: TrainingObserver | None = None,
) -> TrainingResult:
    """Train a checkpoint, or go on with the interrupted training found in ``output_dir``.

    One that is finished is left as it is.

    Args:
        config: What to do; the defaults if left out.
        data_dir: Folder with ``s1/`` and ``s2_truth/``, and perhaps ``opt_v2/``.
        split_file: CSV with the columns tile, group, split (train or val).
        output_dir: Receives ``best.safetensors``, ``last.safetensors``, ``training_log.jsonl``,
            the configuration as ``training_config.json`` and the state for resuming.
        device: See :func:`~axion_stage3.inference.devices.resolve_device`.
        observer: Receives progress.

    Raises:
        InputError: The split file or a tile is missing or unfit; found before training starts.
        UsageError: ``output_dir`` lies in ``data_dir``, has the checkpoint to start from in it, or
            holds a run with another configuration or other tiles; a fault to be left out is not
            known; a part is to be trained without a checkpoint to start from, or on no crops.
        CheckpointError: The checkpoint to start from is missing or unfit, or the state in
            ``output_dir`` is damaged.
        ResourceError: There is no such device.
        TrainingError: The loss is no longer finite.
        OutputError: ``output_dir`` cannot be written.
        RunConflictError: Another training is writing there.
    """
    config, data_dir, output_dir = config or TrainingConfig(), Path(data_dir), Path(output_dir)
    # Its sub-folders may be links to elsewhere.
    tile_folders = [data_dir / name for name in ("s1", "s2_truth", "opt_v2")]
    refuse_inputs([data_dir, *tile_folders], [output_dir])
    unknown = [name for name in config.left_out_faults if name not in FAULTS]
    if unknown:
        raise UsageError(
            f"There is no fault {unknown[0]!r} that could be left out.",
            hint=f"left_out_faults may name: {', '.join(FAULTS)}.",
        )
    if config.trained_part != "all" and config.start_from is None:
        raise UsageError(
            f"Only the {config.trained_part} is to be trained, but of no checkpoint.",
            hint="Name a checkpoint with start_from, or leave trained_part out.",
        )
    if not getattr(config, f"{config.trained_part}_crops", 1):
        raise UsageError(
            f"Only the {config.trained_part} is to be trained, but on no crops.",
            hint=f"Leave {config.trained_part}_crops out, or give a larger number.",
        )
    if config.start_from is not None:
        given = load_checkpoint(config.start_from)  # said now, not after the generators' minutes
        if isinstance(given.path, Path) and lies_in(given.path, output_dir):
            raise UsageError(
                f"The checkpoint to start from, {config.start_from}, lies in the output folder, "
                "where training would write over it.",
                hint="Give another --output-dir.",
            )
    target = resolve_device(device)
    state = read_state(output_dir / STATE_NAME, config)  # refuses another configuration, likewise
    if state is not None and state.is_finished(config):
        paths = [output_dir / f"{name}.safetensors" for name in ("best", "last")]
        for path in paths:
            load_checkpoint(path)  # what is gone or damaged is not finished
        return TrainingResult(
            best_path=paths[0],
            last_path=paths[1],
            steps=state.step,
            best=state.calibrated or state.best,
            exit_code=0,
            was_finished=True,
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The output folder {output_dir} cannot be made: {error.strerror}.",
            hint="Give another folder with --output-dir.",
            path=output_dir,
        ) from error
    with _lease(output_dir):
        sweep_orphans(output_dir)
        material = prepare_material(
            data_dir,
            Path(split_file),
            config,
            output_dir,
            target,
            observer,
            begun_with=None if state is None else state.data,
        )
        trainer = Trainer(config, material, output_dir, observer)
        write_json(output_dir / "training_config.json", config.model_dump(mode="json"))
        with Interruption() as interruption:
            return trainer.run(interruption, observer)


def _lease(output_dir: Path) -> Lease:
    """The right to write into a folder, as of a run."""
    try:
        return Lease.acquire(output_dir, configuration_digest="training")
    except RunConflictError as error:
        raise RunConflictError(
            f"Another training is writing to {output_dir}.",
            hint=error.hint,
            path=output_dir,
        ) from error
