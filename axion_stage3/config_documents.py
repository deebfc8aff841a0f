"""The configuration of ``infer`` as documents: what holds and why, a first file, a schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.atomic_write import write_bytes
from axion_stage3.config import (
    InferenceConfig,
    gather_entries,
    resolve_config,
)
from axion_stage3.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIGURATION_SCHEMA: Final = 1
STARTER_FILE: Final = Path("axion-stage3.toml")
_SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_STARTER_FOLDERS: Final = {
    "opt_v2_dir": "stage2_outputs",
    "s1_dir": "tiles/s1",
    "output_dir": "outputs/stage3_final",
}
_STARTER_HEADING: Final = """\
# Configuration of `axion-stage3 infer --config FILE`.
# Entries behind a # are at their defaults. What is given on the command line, or in the
# environment as AXION_STAGE3_<ENTRY>, wins over this file.
"""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry of a configuration.

    Attributes:
        name: Name of the entry.
        value: Its value; null if it has none.
        source: The option, the environment variable or the file that it comes from, or ``default``.
        is_missing: Whether it is required, and no source names it.
    """

    name: str
    value: str | int | float | bool | None
    source: str
    is_missing: bool


@dataclass(frozen=True, slots=True)
class ConfigurationDocument:
    """The configuration that ``infer`` would run with.

    Attributes:
        schema_version: Version of this layout.
        command: ``config-show``.
        entries: Every entry, in the order of the option table.
    """

    schema_version: int
    command: str
    entries: tuple[EntryRecord, ...]


def describe_configuration(
    given: Mapping[str, object],
    *,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> ConfigurationDocument:
    """Find out what ``infer`` would run with, and why.

    Args:
        given: Entries as options or keyword arguments. None means not given.
        config_file: TOML file, or JSON where its name ends in ``.json``.
        environ: Environment; only ``AXION_STAGE3_<ENTRY>`` of the entries are read.

    Returns:
        All entries with their sources; folders that are still to be given are marked as missing.

    Raises:
        UsageError: The file cannot be read, or an entry is unknown or out of range.
    """
    values, sources = gather_entries(
        InferenceConfig, given, config_file=config_file, environ=environ
    )
    fields = InferenceConfig.model_fields
    missing = {name for name in fields if fields[name].is_required() and name not in values}
    # Stand-ins in the root folder overlap with no folder that somebody gives.
    stand_ins = {name: Path("/", f"<{name}>") for name in missing}
    config = resolve_config(
        InferenceConfig, {**given, **stand_ins}, config_file=config_file, environ=environ
    ).config
    effective = config.model_dump(mode="json")
    return ConfigurationDocument(
        CONFIGURATION_SCHEMA,
        "config-show",
        tuple(
            EntryRecord(
                name, None if name in missing else effective[name], sources[name], name in missing
            )
            for name in fields
        ),
    )


def configuration_text(document: ConfigurationDocument, *, with_sources: bool) -> str:
    """Write a configuration as a TOML file that ``--config`` takes again.

    Args:
        document: The configuration.
        with_sources: Whether each entry says where it comes from; otherwise what it means.
    """
    blocks = []
    for entry in document.entries:
        remark = entry.source if with_sources else _description(entry.name)
        if entry.is_missing:
            remark = f"required, not given{'' if with_sources else f': {remark}'}"
        if entry.value is None:
            line = f"# {entry.name} ="
        else:
            line = f"{entry.name} = {json.dumps(entry.value, ensure_ascii=False)}"
        blocks.append(f"{line}  # {remark}" if with_sources else f"# {remark}\n{line}\n")
    return "\n".join(blocks)


def starter_text() -> str:
    """A configuration file to begin with: folders to fill in, everything else at its default."""
    starter = InferenceConfig.model_validate(_STARTER_FOLDERS).model_dump(mode="json")
    blocks = [_STARTER_HEADING]
    for name, value in starter.items():
        text = "" if value is None else f" {json.dumps(value)}"
        mark = "" if name in _STARTER_FOLDERS else "# "
        blocks.append(f"# {_description(name)}\n{mark}{name} ={text}\n")
    return "\n".join(blocks)


def write_starter(path: Path) -> None:
    """Write the file to begin with.

    Raises:
        OutputError: It cannot be written, or something is there already.
    """
    if path.exists() or path.is_symlink():
        raise OutputError(
            f"There is a file {path} already; it is left as it is.",
            hint="Give another name, or move the file away.",
            path=path,
        )
    write_bytes(path, starter_text().encode())


def configuration_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a configuration file of ``infer``."""
    schema = InferenceConfig.model_json_schema()
    title = "Configuration of axion-stage3 infer"
    return {"$schema": _SCHEMA_DIALECT, **schema, "title": title}


def _description(name: str) -> str:
    return InferenceConfig.model_fields[name].description or ""
