"""Configuration of ``axion-stage3 train``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from axion_stage3.config import MAX_TIMESTEPS


class TrainingConfig(BaseModel):
    """Everything that decides what a training run does; stored in the checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(
        default=0, ge=0, lt=2**62, description="Seed of initialisation, crops, faults, noise."
    )
    batch_size: int = Field(default=16, ge=2, description="Crops per step.")
    crop_px: int = Field(default=64, ge=32, description="Height and width of a crop, pixels.")
    max_steps: int = Field(default=20_000, ge=1, description="Steps at most.")
    max_minutes: float | None = Field(default=None, gt=0, description="Minutes at most.")
    learning_rate: float = Field(
        default=5e-4, gt=0, le=1, description="Peak of the cosine schedule."
    )
    weight_decay: float = Field(default=0.02, ge=0, description="AdamW weight decay.")
    warmup_steps: int = Field(default=200, ge=0, description="Steps of linear warm-up.")
    clip_norm: float = Field(default=1.0, gt=0, description="Largest gradient norm.")
    ema_decay: float = Field(default=0.998, ge=0, lt=1, description="Decay of the weight average.")
    mean_only_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of training before the denoiser joins."
    )
    emphasis_share: float = Field(
        default=0.6, gt=0, le=1, description="Share of training in which strong faults recede."
    )
    validate_every: int = Field(default=500, ge=1, description="Steps between validations.")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="Of the convolutions.")
    generator_steps: int = Field(
        default=1200, ge=1, description="Steps of each radar-to-optical generator (surrogates)."
    )
    generator_batch_size: int = Field(default=12, ge=1, description="Crops per generator step.")
    equalizer_crops: int = Field(
        default=24_000,
        ge=0,
        description="Crops that the equalizer of a new network is fitted on before the first step; "
        "0 for none.",
    )
    variation: Literal["light", "all"] = Field(
        default="all",
        description="How true pairs are varied: light and radar level alone, or shape, detail and "
        "colours too, which keeps few scenes from being learned by heart.",
    )
    start_from: str | None = Field(
        default=None, description="Checkpoint whose weights training starts from."
    )
    gate_crops: int = Field(
        default=24_000,
        ge=0,
        description="Crops that the gate is calibrated on after the last step; 0 for none.",
    )
    draw_crops: int = Field(
        default=24_000,
        ge=0,
        description="Crops that the draw is calibrated on, after the gate; 0 for none.",
    )
    trained_part: Literal["all", "detail", "equalizer", "gate", "draw"] = Field(
        default="all",
        description="What is trained: all, or only what the sampler draws, at half the cost (the "
        "mean stays that of start_from), or, without a step, the equalizer anew, the calibration "
        "of the gate or that of the draw. What judges the trained part is calibrated afterwards.",
    )
    share_untouched: float = Field(
        default=0.1, ge=0, le=1, description="Share of crops whose opt_v2 is the truth."
    )
    left_out_faults: tuple[str, ...] = Field(
        default=(), description="Faults never trained on (leave-one-family-out validation)."
    )
    timesteps: int = Field(
        default=10, ge=1, le=MAX_TIMESTEPS, description="Default timesteps of the checkpoint."
    )
    datasets: str = Field(default="", description="Names of the data sets, for the checkpoint.")

    @property
    def takes_steps(self) -> bool:
        """Whether anything is trained step by step; the rest is fitted before."""
        return self.trained_part in ("all", "detail")
