"""What is fitted and not trained step by step: equalizer, gate and draw.

The equalizer comes before the first step, since everything else sees its tiles. Gate and draw are
calibrated after the last one: they judge what was trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.diffusion.checkpoint import load_checkpoint
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.training.draw_fitting import fit_draw_calibration
from axion_stage3.training.equalizer_fitting import fit_equalizer
from axion_stage3.training.figure_fitting import Fitting
from axion_stage3.training.gate_fitting import fit_gate_calibration
from axion_stage3.training.training_material import TrainingMaterial, fit_constants

if TYPE_CHECKING:
    from collections.abc import Callable

    from axion_stage3.training.training_config import TrainingConfig
    from axion_stage3.training.training_observer import FittedPart

    OnFitting = Callable[[FittedPart, float], None]
    """Is told which part is being fitted and the share of that done."""


_CHANGES_THE_MEAN: Final = ("all", "equalizer", "gate")


def network_to_train(
    config: TrainingConfig, material: TrainingMaterial
) -> tuple[GroundingNetwork, int]:
    """A new network with measured constants, or that of a checkpoint; and the epochs it has had.

    Calibrations of what training is about to change are not in it.

    Raises:
        CheckpointError: The checkpoint to start from is missing or unfit.
    """
    epoch = 0
    if config.start_from is None:
        members = NetworkConfig.equalizer_members if config.equalizer_crops else 0
        sizes = NetworkConfig(equalizer_members=members, gate_members=0, draw_members=0)
        network = GroundingNetwork(sizes)
        fit_constants(network, material, config)
    else:
        given = load_checkpoint(config.start_from)
        network = given.network.requires_grad_()
        if not config.takes_steps:
            epoch = given.epoch
        network.drop_draw_calibration()
        if config.trained_part in _CHANGES_THE_MEAN:
            network.drop_gate_calibration()
        if config.trained_part == "equalizer":
            network.renew_equalizer()
    for fitted in (network.equalizer, network.gate_calibration):
        if fitted is not None:
            fitted.requires_grad_(requires_grad=False)
    if config.trained_part == "detail":
        network.freeze_mean()
    return network.to(material.device), epoch


def fit_before_training(
    network: GroundingNetwork,
    config: TrainingConfig,
    material: TrainingMaterial,
    on_fitting: OnFitting,
) -> None:
    """Fit the equalizer of a new network, or that of a given one if it is to be fitted anew."""
    is_new = config.start_from is None or config.trained_part == "equalizer"
    if is_new and network.equalizer is not None:
        fitting = _fitting("equalizer", config.equalizer_crops, config, material, on_fitting)
        fit_equalizer(network, fitting)


def calibrated_parts(config: TrainingConfig) -> dict[FittedPart, int]:
    """What is calibrated after the last step, all that judges what was trained; on how many crops.

    The draw comes after the gate, on which it depends.
    """
    parts: dict[FittedPart, int] = {}
    if config.trained_part in _CHANGES_THE_MEAN:
        parts["gate"] = config.gate_crops
    parts["draw"] = config.draw_crops
    return {part: n_crops for part, n_crops in parts.items() if n_crops}


def calibrate(
    network: GroundingNetwork,
    config: TrainingConfig,
    material: TrainingMaterial,
    on_fitting: OnFitting,
) -> None:
    """Calibrate a trained network.

    Args:
        network: Changed in place; on the device of the material.
        config: What to calibrate.
        material: What it was trained on.
        on_fitting: Told how far it is; what it raises ends the fitting.
    """
    for part, n_crops in calibrated_parts(config).items():
        if part == "gate":
            network.renew_gate_calibration()
            fit = fit_gate_calibration
        else:
            network.renew_draw_calibration()
            fit = fit_draw_calibration
        network.to(material.device)
        fit(network, _fitting(part, n_crops, config, material, on_fitting))


def _fitting(
    part: FittedPart,
    n_crops: int,
    config: TrainingConfig,
    material: TrainingMaterial,
    on_fitting: OnFitting,
) -> Fitting:
    return Fitting(
        tiles=material.tiles,
        n_crops=n_crops,
        seed=config.seed,
        left_out_faults=frozenset(config.left_out_faults),
        on_step=lambda progress: on_fitting(part, progress),
    )
