"""Options of ``evaluate`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from axion_stage3.cli.path_values import parse_path

_DATA: Final = "Tiles and folders"
_WHAT: Final = "What is evaluated"
_HOW: Final = "How tiles are computed"

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
OptV2Dir = Annotated[
    Path | None,
    typer.Option(
        "--opt-v2-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of opt_v2 tiles (Stage 2), searched at any depth.",
        rich_help_panel=_DATA,
    ),
]
S1Dir = Annotated[
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
ScenesDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder with s1/ and s2_truth/: held-out scenes, for which opt_v2 is simulated.",
        rich_help_panel=_DATA,
    ),
]
GroupsFile = Annotated[
    Path | None,
    typer.Option(
        "--split-file",
        parser=parse_path,
        metavar="FILE",
        help="CSV with the columns tile, group, split. With --data-dir the val tiles are judged; "
        "beside folders of tiles it only tells their groups, and needs no split.",
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
Draws = Annotated[
    int | None,
    typer.Option(
        "--samples",
        metavar="N",
        help="Draws per tile; from 2 on their mean and their spread are judged too. Default: 1.",
        rich_help_panel=_HOW,
    ),
]
