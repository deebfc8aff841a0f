"""Options of ``export`` (see options.py for the conventions)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from axion_stage3.cli.path_values import parse_path

_WHAT: Final = "What is exported"
_WHERE: Final = "Where it lies"

ExportDir = Annotated[
    Path,
    typer.Option(
        "--output-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder for the files; not the folder of the run.",
        rich_help_panel=_WHAT,
    ),
]
To = Annotated[
    Literal["geotiff", "cog", "png", "stac", "zarr"],
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="geotiff, cog, png (quick looks with world files), stac (cog, quick look and item of "
        "each tile), or zarr (one sharded store, for very many tiles). Default: geotiff.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
Mosaic = Annotated[
    bool,
    typer.Option(
        "--mosaic",
        metavar="",
        help="Join all tiles into one raster, mosaic.tif; overlaps are blended.",
        rich_help_panel=_WHAT,
    ),
]
Blend = Annotated[
    bool | None,
    typer.Option(
        "--blend/--no-blend",
        metavar="",
        help="In a mosaic, level steps between tiles that touch, up to 16 px inside. Default: yes.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
ExportTiles = Annotated[
    list[str] | None,
    typer.Option(
        "--tile",
        metavar="NAME",
        help="Export this tile alone; may be repeated. Default: all.",
        rich_help_panel=_WHAT,
    ),
]
Std = Annotated[
    bool,
    typer.Option(
        "--std",
        metavar="",
        help="Add the standard deviation of each band over the draws (infer --samples).",
        rich_help_panel=_WHAT,
    ),
]
Change = Annotated[
    bool,
    typer.Option(
        "--change",
        metavar="",
        help="Add the change by Stage 3: mean over the bands of |opt_final - opt_v2|.",
        rich_help_panel=_WHAT,
    ),
]
ExportIndices = Annotated[
    str | None,
    typer.Option(
        "--indices",
        metavar="A,B",
        help="Add spectral indices, such as NDVI,NDWI,EVI2.",
        rich_help_panel=_WHAT,
    ),
]
StoredAs = Annotated[
    Literal["float32", "int16"],
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="float32, or int16 with a scale of 0.0001 (a third of the size). Default: float32.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
ExportGeoreference = Annotated[
    Path | None,
    typer.Option(
        "--georeference",
        parser=parse_path,
        metavar="FILE",
        help="Table that says where tiles lie: .csv, .geojson or .parquet with the columns tile, "
        "crs, and transform or origin_x, origin_y, pixel_size. Default: what the tiles say.",
        rich_help_panel=_WHERE,
    ),
]
AllowUnreferenced = Annotated[
    bool,
    typer.Option(
        "--allow-unreferenced",
        metavar="",
        help="Export tiles without a georeference too.",
        rich_help_panel=_WHERE,
    ),
]
Acquired = Annotated[
    str | None,
    typer.Option(
        "--datetime",
        metavar="TIME",
        help="When the scenes were seen, for STAC: 2017-06-13, a full time, or two with a slash.",
        rich_help_panel=_WHERE,
    ),
]
ExportWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Tiles that are exported at the same time. Default: one a core.",
        rich_help_panel=_WHAT,
    ),
]
