"""The journal of a run in an object store: lines in numbered objects, each written once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from axion_stage3.errors import OutputError
from axion_stage3.runs import journal_segments
from axion_stage3.runs.journal import Journal, JournalHeader
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.journal_lines import encode_outcome
from axion_stage3.runs.no_lease import NoLease
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.storage import object_store
from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Iterable

pytest.importorskip("fsspec")
DIGEST = "0123456789abcdef"


@pytest.fixture
def runs_folder() -> ObjectUrl:
    return ObjectUrl(f"memory://bucket/{secrets.token_hex(4)}/runs")


def open_journal(runs_folder: ObjectUrl, session: int = 1) -> Journal:
    return Journal(runs_folder, JournalHeader(session, "main", DIGEST))


def written(tile: str, n_bytes: int = 10) -> TileOutcome:
    return TileOutcome(tile, "written", f"{DIGEST}-{'5' * 16}", output_bytes=n_bytes)


def segments(runs_folder: ObjectUrl) -> list[str]:
    return sorted(entry.name for entry in runs_folder.objects())


def test_lines_wait_until_they_are_asked_for(runs_folder: ObjectUrl) -> None:
    journal = open_journal(runs_folder)
    assert journal.is_buffered
    for name in ("a.npz", "b.npz"):
        journal.append(written(name))
    assert len(segments(runs_folder)) == 1, "the first line is written at once"
    journal.flush()
    journal.flush()
    assert len(segments(runs_folder)) == 2, "nothing waits: nothing is written"
    assert list(read_journals(runs_folder)) == ["a.npz", "b.npz"]
    journal.close("finished")
    assert read_journals(runs_folder).sessions[0].closed == "finished"


@pytest.mark.parametrize(
    ("limit", "value"), [("FLUSH_SECONDS", 0.0), ("LARGEST_SEGMENT_BYTES", 100)]
)
def test_lines_wait_neither_long_nor_until_they_are_many(
    runs_folder: ObjectUrl, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(journal_segments, limit, value)
    journal = open_journal(runs_folder)
    journal.append(written("a.npz"))
    assert list(read_journals(runs_folder)) == ["a.npz"]


def test_a_closed_journal_takes_nothing_more(runs_folder: ObjectUrl) -> None:
    journal = open_journal(runs_folder)
    journal.close("interrupted")
    with pytest.raises(OutputError, match="it is closed"):
        journal.append(written("late.npz"))


def test_lines_that_could_not_be_written_go_on_waiting(
    runs_folder: ObjectUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(runs_folder)
    journal.append(written("a.npz"))

    def refused(url: str, pieces: Iterable[Any]) -> int:
        raise PermissionError(13, "access is denied")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "write_object", refused)
        with pytest.raises(OutputError, match="access is denied"):
            journal.flush()
    journal.append(written("b.npz"))
    journal.close("finished")
    assert list(read_journals(runs_folder)) == ["a.npz", "b.npz"]
    assert [name.split(".")[2] for name in segments(runs_folder)] == ["000001", "000002"]


def test_segments_are_read_in_the_order_of_their_numbers(runs_folder: ObjectUrl) -> None:
    """The millionth has a digit more, and would come first by name."""
    for number, n_bytes in (("1000000", 2), ("999999", 1)):
        name = f"journal-000001-main.{'0' * 16}.{number}.jsonl"
        (runs_folder / name).write_once([encode_outcome(written("a.npz", n_bytes), 1.0)])
    record = read_journals(runs_folder).get("a.npz")
    assert record is not None
    assert record.output_bytes == 2


def test_two_runs_that_begin_together_keep_journals_apart(runs_folder: ObjectUrl) -> None:
    assert NoLease(runs_folder).session == 1
    first, second = open_journal(runs_folder), open_journal(runs_folder)
    first.append(written("a.npz"))
    second.append(written("b.npz"))
    first.close("finished")
    second.flush()
    index = read_journals(runs_folder)
    assert sorted(index) == ["a.npz", "b.npz"]
    assert sorted(str(session.closed) for session in index.sessions) == ["None", "finished"]
    assert NoLease(runs_folder).session == 2
