"""Whatever happens to journals, no unfinished tile is ever taken for a finished one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs_workbench import Workbench, facts, kill

from axion_stage3.errors import AxionError
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.journal_lines import (
    decode_head,
    decode_line,
    decode_written,
    encode_line,
    encode_outcome,
)
from axion_stage3.runs.summary import build_summary
from axion_stage3.testing.strategies import damaged_journals, outcomes

if TYPE_CHECKING:
    from axion_stage3.runs.outcome import TileOutcome

pytestmark = pytest.mark.usefixtures("_no_fsync")

fractions = st.floats(0, 1, exclude_max=True)
texts = st.text(st.characters(codec=None), min_size=1, max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(st.dictionaries(texts, st.none() | numbers | texts | st.lists(numbers, max_size=2)))
def test_any_document_survives_a_line(document: dict[str, object]) -> None:
    line = encode_line({"a": 1, **document})
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert decode_line(line) == {"a": 1, **document}


@given(outcomes())
def test_the_head_says_what_the_whole_line_says(outcome: TileOutcome) -> None:
    line = encode_outcome(outcome, 1.0)
    whole, head = decode_line(line), decode_head(line)
    assert whole is not None
    assert head == {k: v for k, v in whole.items() if k not in ("statistics", "stage_seconds")}


@given(outcomes(st.sampled_from(("a b/c.npz", 'say "a".npz', "back\\slash.npz", "ü.npz", "\x7f"))))
def test_the_quick_reading_of_a_line_says_what_the_whole_line_says(outcome: TileOutcome) -> None:
    line = encode_outcome(outcome, 12.345)
    written = decode_written(line)
    is_usual = (outcome.tile, outcome.outcome, outcome.phase) == ("a b/c.npz", "written", None)
    assert (written is not None) == is_usual, "what is usual must be read quickly"
    if written is not None:
        digests = (bytes.fromhex(half) for half in outcome.fingerprint.split("-"))
        assert written == (outcome.tile, *digests, 12.345, outcome.output_bytes)
        assert decode_written(line[:-1]) is None
        assert decode_written(line.replace(b'"a b', b'"a c')) is None


@given(st.binary(max_size=200))
def test_no_foreign_bytes_are_taken_for_a_line(data: bytes) -> None:
    assert decode_line(data) is None


@given(outcomes(), st.data())
def test_no_changed_byte_goes_unnoticed(outcome: TileOutcome, data: st.DataObject) -> None:
    line = bytearray(encode_outcome(outcome, 1.0))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert decode_line(bytes(line)) is None


@settings(max_examples=80, deadline=None)
@given(damaged_journals())
def test_damaged_journals_say_nothing_that_was_not_written(
    journals: tuple[list[list[TileOutcome]], list[bytes]],
) -> None:
    """Cuts, flipped bytes, pieces of one file inside another: only whole lines count."""
    written, left = journals
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for session, content in enumerate(left, start=1):
            (folder / f"journal-{session:06d}-main.jsonl").write_bytes(content)
        index = read_journals(folder)
        recorded = ("written", "skipped")
        known = {
            (o.tile, o.outcome, o.fingerprint, o.output_bytes if o.outcome in recorded else 0)
            for lines in written
            for o in lines
        }
        for tile in index:
            record = index.get(tile)
            assert record is not None
            assert (tile, record.outcome, record.fingerprint, record.output_bytes) in known
        summary = build_summary(index, "a" * 16)
        counts = ("processed", "failed", "skipped", "pending")
        assert summary["total_tiles"] == sum(summary[count] for count in counts)
        assert min(summary[count] for count in counts) >= 0


@settings(max_examples=60, deadline=None)
@given(
    n_recorded=st.integers(0, 3),
    damage=st.lists(st.tuples(fractions, st.integers(0, 255)), max_size=3),
    kept=fractions | st.just(1.0),
    shortened=st.sets(st.integers(0, 2)),
)
def test_a_tile_is_done_only_if_its_output_is_right(
    n_recorded: int, damage: list[tuple[float, int]], kept: float, shortened: set[int]
) -> None:
    """Kill a run, damage its journals in any way, resume: every output is right in the end."""
    with tempfile.TemporaryDirectory() as name:
        bench = Workbench(Path(name), n_tiles=3)
        session = bench.open()
        for i, pair in enumerate(bench.pairs):
            outcome = bench.write(session, pair)
            if i < n_recorded:
                session.record(outcome)
        kill(session)
        path = next((bench.output_dir / "runs").glob("journal-*"))
        content = bytearray(path.read_bytes())
        for place, byte in damage:
            content[int(place * len(content))] = byte
        path.write_bytes(bytes(content[: int(kept * len(content))]))
        for i in shortened:
            bench.output(bench.pairs[i]).write_bytes(b"short")
        try:
            bench.run()
        except AxionError:
            # Without a readable journal nobody knows whose outputs these are: asked, not guessed.
            bench.run(facts(), existing="overwrite")
        for pair in bench.pairs:
            assert bench.output(pair).read_bytes() == bench.content(pair)
