"""Options of ``train`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from axion_stage3.cli.path_values import parse_path

_DATA: Final = "Tiles and folders"
_LENGTH: Final = "Training"

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder with s1/ and s2_truth/, and opt_v2/ if there are real Stage 2 outputs. "
        "Required.",
        rich_help_panel=_DATA,
    ),
]
SplitFile = Annotated[
    Path | None,
    typer.Option(
        "--split-file",
        parser=parse_path,
        metavar="FILE",
        help="CSV with the columns tile, group, split (train or val); split by group. Required.",
        rich_help_panel=_DATA,
    ),
]
TrainingOutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder for checkpoints, log and state; training found there goes on. Required.",
        rich_help_panel=_DATA,
    ),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        "--max-steps",
        metavar="N",
        help="Stop after this many steps. Default: 20000.",
        rich_help_panel=_LENGTH,
    ),
]
MaxMinutes = Annotated[
    float | None,
    typer.Option(
        "--max-minutes",
        metavar="M",
        help="Stop after this many minutes of training steps. Default: no limit.",
        rich_help_panel=_LENGTH,
    ),
]
TrainingPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Arithmetic of the convolutions, fp32 or bf16. Default: fp32.",
        rich_help_panel=_LENGTH,
    ),
]
TrainingSeed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of initialisation, crops, faults and noise. Default: 0.",
        rich_help_panel=_LENGTH,
    ),
]
TrainingBatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Crops per step. Default: 16.",
        rich_help_panel=_LENGTH,
    ),
]
