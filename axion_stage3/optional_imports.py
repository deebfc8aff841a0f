"""Libraries that an extra brings, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from axion_stage3.errors import MissingExtraError


def import_extra(module: str, *, extra: str, need: str) -> Any:
    """Import a module of a library that need not be installed.

    Args:
        module: Such as ``pyarrow.parquet``.
        extra: The extra of this project that brings it.
        need: Who needs it, as the beginning of a sentence: ``Parquet files need``.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{need} {module.partition('.')[0]}, which is not installed.",
            hint=f"pip install 'axion-stage3[{extra}]'",
        ) from error
