"""What a run is told to do: a frozen model, and the rule which source wins.

An entry is taken from the first of these that names it: what was given (command line or keyword
arguments), the environment variable ``AXION_STAGE3_<ENTRY>``, the configuration file, the default.
The effective configuration, as ``config show`` or as JSON, is itself a valid configuration file.
"""

from __future__ import annotations

import json
import logging
import math
import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from axion_stage3.config_places import CleanLocation, CleanPath, overlap
from axion_stage3.errors import UsageError
from axion_stage3.storage.locations import is_url
from axion_stage3.storage.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

ENVIRONMENT_PREFIX: Final = "AXION_STAGE3_"
DEFAULT_SOURCE: Final = "default"
MAX_TIMESTEPS: Final = 1000
MAX_SEED: Final = 2**63 - 1
MAX_SAMPLES: Final = 1000
_log: Final = logging.getLogger(__name__)


def _check_max_failures(value: str) -> str:
    number = value.removesuffix("%")
    is_share = value.endswith("%")
    try:
        parsed = float(number) if is_share else int(number)
    except ValueError:
        parsed = -1
    if not (math.isfinite(parsed) and parsed >= 0 and (parsed <= 100 or not is_share)):
        raise ValueError("give a count such as 20 or a share such as 5%")
    return value


MaxFailures = Annotated[
    str,
    BeforeValidator(lambda v: str(v) if type(v) is int else v),
    AfterValidator(_check_max_failures),
]


def _check_shard(value: str) -> str:
    match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError("give K/N with K from 1 to N, such as 3/16, and N at most 99999")
    return value


ShardName = Annotated[str, AfterValidator(_check_shard)]


def _check_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError("give auto, cpu, cuda or cuda:N")
    return value


DeviceName = Annotated[str, AfterValidator(_check_device)]


