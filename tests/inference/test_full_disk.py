"""A real disk that fills up: the run stops with one message and goes on when there is space."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from inference_workbench import hashes, read_output, temporary_files

from axion_stage3.errors import OutputError
from axion_stage3.testing.tile_factories import write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_run_on_a_full_disk_stops_and_goes_on_later(
    infer: Callable[..., RunResult], tmp_path: Path, small_disk: Path
) -> None:
    names = [pair.name for pair in write_pairs(tmp_path, 12, sizes=(40,))]
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1"}
    output = small_disk / "out"
    with pytest.raises(OutputError, match="No space left on device") as caught:
        infer(**folders, output_dir=output)
    assert caught.value.exit_code == 6
    assert "start the same command again" in caught.value.hint
    assert 0 < len(hashes(output)) < len(names)
    for name in hashes(output):
        assert read_output(output / name)["opt_final"].shape == (4, 40, 40)
    assert not temporary_files(output)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert infer(**folders, output_dir=output).exit_code == 0
    reference = infer(**folders, output_dir=tmp_path / "reference").output_dir
    assert hashes(output) == hashes(reference)
