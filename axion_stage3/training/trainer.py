"""The trainer: from folders of tiles to a checkpoint, resumable at any step."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from axion_stage3.diffusion.checkpoint import load_checkpoint, save_checkpoint
from axion_stage3.diffusion.network import GroundingNetwork, channels_last
from axion_stage3.diffusion.noise_schedule import NoiseSchedule
from axion_stage3.errors import OutputError, TrainingError
from axion_stage3.training.fitted_parts import (
    calibrate,
    calibrated_parts,
    fit_before_training,
    network_to_train,
)
from axion_stage3.training.losses import Losses, grounding_losses
from axion_stage3.training.stage2_surrogates import scene_of, training_surrogate
from axion_stage3.training.training_batch import TrainingBatch, batch_of, sample_pairs
from axion_stage3.training.training_state import STATE_NAME, load_state, save_state, share_done
from axion_stage3.training.validation import FamilyResult, ValidationResult, validate

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from axion_stage3.runs.interruption import Interruption
    from axion_stage3.training.training_config import TrainingConfig
    from axion_stage3.training.training_material import TrainingMaterial
    from axion_stage3.training.training_observer import FittedPart, TrainingObserver

TRAINING_SCHEMA_VERSION: Final = 1
_SAVE_SECONDS = 120.0


class _StoppedError(Exception):
    """A signal came while something was fitted."""


@dataclass(frozen=True, slots=True)
class TrainingDocument:
    """What a training run left behind.

    Attributes:
        schema_version: Version of this layout.
        command: ``train``.
        best_checkpoint: Checkpoint of the best validation.
        last_checkpoint: Checkpoint of the last step.
        steps: Steps done in all.
        validation: Validation of the best checkpoint, by surrogate family; null if training was
            stopped before the first.
        exit_code: 0, or 130 or 143 when a signal stopped the training (it can be resumed).
    """

    schema_version: int
    command: str
    best_checkpoint: str
    last_checkpoint: str
    steps: int
    validation: dict[str, FamilyResult] | None
    exit_code: int


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        best_path: Checkpoint of the best validation.
        last_path: Checkpoint of the last step.
        steps: Steps done in all.
        best: Validation of the best checkpoint; None if stopped before the first.
        exit_code: 0, or 130 or 143 when a signal stopped the training (it can be resumed).
        was_finished: Whether it had come to its end before, so that nothing was done.
    """

    best_path: Path
    last_path: Path
    steps: int
    best: ValidationResult | None
    exit_code: int
    was_finished: bool = False

    def as_document(self) -> dict[str, Any]:
        """Return a versioned JSON document; docs/schemas/train.schema.json describes it."""
        document = TrainingDocument(
            schema_version=TRAINING_SCHEMA_VERSION,
            command="train",
            best_checkpoint=str(self.best_path),
            last_checkpoint=str(self.last_path),
            steps=self.steps,
            validation=None if self.best is None else self.best.families,
            exit_code=self.exit_code,
        )
        return asdict(document)


