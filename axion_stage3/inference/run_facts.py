"""What is known of a run before it begins: its model and its effective configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.inference.devices import precision_name, resolve_precision
from axion_stage3.inference.run_observer import ModelFacts
from axion_stage3.runs.session import RunFacts
from axion_stage3.tiles.pixel_filling import S1_RESAMPLING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from axion_stage3.config import InferenceConfig
    from axion_stage3.diffusion.checkpoint import Checkpoint
    from axion_stage3.runs.parts import Part


def facts_of_model(
    checkpoint: Checkpoint, config: InferenceConfig, device: torch.device
) -> ModelFacts:
    """Describe the model of a run, with everything resolved.

    Args:
        checkpoint: The checkpoint.
        config: Timesteps and precision as asked for.
        device: The device that will compute; it need not be in this machine.
    """
    return ModelFacts(
        path=checkpoint.path,
        is_bundled=checkpoint.is_bundled,
        epoch=checkpoint.epoch,
        timesteps=config.timesteps or checkpoint.timesteps,
        device=str(device),
        precision=precision_name(resolve_precision(config.precision, device)),
        sha256=checkpoint.sha256,
    )


def facts_of_run(
    model: ModelFacts, config: InferenceConfig, command: Sequence[str], part: Part | None
) -> RunFacts:
    """Describe a run: its configuration with everything resolved, and what goes in the manifest."""
    effective = {
        **config.model_dump(mode="json"),
        "timesteps": model.timesteps,
        "precision": model.precision,
    }
    return RunFacts(
        command=tuple(command),
        configuration=effective,
        checkpoint_sha256=model.sha256,
        device=model.device,
        seed=config.seed,
        part=part,
        methods={"s1_resampling": S1_RESAMPLING} if config.resample_s1 else {},
    )
