"""What ``axion-stage3 doctor`` shows, within 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axion_stage3.inference.installation_check import InstallationDocument, PackageRecord

_GIGABYTE = 1e9


def installation_text(document: InstallationDocument) -> str:
    """Write what is installed as text that can be pasted into a bug report."""
    required = [package for package in document.packages if package.extra is None]
    lines = [
        f"axion-stage3  {document.axion_stage3}, {document.location}",
        f"Python        {document.python}",
        f"System        {document.system}",
        f"Checkpoint    {(document.checkpoint_sha256 or 'cannot be loaded')[:16]} (bundled)",
        *(
            f"Device        {d.name}: {d.description}{_memory(d.memory_bytes)}"
            for d in document.devices
        ),
        f"Folder        {document.folder.folder}: {_folder_state(document)}",
        f"Environment   {', '.join(document.environment) or 'no variable of axion-stage3 is set'}",
        "",
        "Packages",
        *map(_package_line, required),
        "",
        "Extras",
        *(_extra_line(document, extra) for extra in document.extras),
        "",
    ]
    verdict = [f"Problem: {problem}" for problem in document.problems] or ["No problem was found."]
    return "\n".join([*lines, *verdict])


def _memory(n_bytes: int | None) -> str:
    return "" if n_bytes is None else f", {n_bytes / _GIGABYTE:.0f} GB"


def _folder_state(document: InstallationDocument) -> str:
    folder = document.folder
    free = "" if folder.free_bytes is None else f", {folder.free_bytes / _GIGABYTE:.1f} GB free"
    can = (
        f"can be written ({folder.seconds * 1e3:.0f} ms)"
        if folder.can_write
        else "cannot be written"
    )
    return f"{can}{free}"


def _package_line(package: PackageRecord) -> str:
    return f"  {package.name:<14}{package.version or 'not installed':<18}wanted {package.wanted}"


def _extra_line(document: InstallationDocument, extra: str) -> str:
    missing = [p.name for p in document.packages if p.extra == extra and p.version is None]
    if not missing:
        return f"  {extra:<14}complete"
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return f"  {extra:<14}missing: {shown}"
