from __future__ import annotations

import json
import random
import tracemalloc

import pytest
from runs_workbench import Workbench, facts, kill

from axion_stage3.errors import TileReadError
from axion_stage3.runs import summary as summary_module
from axion_stage3.runs.fingerprint import RunFingerprint
from axion_stage3.runs.journal import Journal, JournalHeader
from axion_stage3.runs.journal_index import JournalIndex, read_journals
from axion_stage3.runs.journal_lines import encode_outcome
from axion_stage3.runs.merging import merge_run
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.parts import Shard
from axion_stage3.runs.summary import build_summary, write_reports

TIMES = ("processing_time_seconds", "tiles_per_second")
GUIDE_FIELDS = [
    "total_tiles",
    "processed",
    "failed",
    "success_rate",
    "processing_time_seconds",
    "tiles_per_second",
    "aggregate_stats",
]
GUIDE_STATISTICS = ["opt_final_mean", "opt_final_std", "change_mean", "change_max"]
DIGEST = RunFingerprint.of(facts().configuration, facts().checkpoint_sha256).configuration_digest


def reports(bench: Workbench) -> tuple[dict, bytes]:
    summary = json.loads((bench.output_dir / "inference_summary.json").read_text())
    for name in TIMES:
        summary.pop(name)
    return summary, (bench.output_dir / "tile_statistics.json").read_bytes()


def finish(bench: Workbench, failing: tuple[str, ...] = (), **options: object) -> None:
    session = bench.open(**options)
    for pair in session.plan.to_do:
        failed = pair.name in failing
        session.record(bench.fail(session, pair) if failed else bench.write(session, pair))
    session.write_summary()
    session.close("finished", 3 if failing else 0)


def test_the_summary_has_the_fields_of_the_guide_first(bench: Workbench) -> None:
    finish(bench, failing=("tile_002.npz",))
    summary = json.loads((bench.output_dir / "inference_summary.json").read_text())
    assert list(summary)[:7] == GUIDE_FIELDS
    assert list(summary["aggregate_stats"])[:4] == GUIDE_STATISTICS
    assert (summary["total_tiles"], summary["processed"], summary["failed"]) == (4, 3, 1)
    assert summary["success_rate"] == 0.75
    assert summary["aggregate_stats"]["opt_final_mean"] == pytest.approx((0 + 1 + 3) / 7 / 3)
    assert summary["aggregate_stats"]["change_max"] == pytest.approx(3 / 7)
    assert summary["stage_seconds"] == {"compute": 1.5, "read": 0.75}
    (failure,) = summary["failed_tiles"]
    assert failure == {
        "tile_name": "tile_002.npz",
        "outcome": "failed",
        "phase": "read",
        "error_code": "AX-E411",
        "reason": "Not an NPZ file.",
        "hint": "Look at it.",
    }


def test_tile_statistics_are_a_list_sorted_by_name(bench: Workbench) -> None:
    finish(bench, failing=("tile_001.npz",))
    statistics = json.loads((bench.output_dir / "tile_statistics.json").read_text())
    assert [entry["tile_name"] for entry in statistics] == [
        "tile_000.npz",
        "tile_002.npz",
        "tile_003.npz",
    ]
    assert statistics[2]["opt_final_mean"] == 3 / 7, "to the last bit"


