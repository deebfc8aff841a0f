"""run-manifest.json: what was run, with what, and how it ended. Its size does not grow with tiles."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, Literal

import axion_stage3
from axion_stage3.atomic_write import write_json
from axion_stage3.runs.lease import Shard

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_SCHEMA: Final = 1
RunState = Literal["running", "finished", "interrupted", "failed"]

_PACKAGES: Final = ("torch", "numpy", "safetensors", "isal", "pydantic")


@dataclass(frozen=True, slots=True)
class RunManifest:
    """One session of a run, as it stands in ``run-manifest.json``.

    No environment variables, user names or host names: a manifest can be handed on.

    Attributes:
        command: The command line as given.
        configuration: The effective configuration (JSON values); itself a valid configuration.
        configuration_digest: Digest of the part that changes results, with the checkpoint.
        checkpoint_sha256: Of the checkpoint file.
        device: The device that was used.
        seed: The run's seed.
        n_inputs: Number of pairs given (of this shard).
        inputs_sha256: sha256 of their names, sorted, one per line.
        shard: ``3/16``, None if the run is not sharded.
        session: Number of this session on the output folder.
        state: ``running`` until the end; a manifest that says so without a living lease is of a
            session that was killed.
        exit_code: None while running.
        started_at: UTC, ISO 8601.
        finished_at: UTC, ISO 8601; None while running.
        versions: Of axion-stage3, Python, the platform and the packages results depend on.
        schema: Version of this layout.
    """

    command: tuple[str, ...]
    configuration: Mapping[str, Any]
    configuration_digest: str
    checkpoint_sha256: str
    device: str
    seed: int
    n_inputs: int
    inputs_sha256: str
    shard: str | None
    session: int
    state: RunState
    exit_code: int | None
    started_at: str
    finished_at: str | None
    versions: Mapping[str, str]
    schema: int = MANIFEST_SCHEMA
