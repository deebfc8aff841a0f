"""Options of ``visualize`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from axion_stage3.cli.path_values import parse_path

_WHAT: Final = "What is drawn"

Into = Annotated[
    Path | None,
    typer.Option(
        "--into",
        parser=parse_path,
        metavar="DIR",
        help="Folder for pictures and report. Default: visuals/ in OUTPUT_DIR.",
        rich_help_panel=_WHAT,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="PART",
        help="Make only this: report, figures or sheets; may be repeated. Default: all three.",
        rich_help_panel=_WHAT,
    ),
]
Tiles = Annotated[
    list[str] | None,
    typer.Option(
        "--tile",
        metavar="NAME",
        help="Draw this tile, figures only unless --only says more; may be repeated.",
        rich_help_panel=_WHAT,
    ),
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help="Draw at most N tiles, the most changed ones; 0 draws all. Default: 48.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
PictureTruthDir = Annotated[
    Path | None,
    typer.Option(
        "--truth-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of true optical tiles, matched by file name: shown and compared with.",
        rich_help_panel=_WHAT,
    ),
]
FigureIndices = Annotated[
    str | None,
    typer.Option(
        "--indices",
        metavar="A,B",
        help="Spectral indices that the figures show, such as EVI2,NDWI. Default: NDVI.",
        rich_help_panel=_WHAT,
    ),
]
WithFindings = Annotated[
    bool,
    typer.Option(
        "--findings/--no-findings",
        metavar="",
        help="Check all tiles for the report, as validate does. Default: yes.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
