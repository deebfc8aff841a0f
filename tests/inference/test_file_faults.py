"""Each change of a file that a run makes fails in turn; what is left is old or new, and whole."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from inference_workbench import hashes, temporary_files

from axion_stage3.errors import OutputError
from axion_stage3.testing.faults import FileFaults, disk_fault
from axion_stage3.testing.tile_factories import write_pairs

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


@pytest.fixture
def small_run(infer: Infer, tmp_path: Path) -> Callable[[str], RunResult]:
    """Grounds two pairs, into the folder given."""
    write_pairs(tmp_path, 2, sizes=(16,))

    def run(output: str) -> RunResult:
        return infer(
            opt_v2_dir=tmp_path / "opt_v2",
            s1_dir=tmp_path / "s1",
            output_dir=tmp_path / output,
            timesteps=1,
            io_threads=1,
        )

    return run


def check_one_fault(
    run: Callable[[str], RunResult], folder: Path, fails_at: int, kind: str
) -> None:
    fault, is_lasting = FAULTS[kind]
    output = folder / f"out_{fails_at}_{kind[:4]}"
    has_ended = False
    faults = FileFaults(output.parent, fails_at, fault, is_lasting=is_lasting)
    with suppress(KeyboardInterrupt if kind == "interrupt" else OutputError), faults:
        run(output.name)
        has_ended = True
    assert len(faults.calls) > fails_at
    expected = hashes(folder / "reference", "tile_*")
    # Old or new content (here: none or all of it), and never a part.
    for name, value in hashes(output, "tile_*").items():
        if name != "tile_statistics.json" or has_ended:
            assert value == expected[name]
    assert [p for p in temporary_files(output) if "lease-clock" not in p.name] == []
    # A lease that could not be removed: a new process would see that its holder is dead.
    for lease in output.glob("runs/lease-*.json"):
        lease.unlink()
    resumed = run(output.name)
    assert resumed.exit_code == 0
    assert hashes(output, "tile_*") == expected
    assert not temporary_files(output)


def count_calls(run: Callable[[str], RunResult], folder: Path) -> int:
    with FileFaults(folder) as faults:
        run("reference")
    assert {"open", "write", "fsync", "replace", "mkdir"} <= set(faults.calls)
    return len(faults.calls)


def test_a_run_survives_faults(small_run: Callable[[str], RunResult], tmp_path: Path) -> None:
    """A sample; the slow test below takes every call and every fault."""
    n_calls = count_calls(small_run, tmp_path)
    for i, kind in enumerate(FAULTS):
        for fails_at in range(7 * i, n_calls, 23):
            check_one_fault(small_run, tmp_path, fails_at, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_a_run_survives_every_fault(
    small_run: Callable[[str], RunResult], tmp_path: Path, kind: str
) -> None:
    for fails_at in range(count_calls(small_run, tmp_path)):
        check_one_fault(small_run, tmp_path, fails_at, kind)


def test_the_faults_themselves_leave_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with FileFaults(tmp_path / "in", 0, disk_fault()) as faults:
        (tmp_path / "other").mkdir()
        assert faults.calls == []
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "in" / "folder").mkdir()
        (tmp_path / "in" / "folder").mkdir()
    assert faults.calls == ["mkdir", "mkdir"]