def test_statistics_of_very_many_tiles_are_json_lines(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(bench)
    listed = json.loads((bench.output_dir / "tile_statistics.json").read_text())
    monkeypatch.setattr(summary_module, "MAX_STATISTICS_LISTED", 3)
    finish(bench)
    assert not (bench.output_dir / "tile_statistics.json").exists()
    lines = (bench.output_dir / "tile_statistics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == listed
    monkeypatch.undo()
    finish(bench)
    assert not (bench.output_dir / "tile_statistics.jsonl").exists()
    assert json.loads((bench.output_dir / "tile_statistics.json").read_text()) == listed


def test_a_run_of_nothing_but_failures_still_has_its_documents(bench: Workbench) -> None:
    finish(bench, failing=tuple(pair.name for pair in bench.pairs))
    summary, statistics = reports(bench)
    assert json.loads(statistics) == []
    assert summary["aggregate_stats"]["opt_final_mean"] is None
    assert (summary["processed"], summary["failed"], summary["success_rate"]) == (0, 4, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_after_any_kills_the_reports_equal_those_of_one_run(bench: Workbench, seed: int) -> None:
    failing = ("tile_001.npz",)
    finish(bench, failing)
    expected = reports(bench)
    other = Workbench(bench.root / "other")
    other_random = random.Random(seed)
    for _ in range(3):
        session = other.open()
        for pair in session.plan.to_do[: other_random.randrange(3)]:
            failed = pair.name in failing
            session.record(other.fail(session, pair) if failed else other.write(session, pair))
        session.write_summary()
        kill(session)
    finish(other, failing)
    assert reports(other) == expected


def test_shards_merge_into_the_reports_of_one_run(bench: Workbench) -> None:
    finish(bench, failing=("tile_003.npz",))
    expected = reports(bench)
    other = Workbench(bench.root / "other")
    for k, part in enumerate((other.pairs[::2], other.pairs[1::2]), start=1):
        session = other.open(facts(shard=Shard(k, 2)), pairs=part)
        for pair in part:
            failed = pair.name == "tile_003.npz"
            session.record(other.fail(session, pair) if failed else other.write(session, pair))
        session.close("finished", 0)
    write_reports(other.output_dir, read_journals(other.output_dir / "runs"), DIGEST)
    assert reports(other) == expected


def test_a_merge_counts_the_tiles_that_its_shards_have_not_come_to(bench: Workbench) -> None:
    for k, part in enumerate((bench.pairs[:1], bench.pairs[1:]), start=1):
        session = bench.open(facts(shard=Shard(k, 2)), pairs=part)
        session.record(bench.write(session, part[0]))
        session.close("finished" if k == 1 else "interrupted", 0)
    merged = merge_run(bench.output_dir)
    assert merged.progress.unfinished == (2,)
    assert (merged.summary["total_tiles"], merged.summary["pending"]) == (4, 2)
    assert merged.summary["success_rate"] == 0.5


def test_what_is_kept_is_described_as_it_was(bench: Workbench) -> None:
    bench.run(facts(seed=0))
    bench.output(bench.pairs[0]).unlink()
    finish(bench, run=facts(seed=1), existing="skip")
    summary, statistics = reports(bench)
    assert (summary["processed"], summary["skipped"], summary["pending"]) == (1, 3, 0)
    assert summary["success_rate"] == 1.0
    means = [entry["opt_final_mean"] for entry in json.loads(statistics)]
    assert means == [1.0, 1 / 7, 2 / 7, 3 / 7]
    assert summary["aggregate_stats"]["n_tiles"] == 4
    # Kept once more, it is still known.
    finish(bench, run=facts(seed=2), existing="skip")
    summary, statistics = reports(bench)
    assert [entry["opt_final_mean"] for entry in json.loads(statistics)] == means


def test_what_is_kept_and_not_as_recorded_is_not_described(bench: Workbench) -> None:
    bench.run(facts(seed=0))
    bench.output(bench.pairs[0]).write_bytes(b"somebody else's")
    finish(bench, run=facts(seed=1), existing="skip")
    bench.output(bench.pairs[1]).write_bytes(b"changed later")
    finish(bench, run=facts(seed=1))
    summary, statistics = reports(bench)
    assert [entry["opt_final_mean"] for entry in json.loads(statistics)] == [2 / 7, 3 / 7]
    assert (summary["processed"], summary["skipped"], summary["failed"]) == (0, 4, 0)
    assert summary["success_rate"] == 0.5


def test_what_is_still_to_be_overwritten_is_pending(bench: Workbench) -> None:
    bench.run(facts(seed=0), failing=("tile_003.npz",))
    session = bench.open(facts(seed=1), existing="overwrite")
    session.record(bench.write(session, bench.pairs[0]))
    summary = session.summary()
    session.close("interrupted", 130)
    assert (summary["processed"], summary["failed"], summary["pending"]) == (1, 0, 3)
    assert summary["aggregate_stats"]["n_tiles"] == 1


def test_an_interrupted_run_says_what_is_pending(bench: Workbench) -> None:
    session = bench.open()
    session.record(bench.write(session, bench.pairs[0]))
    summary = session.summary()
    session.close("interrupted", 130)
    assert (summary["total_tiles"], summary["processed"], summary["pending"]) == (4, 1, 3)
    assert summary["success_rate"] == 0.25


def test_processing_time_adds_up_the_sessions(bench: Workbench) -> None:
    for session_number, times in enumerate(((4.0, 2.0), (3.0,)), start=1):
        for worker, seconds in enumerate(times):
            path = bench.root / f"journal-{session_number:06d}-w-{worker}.jsonl"
            header = JournalHeader(session_number, "w-0", DIGEST)
            header = header.led(f"w-{worker}") if worker else header
            Journal(bench.root, header).close("finished")
            name = f"{session_number}{worker}.npz"
            outcome = TileOutcome(name, "written", f"{DIGEST}-{'5' * 16}")
            with path.open("ab") as file:
                file.write(encode_outcome(outcome, seconds))
    summary = build_summary(read_journals(bench.root), DIGEST)
    assert summary["processing_time_seconds"] == 7.0
    assert summary["tiles_per_second"] == round(3 / 7, 4)


def many_outcomes(bench: Workbench, n: int, *, is_failed: bool = False) -> JournalIndex:
    journal = Journal(bench.root, JournalHeader(1, "main", DIGEST))
    statistics = {f"statistic_{i}": i / 7 for i in range(26)}
    for i in range(n):
        journal.append(
            TileOutcome(
                f"tile_{i:06d}.npz",
                "failed" if is_failed else "written",
                f"{DIGEST}-{'5' * 16}",
                phase="read" if is_failed else None,
                message="No.",
                statistics=None if is_failed else statistics,
            )
        )
    journal.close("finished")
    return read_journals(bench.root)


def test_the_list_of_failures_is_capped(bench: Workbench) -> None:
    summary = build_summary(many_outcomes(bench, 1100, is_failed=True), DIGEST)
    assert len(summary["failed_tiles"]) == 1000
    assert summary["failed_tiles"][0]["tile_name"] == "tile_000000.npz"
    assert (summary["failed"], summary["failed_tiles_omitted"]) == (1100, 100)


def test_memory_does_not_grow_with_the_statistics(bench: Workbench) -> None:
    index = many_outcomes(bench, 2000)
    tracemalloc.start()
    write_reports(bench.root, index, DIGEST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    written = (bench.root / "tile_statistics.json").stat().st_size
    assert written > 1_000_000
    assert peak < 300_000
    assert (bench.root / "inference_summary.json").stat().st_size < 3000


def test_a_statistic_that_is_not_a_number_is_listed_but_not_aggregated(bench: Workbench) -> None:
    session = bench.open()
    outcome = TileOutcome(
        "tile_000.npz",
        "written",
        session.fingerprint(bench.pairs[0]),
        statistics={"tile_name": "tile_000.npz", "change_max": float("inf")},
    )
    session.record(outcome)
    session.record(bench.write(session, bench.pairs[1]))
    session.write_summary()
    session.close("finished", 0)
    summary, statistics = reports(bench)
    assert json.loads(statistics)[0]["change_max"] is None
    assert summary["aggregate_stats"]["n_tiles"] == 1


def test_names_and_reasons_that_are_no_text_still_give_json(bench: Workbench) -> None:
    session = bench.open()
    pair, other = bench.pairs[:2]
    fingerprint = session.fingerprint(pair)
    error = TileReadError("Cannot read \udcff.")
    session.record(
        TileOutcome(
            pair.name,
            "written",
            fingerprint,
            statistics={"tile_name": "ü\udcff", "change_max": 1.0},
        )
    )
    session.record(TileOutcome.of_error(other.name, error, phase="read", fingerprint=fingerprint))
    session.write_summary()
    session.close("finished", 3)
    summary, listed = reports(bench)
    assert json.loads(listed)[0]["tile_name"] == "ü\udcff"
    assert summary["failed_tiles"][0]["reason"] == "Cannot read \\udcff."
