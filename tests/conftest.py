"""What all tests share: nothing that is always the same is made, or looked through, anew."""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

gc.disable()


def pytest_collection_finish() -> None:
    """All test modules are imported; only what is made from now on can become garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _command_line_is_built_once() -> Iterator[None]:
    """As in a process of its own; hundreds of tests give a command, which often takes less time."""
    import typer.main

    from axion_stage3.cli import app

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        patch.setattr(app, "build_app", functools.cache(app.build_app))
        yield
