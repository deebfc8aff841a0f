"""Options of ``inspect-tile``, ``validate``, ``explain`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from axion_stage3.cli.path_values import parse_path

_WHERE: Final = "Where the tiles are"
_RESULT: Final = "What is reported"
_ENGINE: Final = "How it is done"


SeverityChoice = Literal["info", "warning", "error"]
FailOnChoice = Literal["info", "warning", "error", "never"]
FormatChoice = Literal["text", "json", "jsonl", "csv", "github"]

Tile = Annotated[
    Path,
    typer.Argument(
        parser=parse_path,
        metavar="TILE",
        help="An NPZ file, or the name of a tile below the folders given.",
        show_default=False,
    ),
]
TileOutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        parser=parse_path,
        metavar="DIR",
        help="Output folder of a run: tell what it made of the tile.",
        rich_help_panel=_WHERE,
    ),
]
RunDir = Annotated[
    Path | None,
    typer.Argument(
        parser=parse_path,
        metavar="OUTPUT_DIR",
        help="Output folder of a run, to check its outputs. Leave it out to check inputs.",
        show_default=False,
    ),
]
Png = Annotated[
    Path | None,
    typer.Option(
        "--png",
        parser=parse_path,
        metavar="FILE",
        help="Write the picture of the tile as PNG too.",
        rich_help_panel=_RESULT,
    ),
]
Format = Annotated[
    FormatChoice,
    typer.Option(
        "--format",
        metavar="NAME",
        help="text for people; json or jsonl (a line per tile); csv (a line per finding); "
        "github (annotations of a workflow). Default: text.",
        show_default=False,
        rich_help_panel=_RESULT,
    ),
]
MinSeverity = Annotated[
    SeverityChoice,
    typer.Option(
        "--min-severity",
        metavar="SEVERITY",
        help="Leave findings below this severity out: info, warning or error. Default: info.",
        show_default=False,
        rich_help_panel=_RESULT,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="ID",
        help="Leave this finding out, such as AX-T024; may be given several times.",
        rich_help_panel=_RESULT,
    ),
]
FailOn = Annotated[
    FailOnChoice,
    typer.Option(
        "--fail-on",
        metavar="SEVERITY",
        help="End with exit code 3 where a finding reaches this severity: info, warning, error or "
        "never. Default: error.",
        show_default=False,
        rich_help_panel=_RESULT,
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        parser=parse_path,
        metavar="FILE",
        help="Save all results, unfiltered, as JSON Lines.",
        rich_help_panel=_RESULT,
    ),
]
Load = Annotated[
    Path | None,
    typer.Option(
        "--load",
        parser=parse_path,
        metavar="FILE",
        help="Report saved results again instead of checking tiles.",
        rich_help_panel=_RESULT,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Processes that check tiles. Default: one per core.",
        show_default=False,
        rich_help_panel=_ENGINE,
    ),
]
RangeCheckpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        parser=parse_path,
        metavar="FILE",
        help="Checkpoint (.safetensors) whose training range the tiles are compared with. "
        "Default: the bundled one.",
        rich_help_panel=_ENGINE,
    ),
]
FindingIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID",
        help="Ids such as AX-T007. Leave them out to list all findings.",
        show_default=False,
    ),
]