class Trainer:
    """State of one training run.

    Args:
        config: What to do.
        material: Tiles, generators and surrogates for validation.
        output_dir: Folder of checkpoints, log and state; an interrupted run found there goes on.
        observer: Told how far what is fitted and not trained is.

    Raises:
        CheckpointError: The checkpoint to start from, or the state found, is missing or unfit.
    """

    def __init__(
        self,
        config: TrainingConfig,
        material: TrainingMaterial,
        output_dir: Path,
        observer: TrainingObserver | None = None,
    ) -> None:
        self.config = config
        self.material = material
        self.output_dir = output_dir
        self.device = material.device
        torch.manual_seed(config.seed)
        network, self._first_epoch = network_to_train(config, material)
        if not (output_dir / STATE_NAME).is_file():
            tell = (lambda *_: None) if observer is None else observer.fitting_step
            fit_before_training(network, config, material, tell)
        self.network = channels_last(network).train()
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),  # type: ignore[no-untyped-call]
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.random = torch.Generator(device=self.device).manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0
        self.validated_step = -1
        self.best: ValidationResult | None = None
        self.calibrated: ValidationResult | None = None
        load_state(self, output_dir / STATE_NAME)

    @property
    def progress(self) -> float:
        """Share of training done, 0..1: by steps or by minutes, whichever is further."""
        return share_done(self.config, self.step, self.seconds)

    def run(
        self, interruption: Interruption, observer: TrainingObserver | None = None
    ) -> TrainingResult:
        """Train to the end of the budget or to the first signal; the state is saved either way.

        Raises:
            TrainingError: The loss is no longer finite; the last good checkpoint stays.
            OutputError: A checkpoint or the log cannot be written.
        """
        saved = time.monotonic()
        while self.progress < 1.0 and not interruption.is_requested:
            started = time.monotonic()
            losses = self._train_step()
            self.seconds += time.monotonic() - started
            self.step += 1
            if observer is not None:
                observer.step(self.step, self.progress, losses)
            if self.step % 50 == 0:
                self._log({"step": self.step, "seconds": round(self.seconds, 2), **losses})
            if self.step % self.config.validate_every == 0:
                self._validate(observer)
            if time.monotonic() - saved > _SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
        if not interruption.is_requested and self.validated_step != self.step:
            self._validate(observer)
        self.save()
        if calibrated_parts(self.config) and self.calibrated is None:
            self._calibrate(interruption, observer)
        return TrainingResult(
            best_path=self._path("best"),
            last_path=self._path("last"),
            steps=self.step,
            best=self.calibrated or self.best,
            exit_code=interruption.exit_code if interruption.is_requested else 0,
        )

    def save(self) -> None:
        """Write the last checkpoint and the state from which training resumes bit for bit."""
        self._save_checkpoint("last")
        save_state(self, self.output_dir / STATE_NAME)

    def _calibrate(self, interruption: Interruption, observer: TrainingObserver | None) -> None:
        """Calibrate the best checkpoint, and the last one where it is the same, unless stopped."""

        def tell(part: FittedPart, progress: float) -> None:
            if interruption.is_requested:
                raise _StoppedError
            if observer is not None:
                observer.fitting_step(part, progress)

        if interruption.is_requested:
            return
        best = load_checkpoint(self._path("best"))
        network = best.network.to(self.device)
        try:
            calibrate(network, self.config, self.material, tell)
        except _StoppedError:
            return
        result = validate(network, self.material.validation_cases)
        self._require_numbers(result)
        self.calibrated = result
        step = best.config["steps"]
        for name in ("best", "last") if step == self.step else ("best",):
            save_checkpoint(self._path(name), network, epoch=best.epoch, config=best.config)
        self._log({"step": step, "calibrated": result.as_document()})
        save_state(self, self.output_dir / STATE_NAME)
        if observer is not None:
            observer.calibrated(step, result)

    def _train_step(self) -> dict[str, float]:
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self._learning_rate_share(progress)
        batch, tile_index = self._batch()
        random = self.random if progress >= self.config.mean_only_share else None
        with self.material.autocast():
            losses = grounding_losses(self.network, batch, random)
        if not bool(torch.isfinite(losses.total)):
            self._refuse_to_go_on(losses, tile_index)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return {name: float(value.detach()) for name, value in losses._asdict().items()}

    def _batch(self) -> tuple[TrainingBatch, Tensor]:
        """Varied crops with a surrogate opt_v2, or crops as they are with a real one."""
        config, random = self.config, self.random
        with torch.no_grad():
            crops, pair = sample_pairs(
                self.material.tiles, config.batch_size, config.crop_px, config.variation, random
            )
            surrogate = training_surrogate(
                scene_of(pair.truth, pair.s1, pair.generated, random),
                random,
                left_out=frozenset(config.left_out_faults),
                share_untouched=config.share_untouched,
                emphasis=max(0.0, 1.0 - self.progress / config.emphasis_share),
            )
            return batch_of(crops, pair, surrogate), crops.tile_index

    def _learning_rate_share(self, progress: float) -> float:
        warm_up = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        cosine = 0.5 * (1 + float(torch.cos(torch.tensor(min(1.0, progress) * torch.pi))))
        return warm_up * max(cosine, 0.01)

    def _validate(self, observer: TrainingObserver | None) -> None:
        averaged = self._averaged_network()
        result = validate(averaged, self.material.validation_cases)
        self._require_numbers(result)
        self.validated_step = self.step
        self._log({"step": self.step, "validation": result.as_document()})
        # Of equal ones the later: where the detail alone is trained, the score never changes.
        if self.best is None or result.score >= self.best.score:
            self.best = result
            self._save_checkpoint("best")
            self.calibrated = None
        if observer is not None:
            observer.validated(self.step, result)

    def _averaged_network(self) -> GroundingNetwork:
        module = self.average.module
        assert isinstance(module, GroundingNetwork)
        return module

    def _save_checkpoint(self, name: str) -> None:
        save_checkpoint(
            self._path(name),
            self._averaged_network(),
            epoch=self._first_epoch
            + self.step * self.config.batch_size // len(self.material.tiles.names),
            config=self._document(),
        )

    def _path(self, name: str) -> Path:
        return self.output_dir / f"{name}.safetensors"

    def _document(self) -> dict[str, Any]:
        reference = self.material.grounding_reference
        return {
            "timesteps": self.config.timesteps,
            "schedule": asdict(NoiseSchedule()),
            "bands": {"optical": ["blue", "green", "red", "nir"], "radar": ["vv", "vh"]},
            "units": {"optical": "reflectance 0..1", "radar": "backscatter dB"},
            "datasets": self.config.datasets,
            "steps": self.step,
            "training": self.config.model_dump(mode="json"),
            "training_range": self.material.value_ranges,
            "grounding_reference": None if reference is None else reference.to_json(),
        }

    def _log(self, entry: dict[str, object]) -> None:
        path = self.output_dir / "training_log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise OutputError(
                f"The log {path} cannot be written: {error.strerror}.",
                hint="Check the disk and the permissions, or give another --output-dir.",
                path=path,
            ) from error

    def _require_numbers(self, result: ValidationResult) -> None:
        """Refuse weights that validation gets no numbers from."""
        if not math.isfinite(result.score):
            raise TrainingError(
                f"The tiles of validation come out as NaN or infinite at step {self.step}.",
                hint=self._what_is_left(),
                path=self.output_dir,
            )

    def _what_is_left(self) -> str:
        is_saved = self._path("best").is_file()
        left = f"The last good checkpoint is in {self.output_dir}. " if is_saved else ""
        return f"{left}Check the tiles with `axion-stage3 validate`, or lower learning_rate."

    def _refuse_to_go_on(self, losses: Losses, tile_index: Tensor) -> None:
        names = sorted({self.material.tiles.names[int(i)] for i in tile_index})
        parts = ", ".join(f"{k} {float(v.detach()):.3g}" for k, v in losses._asdict().items())
        raise TrainingError(
            f"The loss is no longer a finite number at step {self.step} ({parts});"
            f" tiles of the batch: {', '.join(names)}.",
            hint=self._what_is_left(),
            path=self.output_dir,
        )
