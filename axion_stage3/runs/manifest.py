"""run-manifest.json: what was run, with what, and how it ended, in O(1) bytes."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, Literal

import axion_stage3
from axion_stage3.atomic_write import write_json
from axion_stage3.storage.locations import require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.runs.parts import Part
    from axion_stage3.storage.locations import Location

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
        n_inputs: Number of pairs given (of this part).
        inputs_sha256: sha256 of their names, sorted, one per line.
        part: ``3/16`` or ``list 0123456789abcdef``, None for a whole run.
        session: Number of this session on the output folder.
        state: ``running`` until the end; a manifest that says so without a living lease is of a
            session that was killed.
        exit_code: None while running.
        started_at: UTC, ISO 8601.
        finished_at: UTC, ISO 8601; None while running.
        versions: Of axion-stage3, Python, the platform and the packages results depend on.
        schema: Version of this layout.
        methods: How inputs are brought into the form the network needs, in words.
    """

    command: tuple[str, ...]
    configuration: Mapping[str, Any]
    configuration_digest: str
    checkpoint_sha256: str
    device: str
    seed: int
    n_inputs: int
    inputs_sha256: str
    part: str | None
    session: int
    state: RunState
    exit_code: int | None
    started_at: str
    finished_at: str | None
    versions: Mapping[str, str]
    schema: int = MANIFEST_SCHEMA
    methods: Mapping[str, str] = field(default_factory=dict)

    def ended(self, state: RunState, exit_code: int) -> RunManifest:
        """The same run with its end."""
        return replace(self, state=state, exit_code=exit_code, finished_at=utc_now())


def manifest_path(runs_folder: Location, part: Part | None = None) -> Location:
    """Where the manifest stands: ``run-manifest.json``, or ``run-manifest-3-of-16.json``."""
    suffix = "" if part is None else f"-{part.label}"
    return runs_folder / f"run-manifest{suffix}.json"


def write_manifest(path: Location, manifest: RunManifest) -> None:
    """Write it atomically.

    Raises:
        OutputError: It cannot be written.
    """
    document = asdict(manifest)
    write_json(path, {"schema": document.pop("schema"), **document})


def read_manifest(path: Location) -> dict[str, Any] | None:
    """The document of a manifest; None if it is not there or damaged.

    A manifest informs; nothing is decided by it (the journals and the outputs decide), so that a
    lost one never stops a run.
    """
    try:
        require_regular(path)
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


@cache
def installed_versions() -> Mapping[str, str]:
    """Versions of axion-stage3, Python, the platform and the packages results depend on."""
    versions = {
        "axion-stage3": axion_stage3.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def utc_now() -> str:
    """Now in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
