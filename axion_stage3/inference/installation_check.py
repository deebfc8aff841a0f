"""What is installed on this machine, and whether axion-stage3 can work with it."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Mapping  # noqa: TC003  the JSON schema needs it
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

import axion_stage3
from axion_stage3.atomic_write import write_bytes
from axion_stage3.config import ENVIRONMENT_PREFIX
from axion_stage3.errors import AxionError, OutputError

INSTALLATION_SCHEMA: Final = 1
EXIT_PROBLEMS: Final = 3
_DISTRIBUTION: Final = "axion-stage3"
_PROBE_BYTES: Final = 2**20
_REQUIREMENT: Final = re.compile(
    r"([\w.-]+)(?:\[[^]]*\])?([^;]*)(?:;.*extra == ['\"]([\w-]+)['\"])?"
)


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """A package that axion-stage3 uses.

    Attributes:
        name: Its name.
        wanted: The versions that will do.
        version: The version installed; null if it is not.
        extra: The extra that it belongs to; null if everything needs it.
    """

    name: str
    wanted: str
    version: str | None
    extra: str | None


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that can compute.

    Attributes:
        name: As ``--device`` takes it.
        description: What it is.
        memory_bytes: Its own memory; null for the CPU.
    """

    name: str
    description: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """What came of writing to a folder.

    Attributes:
        folder: The folder, the home folder abbreviated as ``~``.
        can_write: Whether a file could be written, made durable, read back and removed.
        seconds: How long that took.
        free_bytes: Space left on its disk; null if the system does not say.
        reason: Why it could not be written; empty if it could.
    """

    folder: str
    can_write: bool
    seconds: float
    free_bytes: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class InstallationDocument:
    """What is installed, and what is wrong with it.

    Attributes:
        schema_version: Version of this layout.
        command: ``doctor``.
        exit_code: Of the program: 0, or 3 if there are problems.
        axion_stage3: Version of axion-stage3.
        python: Version of Python.
        system: The operating system.
        location: Where the package is, the home folder abbreviated as ``~``.
        packages: The packages that it uses.
        extras: Whether each extra is complete.
        devices: The devices that can compute, the CPU first; empty if torch cannot be loaded.
        checkpoint_sha256: Hash of the bundled checkpoint; null if it cannot be loaded.
        folder: What came of writing to a folder.
        environment: Names, not values, of the variables that axion-stage3 reads.
        problems: What is wrong, one sentence each.
    """

    schema_version: int
    command: str
    exit_code: int
    axion_stage3: str
    python: str
    system: str
    location: str
    packages: tuple[PackageRecord, ...]
    extras: Mapping[str, bool]
    devices: tuple[DeviceRecord, ...]
    checkpoint_sha256: str | None
    folder: FolderRecord
    environment: tuple[str, ...]
    problems: tuple[str, ...]


def check_installation(folder: Path | str = ".") -> InstallationDocument:
    """Look at this installation and try it.

    No values of the environment, user names or host names: the document can be handed on.

    Args:
        folder: Folder that is written to as a test; what is written is removed again.

    Returns:
        What there is, with everything that is wrong in ``problems``.
    """
    packages = _packages()
    problems = [
        f"{each.name} is not installed." for each in packages if not each.version and not each.extra
    ]
    devices: tuple[DeviceRecord, ...] = ()
    sha256 = None
    try:
        devices = _devices()
        sha256 = _bundled_checkpoint_sha256()
    except (ImportError, OSError) as error:
        problems.append(f"torch cannot be loaded: {error}.")
    except AxionError as error:
        problems.append(error.message)
    written = _try_folder(Path(folder))
    if not written.can_write:
        problems.append(written.reason)
    return InstallationDocument(
        schema_version=INSTALLATION_SCHEMA,
        command="doctor",
        exit_code=EXIT_PROBLEMS if problems else 0,
        axion_stage3=axion_stage3.__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        location=_without_home(Path(axion_stage3.__file__).parent),
        packages=packages,
        extras=_extras(packages),
        devices=devices,
        checkpoint_sha256=sha256,
        folder=written,
        environment=tuple(sorted(n for n in os.environ if n.startswith(ENVIRONMENT_PREFIX))),
        problems=tuple(_without_home(problem) for problem in problems),
    )


def _packages() -> tuple[PackageRecord, ...]:
    try:
        requirements = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # a checkout on the path, not installed
        requirements = []
    records = []
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match and match[1] != _DISTRIBUTION:
            records.append(
                PackageRecord(match[1], match[2].strip(), _installed_version(match[1]), match[3])
            )
    return tuple(records)


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extras(packages: tuple[PackageRecord, ...]) -> dict[str, bool]:
    complete: dict[str, bool] = {}
    for package in packages:
        if package.extra:
            is_there = package.version is not None
            complete[package.extra] = complete.get(package.extra, True) and is_there
    return complete


def _devices() -> tuple[DeviceRecord, ...]:
    import torch

    cpu = DeviceRecord("cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}", None)
    gpus = [
        DeviceRecord(
            f"cuda:{index}",
            torch.cuda.get_device_name(index),
            torch.cuda.get_device_properties(index).total_memory,
        )
        for index in range(torch.cuda.device_count())
    ]
    return (cpu, *gpus)


def _bundled_checkpoint_sha256() -> str:
    from axion_stage3.diffusion.checkpoint import load_checkpoint

    return load_checkpoint().sha256


def _try_folder(folder: Path) -> FolderRecord:
    probe = folder / f"axion-stage3-write-test-{secrets.token_hex(4)}"
    content = secrets.token_bytes(_PROBE_BYTES)
    reason = ""
    begin = time.perf_counter()
    try:
        write_bytes(probe, content)
        if probe.read_bytes() != content:
            reason = f"What was written to {folder} came back different."
        probe.unlink()
    except OutputError as error:
        reason = error.message
    except OSError as error:
        reason = f"Cannot read back what was written to {folder}: {error.strerror or error}."
    seconds = time.perf_counter() - begin
    return FolderRecord(_without_home(folder), not reason, seconds, _free_bytes(folder), reason)


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _without_home(text: Path | str) -> str:
    home = os.path.expanduser("~")  # noqa: PTH111  Path.home() raises where there is none
    return str(text).replace(home, "~") if len(home) > 1 else str(text)
