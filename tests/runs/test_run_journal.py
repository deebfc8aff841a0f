from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from runs_workbench import n_open_handles

from axion_stage3.errors import (
    AxionError,
    InvalidOutputError,
    OutputError,
    RunConflictError,
    TileReadError,
)
from axion_stage3.runs import journal as journal_module
from axion_stage3.runs import journal_index
from axion_stage3.runs.journal import Journal, JournalHeader
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.journal_lines import encode_line
from axion_stage3.runs.outcome import MAX_MESSAGE_LENGTH, TileOutcome

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0123456789abcdef"
FINGERPRINT = f"{DIGEST}-{'5' * 16}"


def open_journal(folder: Path, session: int = 1, worker: str = "main") -> Journal:
    return Journal(folder, JournalHeader(session, worker, DIGEST))


def written(tile: str, n_bytes: int = 10, **changes: object) -> TileOutcome:
    return TileOutcome(tile, "written", FINGERPRINT, output_bytes=n_bytes, **changes)


def test_an_outcome_comes_back_as_it_was_given(tmp_path: Path) -> None:
    outcomes = [
        written(
            "a/ä \udcff.npz",
            7,
            seconds=0.125,
            statistics={"tile_name": "x", "mean": 0.1 + 0.2},
            stage_seconds={"read": 0.5},
        ),
        TileOutcome.of_error(
            "b.npz",
            TileReadError("Truncated.", hint="Copy it again."),
            phase="read",
            fingerprint=FINGERPRINT,
        ),
        TileOutcome("c.npz", "skipped", FINGERPRINT),
    ]
    with open_journal(tmp_path) as journal:
        for outcome in outcomes:
            journal.append(outcome)
    index = read_journals(tmp_path)
    assert list(index.outcomes([outcome.tile for outcome in outcomes])) == outcomes
    assert index.n_unreadable_lines == 0


def test_one_tile_is_found_without_reading_the_others(tmp_path: Path) -> None:
    names = ["a.npz", "b/a.npz", "a.npz.npz", 'say "hi".npz', "ä \udcff.npz", "back\\slash.npz"]
    failure = TileOutcome.of_error(
        "a.npz", TileReadError('{"tile":"b/a.npz",'), phase="read", fingerprint=FINGERPRINT
    )
    for session in (1, 2):
        with open_journal(tmp_path, session) as journal:
            journal.append(failure)
            for name in names[session - 1 :]:
                journal.append(written(name, session))
    whole = read_journals(tmp_path)

    for name in names:
        index = read_journals(tmp_path, only=name)
        assert list(index) == [name]
        assert list(index.outcomes([name])) == list(whole.outcomes([name]))
    assert list(read_journals(tmp_path, only="c.npz")) == []


def test_a_newer_journal_is_refused_for_one_tile_too(tmp_path: Path) -> None:
    newer = encode_line({"journal": 99, "configuration": DIGEST})
    (tmp_path / "journal-000001-main.jsonl").write_bytes(newer)

    with pytest.raises(RunConflictError, match="newer version"):
        read_journals(tmp_path, only="a.npz")


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (TileReadError("x"), "failed", "AX-E411"),
        (InvalidOutputError("x"), "invalid", "AX-E420"),
        (ZeroDivisionError("x"), "failed", "AX-E900"),
    ],
)
def test_an_error_becomes_an_outcome(error: Exception, outcome: str, code: str) -> None:
    described = TileOutcome.of_error("t.npz", error, phase="compute", fingerprint=FINGERPRINT)
    assert (described.outcome, described.error_code, described.phase) == (outcome, code, "compute")
    assert "x" in described.message


def test_a_long_message_stays_a_line(tmp_path: Path) -> None:
    error = TileReadError("m" * 10**6 + "\n", hint="h" * 10**6)
    with open_journal(tmp_path) as journal:
        journal.append(TileOutcome.of_error("t.npz", error, phase="read", fingerprint=FINGERPRINT))
    (outcome,) = read_journals(tmp_path).outcomes(["t.npz"])
    assert outcome.message == "m" * MAX_MESSAGE_LENGTH


