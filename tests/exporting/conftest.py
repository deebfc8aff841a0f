"""A run with pictures worth looking at, and the browser that looks at the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from export_workbench import make_neighbours
from headless_chromium import NAMES, find_chromium

from axion_stage3.testing.run_factories import make_run

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<img src=x onerror=alert(1)>&\"'$x^2$ 名.npz"
"""A name that file systems and ``infer`` accept."""

TILES = (*(f"north/tile_{index:02d}.npz" for index in range(7)), "south/tile_10.npz", HOSTILE)
FAILED = "north/tile_03.npz"


@pytest.fixture(scope="session")
def pictured_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of eight tiles and one that failed; beside it opt_v2, s1 and truth."""
    root = tmp_path_factory.mktemp("pictured_run")
    return make_run(root, TILES, failing=[FAILED], has_spread=True)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of four neighbouring tiles; beside it t.csv, which says where they lie."""
    return make_neighbours(tmp_path_factory.mktemp("run"))


@pytest.fixture
def table(finished_run: Path) -> tuple[str, Path]:
    return "--georeference", finished_run.parent / "t.csv"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if find_chromium() is None:
        terminalreporter.write_line(
            f"NOTICE: none of {', '.join(NAMES)} was found: the HTML report was not checked in a "
            "browser. Debian and Ubuntu: apt-get install chromium.",
            yellow=True,
        )
