"""Each operation of a run on a file fails in turn; what is left is old or new, and whole."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import hashes, journal_lines, temporary_files

from axion_stage3.errors import AxionError, ResourceError
from axion_stage3.testing.faults import FileFaults, disk_fault
from axion_stage3.testing.tile_factories import write_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult

    Infer = Callable[..., RunResult]

FAULTS: dict[str, tuple[Callable[[], BaseException], bool]] = {
    "disk full, and it stays full": (disk_fault(errno.ENOSPC), True),
    "disk fault": (disk_fault(errno.EIO), False),
    "no permission": (disk_fault(errno.EACCES), False),
    "interrupt": (KeyboardInterrupt, False),
}
EXIT_CODES = {0, 3, 4, 5, 6}


@pytest.fixture
def small_run(infer: Infer, checkpoint_path: Path, tmp_path: Path) -> Callable[..., RunResult]:
    """Grounds two pairs, into the folder given; all files lie below ``tmp_path``."""
    write_pair(tmp_path, "tile_0.npz", height=16)
    write_pair(tmp_path, "sub/tile_1.npz", height=16)
    shutil.copy(checkpoint_path, tmp_path / "tiny.safetensors")

    def run(output: str, **options: Any) -> RunResult:
        return infer(
            checkpoint=tmp_path / "tiny.safetensors",
            opt_v2_dir=tmp_path / "opt_v2",
            s1_dir=tmp_path / "s1",
            output_dir=tmp_path / output,
            timesteps=1,
            io_threads=1,
            **options,
        )

    return run


def run_with_faults(run: Callable[..., RunResult], output: Path, faults: FileFaults) -> int:
    """Exit code of a run in which an operation fails; 130 for KeyboardInterrupt."""
    with faults:
        try:
            return run(output.name).exit_code
        except AxionError as error:
            return error.exit_code
        except KeyboardInterrupt:
            return 130


def check_one_fault(run: Callable[..., RunResult], folder: Path, fails_at: int, kind: str) -> None:
    fault, is_lasting = FAULTS[kind]
    output = folder / f"out_{fails_at}_{kind[:4]}"
    faults = FileFaults(folder, fails_at, fault, is_lasting=is_lasting, has_reads=True)
    code = run_with_faults(run, output, faults)
    assert len(faults.calls) > fails_at
    assert code in (EXIT_CODES | {130} if kind == "interrupt" else EXIT_CODES)
    expected = hashes(folder / "reference", "tile_*")
    # Old or new content (here: none or all of it), and never a part.
    for name, value in hashes(output, "tile_*").items():
        if name != "tile_statistics.json" or code == 0:
            assert value == expected[name]
    # A temporary file that could not be removed is swept by the next run.
    is_cleaning_up = faults.calls[fails_at] == "unlink"
    assert is_cleaning_up or temporary_files(output) == []
    resumed = run(output.name)
    if resumed.exit_code == 3:
        resumed = run(output.name, retry_failed=True)
    assert resumed.exit_code == 0
    assert hashes(output, "tile_*") == expected
    assert not temporary_files(output)
    assert journal_lines(output)
    n_lines = len(journal_lines(output))
    assert run(output.name).exit_code == 0
    assert len(journal_lines(output)) == n_lines, "another run does no work"


def count_calls(run: Callable[..., RunResult], folder: Path) -> int:
    with FileFaults(folder, has_reads=True) as faults:
        run("reference")
    assert {"open", "write", "fsync", "close", "replace", "mkdir", "unlink"} <= set(faults.calls)
    # Which of the two lists a folder is a matter of Python's version.
    assert "stat" in faults.calls
    assert {"scandir", "listdir"} & set(faults.calls)
    return len(faults.calls)


def test_a_run_survives_faults(small_run: Callable[..., RunResult], tmp_path: Path) -> None:
    """A sample; the slow test below takes every operation and every fault."""
    n_calls = count_calls(small_run, tmp_path)
    for i, kind in enumerate(FAULTS):
        for fails_at in range(11 * i, n_calls, 47):
            check_one_fault(small_run, tmp_path, fails_at, kind)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", FAULTS)
def test_a_run_survives_every_fault(
    small_run: Callable[..., RunResult], tmp_path: Path, kind: str
) -> None:
    for fails_at in range(count_calls(small_run, tmp_path)):
        check_one_fault(small_run, tmp_path, fails_at, kind)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_stop_the_run_and_fail_no_tile(
    small_run: Callable[..., RunResult], tmp_path: Path, number: int
) -> None:
    with FileFaults(tmp_path / "opt_v2", has_reads=True) as faults:
        small_run("reference")
    opened = faults.calls.index("open")

    with (
        FileFaults(tmp_path / "opt_v2", opened, disk_fault(number), has_reads=True),
        pytest.raises(ResourceError, match="too many files are open") as caught,
    ):
        small_run("out")

    assert caught.value.exit_code == 7
    assert "start the same command again" in caught.value.hint
    assert [line for line in journal_lines(tmp_path / "out") if "error_code" in line] == []
    assert small_run("out").exit_code == 0
    assert hashes(tmp_path / "out") == hashes(tmp_path / "reference")


def test_a_tile_that_speaks_of_open_files_stops_nothing(
    small_run: Callable[..., RunResult], tmp_path: Path
) -> None:
    """Names stand in the errors of their tiles."""
    name = f"{os.strerror(errno.EMFILE)}.npz"
    write_pair(tmp_path, name, height=16)
    (tmp_path / "opt_v2" / name).write_bytes(b"no NPZ")

    result = small_run("out")

    assert [tile.tile_name for tile in result.failed_tiles] == [name]
    assert len(list((tmp_path / "out").rglob("*.npz"))) == 2


def test_the_faults_themselves_leave_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with FileFaults(tmp_path / "in", 0, disk_fault()) as faults:
        (tmp_path / "other").mkdir()
        assert faults.calls == []
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "in" / "folder").mkdir()
        (tmp_path / "in" / "folder").mkdir()
    assert faults.calls == ["mkdir", "mkdir"]
