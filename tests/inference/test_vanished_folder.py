"""An output folder that goes away in the middle of a run, as a drive that is pulled out does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inference_workbench import Watcher, hashes, journal_lines, temporary_files

from axion_stage3.errors import OutputError
from axion_stage3.testing.tile_factories import write_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult


def test_the_run_stops_makes_no_new_folder_and_goes_on_when_the_old_one_is_back(
    infer: Callable[..., RunResult], tmp_path: Path
) -> None:
    for name in ("a.npz", "b.npz", "sub/c.npz", "sub/d.npz", "sub/deeper/e.npz"):
        write_pair(tmp_path, name, height=16)
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1", "io_threads": 1}
    reference = hashes(infer(**folders, output_dir=tmp_path / "reference").output_dir)
    output, elsewhere = tmp_path / "drive" / "out", tmp_path / "elsewhere"

    def pull_out(n_done: int) -> None:
        if n_done == 2:
            output.rename(elsewhere)

    with pytest.raises(OutputError, match="No such file or directory") as caught:
        infer(**folders, output_dir=output, observer=Watcher(pull_out))
    assert caught.value.exit_code == 6
    assert not output.exists()
    assert len(hashes(elsewhere)) == 2

    elsewhere.rename(output)
    assert infer(**folders, output_dir=output).exit_code == 0
    assert hashes(output) == reference
    assert not temporary_files(output)
    written = [line["tile"] for line in journal_lines(output) if line["outcome"] == "written"]
    assert sorted(written) == sorted(reference), "what was done was not done again"
