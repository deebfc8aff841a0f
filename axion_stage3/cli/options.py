"""Every option of the command line, once.

An option that is also a configuration entry is None when it is not given, so that it cannot beat
the environment or the configuration file; its default is stated in the help text, and a test holds
that to `axion_stage3.config`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from axion_stage3.cli.path_values import parse_location, parse_path

_FOLDERS: Final = "Folders and model"
_TILE_FOLDERS: Final = "Where the tiles are"
_NETWORK: Final = "How tiles are computed"
_TILES: Final = "How input tiles are read"
_OUTPUTS: Final = "What is written"
_RUN: Final = "How the run goes on"
CONSOLE_PANEL: Final = "Configuration and console"

Checkpoint = Annotated[
    Any,
    typer.Option(
        "--checkpoint",
        parser=parse_location,
        metavar="FILE|URL",
        help="Trained checkpoint, .pt or .safetensors. Default: the bundled reference checkpoint.",
        rich_help_panel=_FOLDERS,
    ),
]
OptV2Dir = Annotated[
    Any,
    typer.Option(
        "--opt-v2-dir",
        parser=parse_location,
        metavar="DIR|URL",
        help="Folder of opt_v2 tiles (Stage 2), searched at any depth. Required.",
        rich_help_panel=_FOLDERS,
    ),
]
S1Dir = Annotated[
    Any,
    typer.Option(
        "--s1-dir",
        parser=parse_location,
        metavar="DIR|URL",
        help="Folder of S1 tiles, matched to opt_v2 by file name. Required.",
        rich_help_panel=_FOLDERS,
    ),
]
OutputDir = Annotated[
    Any,
    typer.Option(
        "--output-dir",
        parser=parse_location,
        metavar="DIR|URL",
        help="Folder for the opt_final tiles. Required.",
        rich_help_panel=_FOLDERS,
    ),
]
RunOptV2Dir = Annotated[
    Path | None,
    typer.Option(
        "--opt-v2-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of opt_v2 tiles. Default: the one that the run recorded.",
        rich_help_panel=_TILE_FOLDERS,
    ),
]
RunS1Dir = Annotated[
    Path | None,
    typer.Option(
        "--s1-dir",
        parser=parse_path,
        metavar="DIR",
        help="Folder of S1 tiles. Default: the one that the run recorded.",
        rich_help_panel=_TILE_FOLDERS,
    ),
]
Tiles = Annotated[
    Path | None,
    typer.Option(
        "--tiles",
        parser=parse_path,
        metavar="FILE|-",
        help="Run only the tiles listed here, one name or path a line; - reads standard input. "
        "Default: all.",
        rich_help_panel=_FOLDERS,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Run one of N parts of the tiles, K from 1 to N, beside the others if you like. "
        "Default: all.",
        rich_help_panel=_FOLDERS,
    ),
]
BatchSize = Annotated[
    str | None,
    typer.Option(
        "--batch-size",
        metavar="N|auto",
        help="Tiles per batch; auto: measured per tile size. Default: 1.",
        rich_help_panel=_NETWORK,
    ),
]
Timesteps = Annotated[
    int | None,
    typer.Option(
        "--timesteps",
        metavar="T",
        help="Number of diffusion timesteps; 1 is the mean alone. Default: from the checkpoint.",
        rich_help_panel=_NETWORK,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda or cuda:N. Default: auto.",
        rich_help_panel=_NETWORK,
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"] | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="auto, fp32, bf16 or fp16. Default: auto (fp16 on CUDA, else fp32).",
        rich_help_panel=_NETWORK,
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        metavar="",
        help="Try torch.compile, for runs long enough to win the minutes back. Default: no.",
        rich_help_panel=_NETWORK,
    ),
]
Sampler = Annotated[
    Literal["2m", "euler", "heun", "ancestral"] | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help="2m, euler, heun or ancestral. Default: 2m.",
        rich_help_panel=_NETWORK,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of the noise; the same seed gives the same tiles. Default: 0.",
        rich_help_panel=_NETWORK,
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples",
        metavar="N",
        help="Draws per tile; above 1 their spread is written as opt_final_std. Default: 1.",
        rich_help_panel=_NETWORK,
    ),
]
OptScale = Annotated[
    float | None,
    typer.Option(
        "--opt-scale",
        metavar="X",
        help="Divide optical values by X; 10000 for digital numbers. Default: 1.0.",
        rich_help_panel=_TILES,
    ),
]
OptOffset = Annotated[
    float | None,
    typer.Option(
        "--opt-offset",
        metavar="X",
        help="Add X to optical values before the division; -1000 for Sentinel-2 digital numbers "
        "since baseline 04.00. Default: 0.0.",
        rich_help_panel=_TILES,
    ),
]
S1Units = Annotated[
    Literal["db", "linear"] | None,
    typer.Option(
        "--s1-units",
        metavar="UNITS",
        help="Units of the S1 tiles, db or linear. Default: db.",
        rich_help_panel=_TILES,
    ),
]
FillInvalid = Annotated[
    bool | None,
    typer.Option(
        "--fill-invalid/--no-fill-invalid",
        metavar="",
        help="Fill NaN and Inf pixels and mark them in valid_mask. Default: such tiles fail.",
        rich_help_panel=_TILES,
    ),
]
ResampleS1 = Annotated[
    bool | None,
    typer.Option(
        "--resample-s1/--no-resample-s1",
        metavar="",
        help="Resample S1 of another size to the opt_v2 size. Default: such tiles fail.",
        rich_help_panel=_TILES,
    ),
]
GeoreferenceFile = Annotated[
    Path | None,
    typer.Option(
        "--georeference",
        parser=parse_path,
        metavar="FILE",
        help="Table that says where tiles lie: .csv, .geojson or .parquet with the columns tile, "
        "crs, and transform or origin_x, origin_y, pixel_size. Default: what the tiles say.",
        rich_help_panel=_TILES,
    ),
]
SaveIntermediate = Annotated[
    bool | None,
    typer.Option(
        "--save-intermediate/--no-save-intermediate",
        metavar="",
        help="Save opt_v2 and s1 in the output files. Default: no.",
        rich_help_panel=_OUTPUTS,
    ),
]
Statistics = Annotated[
    bool | None,
    typer.Option(
        "--stats/--no-stats",
        metavar="",
        help="Save statistics files. Default: yes.",
        rich_help_panel=_OUTPUTS,
    ),
]
Indices = Annotated[
    str | None,
    typer.Option(
        "--indices",
        metavar="A,B",
        help="Spectral indices for the statistics, such as EVI2,NDWI. Default: NDVI alone.",
        rich_help_panel=_OUTPUTS,
    ),
]
Existing = Annotated[
    Literal["resume", "skip", "overwrite", "fail"] | None,
    typer.Option(
        "--existing",
        metavar="WHAT",
        help="Where outputs are there: resume, skip, overwrite or fail. Default: resume.",
        rich_help_panel=_RUN,
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        metavar="N|P%",
        help="Stop when more tiles than this have failed. Default: never.",
        rich_help_panel=_RUN,
    ),
]
RetryFailed = Annotated[
    bool | None,
    typer.Option(
        "--retry-failed/--no-retry-failed",
        metavar="",
        help="Run only the tiles that failed before. Default: no.",
        rich_help_panel=_RUN,
    ),
]
Engine = Annotated[
    Literal["local", "processes", "ray"] | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="local: this process. processes: several on this machine, which a fast GPU needs. "
        "ray: workers on a Ray cluster (extra `ray`). Default: local.",
        rich_help_panel=_RUN,
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|auto",
        help="Processes, or workers on Ray; auto: processes, one per core (at most 16 a GPU, and "
        "as many as its memory holds); on Ray, one per GPU, or else one per CPU. Default: auto.",
        rich_help_panel=_RUN,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Address of the Ray cluster, or auto. Default: this machine alone.",
        rich_help_panel=_RUN,
    ),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan",
        metavar="",
        help="Write nothing; show how many tiles there are to do, per shard of --shard K/N, and "
        "what time and space they will take.",
        rich_help_panel=_RUN,
    ),
]
IoThreads = Annotated[
    int | None,
    typer.Option(
        "--io-threads",
        metavar="N",
        help="Threads that read tiles, and threads that write them. Default: 2.",
        rich_help_panel=_RUN,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        parser=parse_path,
        metavar="FILE",
        help="TOML file with these options as entries (batch_size = 4); options given win.",
        rich_help_panel=CONSOLE_PANEL,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar="",
        help="Suppress progress and reports; only warnings and errors are shown.",
        rich_help_panel=CONSOLE_PANEL,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar="",
        help="Show what is decided, and each tile or step when it is done; no progress bar.",
        rich_help_panel=CONSOLE_PANEL,
    ),
]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format",
        metavar="NAME",
        help="text, or json: one JSON object a line on standard error. Default: text.",
        show_default=False,
        rich_help_panel=CONSOLE_PANEL,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar="",
        help="Write the result as one JSON document to standard output.",
        rich_help_panel=CONSOLE_PANEL,
    ),
]