class InferenceConfig(BaseModel):
    """Everything that decides what ``axion-stage3 infer`` does and writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: CleanLocation | None = Field(
        default=None,
        description="Checkpoint file, .pt or .safetensors, or its URL; none: the bundled one.",
    )
    opt_v2_dir: CleanLocation = Field(
        description="Folder of opt_v2 tiles, searched at any depth; a path or an s3:// URL."
    )
    s1_dir: CleanLocation = Field(
        description="Folder of S1 tiles, searched at any depth; a path or an s3:// URL."
    )
    output_dir: CleanLocation = Field(
        description="Folder for the opt_final tiles; a path or an s3:// URL."
    )
    tiles: CleanPath | None = Field(
        default=None,
        description="File that lists the tiles to run, one a line; - is standard input. None: all.",
    )
    shard: ShardName | None = Field(
        default=None,
        description="Part of the tiles to run, K/N; N runs with K = 1 to N do them all. None: all.",
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default=1, description="Tiles per batch; auto: measured per tile size."
    )
    timesteps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TIMESTEPS,
        description="Network calls per tile, the mean included; none: the checkpoint's number.",
    )
    device: DeviceName = Field(
        default="auto", description="auto (CUDA if there is one), cpu, cuda or cuda:N."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Arithmetic of the network; auto: fp32 on the CPU."
    )
    compile: bool = Field(
        default=False, description="Whether torch.compile is tried: minutes first, then faster."
    )
    sampler: Literal["2m", "euler", "heun", "ancestral"] = Field(
        default="2m", description="How the detail is integrated."
    )
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="Seed of the noise of all tiles.")
    samples: int = Field(
        default=1,
        ge=1,
        le=MAX_SAMPLES,
        description="Draws per tile; above 1 opt_final_std is written.",
    )
    georeference: CleanPath | None = Field(
        default=None,
        description="Table (.csv, .geojson, .parquet) that says where tiles lie, by tile name.",
    )
    save_intermediate: bool = Field(
        default=False, description="Whether opt_v2 and s1 are saved in the output files."
    )
    statistics: bool = Field(default=True, description="Whether statistics files are written.")
    indices: str | None = Field(
        default=None, description="Spectral indices for the statistics, such as EVI2,NDWI."
    )
    opt_scale: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="Optical values are divided by this to give reflectance 0..1.",
    )
    opt_offset: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Added to optical values before the division, such as -1000.",
    )
    s1_units: Literal["db", "linear"] = Field(
        default="db", description="Units of the SAR tiles: backscatter in dB, or linear power."
    )
    fill_invalid: bool = Field(
        default=False, description="Whether non-finite pixels are filled and marked in valid_mask."
    )
    resample_s1: bool = Field(
        default=False, description="Whether S1 of another size is resampled to the opt_v2 size."
    )
    existing: Literal["resume", "skip", "overwrite", "fail"] = Field(
        default="resume", description="What happens to outputs that are already there."
    )
    engine: Literal["local", "processes", "ray"] = Field(
        default="local",
        description="Who processes tiles: this process, several on this machine, or a Ray cluster.",
    )
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="Processes, or workers on Ray; auto: as the machine suggests."
    )
    address: str | None = Field(
        default=None,
        min_length=1,
        description="Address of the Ray cluster, such as 10.0.0.1:6379. None: this machine alone.",
    )
    max_failures: MaxFailures | None = Field(
        default=None,
        description="The run stops when more tiles than this have failed: a count, or 5%.",
    )
    retry_failed: bool = Field(
        default=False, description="Whether only tiles that failed before are run."
    )
    io_threads: int = Field(
        default=2, ge=1, le=256, description="Threads that read tiles, and threads that write."
    )

    @model_validator(mode="after")
    def _folders_are_apart(self) -> InferenceConfig:
        for name in ("opt_v2_dir", "s1_dir"):
            if overlap(self.output_dir, getattr(self, name)):
                raise ValueError(
                    f"output_dir {self.output_dir} and {name} {getattr(self, name)} overlap; "
                    "input folders are never written to, so give an output folder beside them"
                )
        return self

    @model_validator(mode="after")
    def _draws_differ(self) -> InferenceConfig:
        if self.samples > 1 and self.timesteps == 1:
            raise ValueError(
                f"{self.samples} samples at timesteps 1 are all the same, the mean; "
                "their spread takes timesteps of 2 or more"
            )
        return self

    def failure_limit(self, n_tiles: int) -> int | None:
        """How many of ``n_tiles`` may fail; one more stops the run. None: all of them."""
        if self.max_failures is None:
            return None
        if self.max_failures.endswith("%"):
            return math.floor(n_tiles * float(self.max_failures[:-1]) / 100)
        return int(self.max_failures)


ConfigT = TypeVar("ConfigT", bound=BaseModel)


@dataclass(frozen=True)
class ResolvedConfig(Generic[ConfigT]):
    """A configuration and where each of its entries came from.

    Attributes:
        config: The validated configuration.
        sources: Entry name to its source: the option, the environment variable, the file, or
            ``default``.
    """

    config: ConfigT
    sources: Mapping[str, str]


def resolve_config(
    model: type[ConfigT],
    given: Mapping[str, object],
    *,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> ResolvedConfig[ConfigT]:
    """Combine the sources into one validated configuration.

    Args:
        model: The configuration wanted, such as `InferenceConfig`.
        given: Options of the command line or keyword arguments. None means not given.
        config_file: TOML file, or JSON where its name ends in ``.json``.
        environ: Environment; only ``AXION_STAGE3_<ENTRY>`` of the model's entries are read.

    Raises:
        UsageError: The file cannot be read, or an entry is unknown, missing or out of range. The
            message names every such entry and its source.
    """
    values, sources = gather_entries(model, given, config_file=config_file, environ=environ)
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        problems = _problems(model, error.errors(), sources)
        raise UsageError(
            f"The configuration cannot work: {'; '.join(problems)}.",
            hint="--help lists the options of a command and what each accepts.",
            path=config_file,
        ) from error
    for name, source in sources.items():
        if source != DEFAULT_SOURCE:
            _log.debug("%s = %s, from %s", name, getattr(config, name), source)
    return ResolvedConfig(config, sources)


def gather_entries(
    model: type[BaseModel],
    given: Mapping[str, object],
    *,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[dict[str, object], dict[str, str]]:
    """Collect what the sources say, the stronger ones over the weaker ones, without validation.

    Args:
        model: The configuration wanted.
        given: Options of the command line or keyword arguments. None means not given.
        config_file: TOML file, or JSON where its name ends in ``.json``.
        environ: Environment; only ``AXION_STAGE3_<ENTRY>`` of the model's entries are read.

    Returns:
        The entries that a source names, and for every entry of the model where it comes from.

    Raises:
        UsageError: The file cannot be read.
    """
    values: dict[str, object] = {}
    sources = dict.fromkeys(model.model_fields, DEFAULT_SOURCE)
    if config_file is not None:
        entries = _read_config_file(config_file)
        _check_switches(model, entries, config_file)
        values |= entries
        sources |= dict.fromkeys(entries, str(config_file))
    for name in model.model_fields:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if environ is not None and variable in environ:
            values[name] = environ[variable]
            sources[name] = variable
    for name, value in given.items():
        if value is not None:
            values[name] = value
            sources[name] = option_name(name)
    return values, sources


def option_name(entry: str) -> str:
    """The command-line option of a configuration entry."""
    return "--stats" if entry == "statistics" else f"--{entry.replace('_', '-')}"


def _read_config_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"The configuration file {path} cannot be read: {reason}.",
            hint="Give a TOML file (or .json) with entries such as `batch_size = 4` to --config.",
            path=path,
        ) from error
    if isinstance(document, dict) and isinstance(document.get("configuration"), dict):
        document = document["configuration"]  # a run manifest, or the document of infer --json
    if not isinstance(document, dict):
        raise UsageError(
            f"The configuration file {path} holds a {type(document).__name__}, not entries.",
            hint="Give a TOML file (or .json) with entries such as `batch_size = 4` to --config.",
            path=path,
        )
    return document


def _check_switches(model: type[BaseModel], entries: Mapping[str, object], path: Path) -> None:
    """Refuse a number or a word for a switch, and the reverse: true would pass for 1."""
    for name, value in entries.items():
        if value is None or name not in model.model_fields:
            continue
        is_switch = model.model_fields[name].annotation is bool
        if isinstance(value, bool) != is_switch:
            what = "true or false" if is_switch else "no switch"
            raise UsageError(
                f"The entry {name} in {path} is {json.dumps(value, default=str)}; it is {what}.",
                hint="`axion-stage3 config show` lists all entries with their values.",
                path=path,
            )


def _problems(
    model: type[BaseModel], errors: list[ErrorDetails], sources: Mapping[str, str]
) -> list[str]:
    problems: dict[str, str] = {}
    for details in errors:
        name = str(details["loc"][0]) if details["loc"] else ""
        reason = details["msg"].removeprefix("Value error, ").removesuffix(".")
        if not name:
            problems[name] = reason
        elif details["type"] == "missing":
            problems[name] = f"{option_name(name)} is missing"
        elif details["type"] == "extra_forbidden":
            source = sources.get(name, "the configuration")
            if source == option_name(name):  # the command line knows its options: from Python
                source = "the arguments"
            problems[name] = f"unknown entry {name!r} in {source} ({_advice(name, model)})"
        elif name in problems:  # the other alternative of a union
            problems[name] += f", or {_lower_first(reason)}"
        else:
            source = sources.get(name, "the configuration")
            # An option or variable says which entry it is; a file does not.
            names = (option_name(name), ENVIRONMENT_PREFIX + name.upper())
            where = source if source in names else f"{name} in {source}"
            problems[name] = f"{where} is {_shown(details['input'])}: {_lower_first(reason)}"
    return list(problems.values())


def _advice(unknown: str, model: type[BaseModel]) -> str:
    # An entry is named as its option is, with one exception that also has a --no- form.
    by_option = {option_name(entry)[2:].replace("-", "_"): entry for entry in model.model_fields}
    meant = by_option.get(unknown.removeprefix("no_"))
    nearest = [meant] if meant else get_close_matches(unknown, model.model_fields, n=1)
    return f"did you mean {nearest[0]}?" if nearest else "the option table has them all"


def _shown(value: object) -> str:
    text = repr(str(value) if isinstance(value, Path) else value)
    return redacted(text) if isinstance(value, str) and is_url(value) else text


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
