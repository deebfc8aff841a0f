"""Options of ``stats`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from axion_stage3.cli.path_values import parse_path

_WHAT: Final = "What is described"
_FILES: Final = "Files that are written"

RunDir = Annotated[
    Path,
    typer.Argument(
        parser=parse_path,
        metavar="OUTPUT_DIR",
        help="Output folder of a run.",
        show_default=False,
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        parser=parse_path,
        metavar="DIR",
        help="Output folder of another run: say which tiles differ, and by how much.",
        rich_help_panel=_WHAT,
    ),
]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        metavar="",
        help="Compute the statistics from the pixels instead of reading what the run left.",
        rich_help_panel=_WHAT,
    ),
]
Top = Annotated[
    int,
    typer.Option(
        "--top",
        metavar="N",
        min=0,
        help="Tiles to name in each list. Default: 10.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
CsvFile = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        parser=parse_path,
        metavar="FILE",
        help="Write the statistics of every tile as CSV.",
        rich_help_panel=_FILES,
    ),
]
ParquetFile = Annotated[
    Path | None,
    typer.Option(
        "--parquet",
        parser=parse_path,
        metavar="FILE",
        help="Write the statistics of every tile as Parquet (extra: parquet).",
        rich_help_panel=_FILES,
    ),
]
Plots = Annotated[
    Path | None,
    typer.Option(
        "--plots",
        parser=parse_path,
        metavar="DIR",
        help="Write histograms.png and scatter.png there (extra: plots).",
        rich_help_panel=_FILES,
    ),
]
