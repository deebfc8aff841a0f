"""Options of ``train`` and ``evaluate`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from axion_stage3.cli.path_values import parse_path

_DATA: Final = "Tiles and folders"
_LENGTH: Final = "Training"
_WHAT: Final = "What is evaluated"

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder with s1/ and s2_truth/, and opt_v2/ if there are real Stage 2 outputs.",
        rich_help_panel=_DATA,
    ),
]
SplitFile = Annotated[
    Path | None,
    typer.Option(
        "--split-file",
        parser=parse_path,
        metavar="FILE",
        help="CSV with the columns tile, group, split (train or val); split by group.",
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
TruthDir = Annotated[
    Path | None,
    typer.Option(
        "--truth-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of true optical tiles, matched by file name.",
        rich_help_panel=_DATA,
    ),
]
EvaluatedOptV2Dir = Annotated[
    Path | None,
    typer.Option(
        "--opt-v2-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of opt_v2 tiles (Stage 2), searched at any depth.",
        rich_help_panel=_DATA,
    ),
]
EvaluatedS1Dir = Annotated[
    Path | None,
    typer.Option(
        "--s1-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of S1 tiles: to run the checkpoint, and for the grounding score.",
        rich_help_panel=_DATA,
    ),
]
OptFinalDir = Annotated[
    Path | None,
    typer.Option(
        "--opt-final-dir",
        parser=parse_path,
        metavar="DIR",
        help="Output folder of infer; left out: the checkpoint is run on the fly.",
        rich_help_panel=_DATA,
    ),
]
Families = Annotated[
    list[str] | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help="Surrogate family of opt_v2 (with --data-dir); may be repeated. Default: all.",
        rich_help_panel=_WHAT,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        parser=parse_path,
        metavar="FILE",
        help="Write the figures of every tile as CSV.",
        rich_help_panel=_WHAT,
    ),
]
Parquet = Annotated[
    Path | None,
    typer.Option(
        "--parquet",
        parser=parse_path,
        metavar="FILE",
        help="The same as Parquet (extra: parquet).",
        rich_help_panel=_WHAT,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="checkpoint, or a baseline in its place: smoothed, regression (with --data-dir)."
        " Default: checkpoint.",
        rich_help_panel=_WHAT,
    ),
]
