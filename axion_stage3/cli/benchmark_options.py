"""Options of ``benchmark`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from axion_stage3.cli.path_values import parse_path

_TILES: Final = "Tiles"
_WHAT: Final = "What is measured"


def _parse_counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(entry) for entry in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 1,8.") from None


TilesOptV2Dir = Annotated[
    Path | None,
    typer.Option(
        "--opt-v2-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of opt_v2 tiles in reflectance. Default: the example tiles.",
        rich_help_panel=_TILES,
    ),
]
TilesS1Dir = Annotated[
    Path | None,
    typer.Option(
        "--s1-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of S1 tiles in dB. Default: the example tiles.",
        rich_help_panel=_TILES,
    ),
]
TileSize = Annotated[
    int,
    typer.Option(
        "--tile-size",
        metavar="PX",
        help="Height and width that the tiles are brought to. Default: 120.",
        show_default=False,
        rich_help_panel=_TILES,
    ),
]
TimestepsList = Annotated[
    Any,
    typer.Option(
        "--timesteps",
        parser=_parse_counts,
        metavar="T,T",
        help="Numbers of timesteps. Default: 1,10.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
BatchSizes = Annotated[
    Any,
    typer.Option(
        "--batch-sizes",
        parser=_parse_counts,
        metavar="N,N",
        help="Batch sizes of the network alone. Default: 1,2,4,8,16; on CUDA 1,8,64,256.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
AgainstNetwork = Annotated[
    Literal["diffusers-unet"] | None,
    typer.Option(
        "--against",
        metavar="NAME",
        help="diffusers-unet: also a UNet of that library, DDIM, T=10 (extra: bench).",
        rich_help_panel=_WHAT,
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        "--seconds",
        metavar="S",
        help="Measure each figure for about so long. Default: 2.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
