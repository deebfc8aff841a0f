"""Options of ``benchmark`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from axion_stage3.cli.path_values import parse_path

_TILES: Final = "Tiles"
_WHAT: Final = "What is measured"

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
    str,
    typer.Option(
        "--timesteps",
        metavar="T,T",
        help="Numbers of timesteps. Default: 1,10.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch-sizes",
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


def parse_counts(option: str, text: str) -> tuple[int, ...]:
    """Make numbers of a list such as ``1,8``.

    Raises:
        typer.BadParameter: An entry is no whole number.
    """
    try:
        return tuple(int(entry) for entry in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} is {text!r}; give numbers such as 1,8") from None
