from __future__ import annotations

import os
from pathlib import Path

import pytest
from inspection_bench import EXAMPLE_TILES, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def real_folders() -> tuple[Path, Path]:
    """Folders of real opt_v2 and s1 tiles that come with the project."""
    folders = EXAMPLE_TILES / "opt_v2", EXAMPLE_TILES / "s1"
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("examples/tiles holds no tiles")
    return folders


@pytest.fixture(scope="session")
def full_data() -> Path:
    """The folder of the whole data set: s1/, s2_truth/ and tiles.csv."""
    folder = os.environ.get("AXION_STAGE3_DATA")
    if not folder:
        pytest.skip("AXION_STAGE3_DATA does not name the folder of the full data set")
    return Path(folder)
