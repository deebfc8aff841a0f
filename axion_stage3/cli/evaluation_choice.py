"""What ``axion-stage3 evaluate`` evaluates: folders of tiles, or held-out scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axion_stage3.cli.path_values import required
from axion_stage3.errors import UsageError
from axion_stage3.training.evaluation_run import (
    GroundingOptions,
    evaluate_folders,
    evaluate_surrogates,
)
from axion_stage3.training.surrogate_families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from axion_stage3.progress import Progress
    from axion_stage3.training.evaluation import Evaluation

_OF_FOLDERS: Final = ("truth_dir", "opt_v2_dir", "opt_final_dir", "s1_dir")
_OF_SCENES: Final = ("family",)
_ON_THE_FLY: Final = ("timesteps", "seed", "samples")


def evaluate_given(given: Mapping[str, Any], progress: Progress) -> Evaluation:
    """Evaluate what the options name.

    Args:
        given: The parameters of the command by name; None where an option was not given.
        progress: Shows how far the work is.

    Raises:
        UsageError: The options name nothing to evaluate, or contradict each other.
        AxionError: The evaluation cannot be made.
    """
    options = GroundingOptions(
        method=given["method"] or "checkpoint",
        checkpoint=given["checkpoint"],
        timesteps=given["timesteps"],
        seed=given["seed"] or 0,
        samples=1 if given["samples"] is None else given["samples"],
        device=given["device"] or "auto",
    )
    if given["data_dir"] is not None:
        _refuse(given, _OF_FOLDERS, "goes with folders of tiles, not with --data-dir")
        return evaluate_surrogates(
            data_dir=given["data_dir"],
            split_file=required(given["split_file"], "--split-file"),
            families=given["family"] or FAMILIES,
            options=options,
            progress=progress,
        )
    _refuse(given, _OF_SCENES, "goes with held-out scenes (--data-dir and --split-file)")
    if given["opt_final_dir"] is not None:
        # With radar the checkpoint is used all the same: it says how far true pairs agree.
        unused = _ON_THE_FLY if given["s1_dir"] is not None else ("checkpoint", *_ON_THE_FLY)
        _refuse(given, unused, "is for running the checkpoint, not for --opt-final-dir")
    if given["truth_dir"] is None and given["opt_v2_dir"] is None:
        raise UsageError(
            "There is nothing to evaluate.",
            hint="Give --truth-dir and --opt-v2-dir, or --data-dir and --split-file.",
        )
    return evaluate_folders(
        truth_dir=required(given["truth_dir"], "--truth-dir"),
        opt_v2_dir=required(given["opt_v2_dir"], "--opt-v2-dir"),
        opt_final_dir=given["opt_final_dir"],
        s1_dir=given["s1_dir"],
        split_file=given["split_file"],
        options=options,
        progress=progress,
    )


def _refuse(given: Mapping[str, Any], names: Sequence[str], reason: str) -> None:
    for name in names:
        if given[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} {reason}.", hint=f"Leave {option} out.")
