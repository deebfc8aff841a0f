"""Runs that the tests of statistics share; they only read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from axion_stage3.testing.run_factories import make_run

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    *(f"north/tile_{index:02d}.npz" for index in range(6)),
    *(f"south/tile_{index:02d}.npz" for index in range(5)),
    "alone.npz",
)
FAILED = "south/tile_03.npz"


@pytest.fixture(scope="session")
def stats_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of 12 tiles in three folders, one of which failed."""
    return make_run(tmp_path_factory.mktemp("stats_run"), NAMES, failing=[FAILED])