def test_numbers_that_json_cannot_say_become_null(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.append(written("t.npz", statistics={"mean": float("nan"), "max": 1.0}))
    (outcome,) = read_journals(tmp_path).outcomes(["t.npz"])
    assert outcome.statistics == {"mean": None, "max": 1.0}


def test_a_line_is_with_the_kernel_when_append_returns(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(written("t.npz"))
    assert read_journals(tmp_path).get("t.npz") is not None  # nothing was flushed or closed
    journal.close("interrupted")
    journal.close("finished")
    assert read_journals(tmp_path).sessions[0].closed == "interrupted"


def test_a_closed_journal_takes_nothing_more(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.close("interrupted")
    with pytest.raises(OutputError, match="cannot be written"):
        journal.append(written("late.npz"))
    assert len(read_journals(tmp_path)) == 0


@pytest.mark.parametrize("n_cut", [1, 2, 30])
def test_a_torn_last_line_is_passed_over(tmp_path: Path, n_cut: int) -> None:
    journal = open_journal(tmp_path)
    journal.append(written("whole.npz"))
    journal.append(written("torn.npz"))
    os.truncate(journal.path, journal.path.stat().st_size - n_cut)
    index = read_journals(tmp_path)
    assert set(index) == {"whole.npz"}
    assert index.n_unreadable_lines == 1


def test_a_damaged_line_in_the_middle_loses_only_itself(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for name in ("a.npz", "b.npz", "c.npz"):
            journal.append(written(name))
    data = journal.path.read_bytes()
    journal.path.write_bytes(data.replace(b'"b.npz"', b'"d.npz"'))
    index = read_journals(tmp_path)
    assert set(index) == {"a.npz", "c.npz"}
    assert index.n_unreadable_lines == 1


@pytest.mark.parametrize("entry", ["statistics", "stage_seconds"])
def test_a_figure_beyond_all_numbers_is_a_damaged_line(entry: str, tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.append(written("a.npz", **{entry: {"mean": 10**400}}))
        journal.append(written("b.npz", **{entry: {"mean": 10**18}}))
    index = read_journals(tmp_path)
    assert [outcome.tile for outcome in index.outcomes(["a.npz", "b.npz"])] == ["b.npz"]


def test_later_lines_and_later_sessions_win(tmp_path: Path) -> None:
    failure = TileOutcome.of_error(
        "t.npz", TileReadError("x"), phase="read", fingerprint=FINGERPRINT
    )
    with open_journal(tmp_path, session=10) as journal:
        journal.append(written("t.npz", 1))
        journal.append(written("t.npz", 2))
    with open_journal(tmp_path, session=9) as journal:
        journal.append(written("t.npz", 3))
    record = read_journals(tmp_path).get("t.npz")
    assert record is not None
    assert record.output_bytes == 2
    with open_journal(tmp_path, session=11) as journal:
        journal.append(written("t.npz", 4))
        journal.append(failure)
    record = read_journals(tmp_path).get("t.npz")
    assert record is not None
    assert record.outcome == "failed"


@pytest.mark.parametrize("first", ["ray-1", "ray-2"])
def test_between_workers_of_one_session_written_wins(tmp_path: Path, first: str) -> None:
    failure = TileOutcome.of_error(
        "t.npz", TileReadError("x"), phase="read", fingerprint=FINGERPRINT
    )
    with open_journal(tmp_path, worker="ray-1") as one, open_journal(tmp_path, worker="ray-2") as b:
        for journal in (one, b):
            is_first = first in journal.path.name
            journal.append(written("t.npz") if is_first else failure)
    record = read_journals(tmp_path).get("t.npz")
    assert record is not None
    assert record.outcome == "written"


def test_between_workers_of_one_session_an_end_outweighs_a_beginning(tmp_path: Path) -> None:
    failure = TileOutcome.of_error(
        "t.npz", TileReadError("x"), phase="read", fingerprint=FINGERPRINT
    )
    with open_journal(tmp_path, worker="ray-1") as one, open_journal(tmp_path, worker="ray-2") as b:
        one.append(failure)
        b.append(TileOutcome("t.npz", "replacing", FINGERPRINT))
    record = read_journals(tmp_path).get("t.npz")
    assert record is not None
    assert record.outcome == "failed"


@pytest.mark.parametrize("tile", ["t.npz", "ü.npz"])
def test_of_two_workers_that_wrote_a_tile_the_later_counts(tmp_path: Path, tile: str) -> None:
    """Whichever way its line is read: names that JSON spells otherwise are read slowly."""
    for number in (1, 2):
        with open_journal(tmp_path, worker=f"ray-{number}") as journal:
            journal.append(written(tile, number))
    record = read_journals(tmp_path).get(tile)
    assert record is not None
    assert record.output_bytes == 2


def test_few_of_many_journals_are_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_index, "_MAX_OPEN_FILES", 2)
    names = [f"{number}.npz" for number in range(9)]
    for number, name in enumerate(names):
        with open_journal(tmp_path, session=number + 1) as journal:
            journal.append(written(name))
    index = read_journals(tmp_path)
    n_before = n_open_handles()
    found = [(o.tile, n_open_handles() - n_before) for o in index.outcomes(names)]
    assert [tile for tile, _ in found] == names
    assert max(n_open for _, n_open in found) <= 2
    assert n_open_handles() == n_before


def test_sessions_tell_how_they_ended(tmp_path: Path) -> None:
    open_journal(tmp_path, session=1)
    open_journal(tmp_path, session=2).close("failed")
    sessions = read_journals(tmp_path).sessions
    assert [(s.session, s.closed, s.configuration_digest) for s in sessions] == [
        (1, None, DIGEST),
        (2, "failed", DIGEST),
    ]


def test_a_session_never_appends_to_an_older_file(tmp_path: Path) -> None:
    open_journal(tmp_path).close("finished")
    with pytest.raises(OutputError, match="cannot be written"):
        open_journal(tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal-000001-main.jsonl"
    path.write_bytes(encode_line({"journal": 99}))
    with pytest.raises(RunConflictError, match=r"newer version .* schema 99"):
        read_journals(tmp_path)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("journal-1.jsonl", "journal-000001-main.jsonl.bak", "notes.txt"):
        (tmp_path / name).write_bytes(b"\xff\x00")
    assert len(read_journals(tmp_path)) == 0
    assert len(read_journals(tmp_path / "missing")) == 0


def test_an_unreadable_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be read"):
        read_journals(tmp_path / "runs")


@pytest.mark.parametrize(
    "change",
    [
        {"tile": ""},
        {"tile": 5},
        {"outcome": "fine"},
        {"outcome": ["written"]},
        {"fingerprint": "short"},
        {"fingerprint": "zz" * 16},
        {"fingerprint": f"{DIGEST}-{' ' * 16}"},
        {"fingerprint": f"{DIGEST[:14]}-{'5' * 18}"},
        {"seconds": "long"},
        {"phase": "lunch"},
        {"message": 5},
        {"output_bytes": 2**70},
        {"output_bytes": -1},
    ],
)
def test_a_whole_line_that_says_nonsense_is_passed_over(
    tmp_path: Path, change: dict[str, object]
) -> None:
    sound = {"tile": "t.npz", "outcome": "written", "fingerprint": FINGERPRINT, "seconds": 1}
    path = tmp_path / "journal-000001-main.jsonl"
    path.write_bytes(encode_line({**sound, **change}))
    index = read_journals(tmp_path)
    assert (len(index), index.n_unreadable_lines) == (0, 1)


def test_a_full_disk_is_an_output_error_and_spoils_no_later_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    real_write = os.write
    calls = 0

    def write_a_part_then_fail(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, bytes(data)[:20])

    monkeypatch.setattr(os, "write", write_a_part_then_fail)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        journal.append(written("lost.npz"))
    assert caught.value.exit_code == 6
    assert "goes on where it stopped" in caught.value.hint
    monkeypatch.undo()
    journal.append(written("kept.npz"))
    assert set(read_journals(tmp_path)) == {"kept.npz"}


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path)
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data)[:7]))
    journal.append(written("t.npz"))
    monkeypatch.undo()
    index = read_journals(tmp_path)
    assert (set(index), index.n_unreadable_lines) == ({"t.npz"}, 0)


def test_fsync_is_batched_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    journal = open_journal(tmp_path)
    assert len(synced) == 1, "the first line is synced at once"
    for _ in range(100):
        journal.append(written("t.npz"))
    assert len(synced) == 1
    now = journal_module.FSYNC_INTERVAL_SECONDS
    journal.append(written("t.npz"))
    assert len(synced) == 2
    journal.close("finished")
    assert len(synced) == 3


def test_threads_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)

    def append_many(thread: int) -> None:
        for i in range(200):
            journal.append(written(f"{thread}_{i}.npz", statistics={"text": "x" * (i * 7 % 300)}))

    threads = [threading.Thread(target=append_many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close("finished")
    index = read_journals(tmp_path)
    assert (len(index), index.n_unreadable_lines) == (800, 0)


def test_the_index_does_not_hold_statistics(tmp_path: Path) -> None:
    import tracemalloc

    line = {f"statistic_{i}": i / 7 for i in range(26)}
    with open_journal(tmp_path) as journal:
        for i in range(5000):
            journal.append(written(f"scene/tile_{i:06d}.npz", statistics=line))
    tracemalloc.start()
    index = read_journals(tmp_path)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index) == 5000
    assert used / 5000 < 400


def test_only_axion_errors_leave_a_journal_on_a_vanished_folder(tmp_path: Path) -> None:
    with pytest.raises(AxionError):
        open_journal(tmp_path / "gone")
