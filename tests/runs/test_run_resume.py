from __future__ import annotations

import errno
import os

import pytest
from runs_workbench import Workbench, facts, kill

from axion_stage3.errors import OutputError, RunConflictError
from axion_stage3.runs.journal import Journal
from axion_stage3.runs.parts import Shard


def names(session) -> list[str]:
    return [pair.name for pair in session.plan.to_do]


ALL = ["tile_000.npz", "tile_001.npz", "tile_002.npz", "tile_003.npz"]


def test_a_new_folder_has_everything_to_do(bench: Workbench) -> None:
    with bench.open() as session:
        assert names(session) == ALL


def test_a_finished_run_has_nothing_to_do(bench: Workbench) -> None:
    bench.run()
    with bench.open() as session:
        assert names(session) == []
        assert session.plan.n_done == 4


def test_a_killed_run_goes_on(bench: Workbench) -> None:
    bench.run(stop_after=3)
    assert names(bench.run()) == ALL[3:]


def test_an_output_whose_journal_line_was_lost_is_made_again(bench: Workbench) -> None:
    session = bench.open()
    bench.write(session, bench.pairs[0])
    kill(session)
    session = bench.open()
    assert names(session) == ALL
    assert session.plan.replaced == {ALL[0]}
    session.close("finished", 0)


def test_batch_size_and_device_do_not_matter(bench: Workbench) -> None:
    bench.run(facts(batch_size=4, device="cuda"))
    assert names(bench.run(facts(batch_size=1, device="cpu"))) == []


@pytest.mark.parametrize("damage", ["missing", "shorter", "longer"])
def test_an_output_that_is_not_as_recorded_is_made_again(bench: Workbench, damage: str) -> None:
    bench.run()
    output = bench.output(bench.pairs[1])
    if damage == "missing":
        output.unlink()
    else:
        output.write_bytes(output.read_bytes()[:-1] if damage == "shorter" else b"x" * 1000)
    assert names(bench.run()) == [ALL[1]]
    assert output.read_bytes() == bench.content(bench.pairs[1])


@pytest.mark.parametrize("which", ["opt_v2_path", "s1_path"])
@pytest.mark.parametrize("how", ["size", "mtime"])
def test_a_changed_input_is_made_again(bench: Workbench, which: str, how: str) -> None:
    bench.run()
    path = getattr(bench.pairs[2], which)
    if how == "size":
        facts_before = path.stat()
        path.write_bytes(path.read_bytes() + b"!")
        os.utime(path, ns=(facts_before.st_atime_ns, facts_before.st_mtime_ns))
    else:
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert names(bench.run()) == [ALL[2]]


@pytest.mark.parametrize("change", [{"seed": 1}, {"sampler": "euler"}, {"timesteps": 5}])
def test_another_configuration_is_refused_and_named(bench: Workbench, change: dict) -> None:
    bench.run()
    seed = change.pop("seed", 0)
    with pytest.raises(RunConflictError) as caught:
        bench.open(facts(seed, **change))
    expected = f"seed: 0 -> {seed}" if seed else " -> "
    assert expected in caught.value.message
    assert "4 outputs" in caught.value.message
    for option in ("--output-dir", "--existing skip", "overwrite", "fail"):
        assert option in caught.value.hint
    assert bench.output(bench.pairs[0]).read_bytes() == bench.content(bench.pairs[0])


def test_a_refusal_leaves_no_trace(bench: Workbench) -> None:
    bench.run()
    before = {path.name: path.read_bytes() for path in (bench.output_dir / "runs").iterdir()}
    with pytest.raises(RunConflictError):
        bench.open(facts(1))
    after = {path.name: path.read_bytes() for path in (bench.output_dir / "runs").iterdir()}
    assert after == before


def test_outputs_of_another_program_are_refused(bench: Workbench) -> None:
    bench.output_dir.mkdir()
    bench.output(bench.pairs[0]).write_bytes(b"not ours")
    with pytest.raises(RunConflictError, match="by another program"):
        bench.open()


def test_outputs_of_another_configuration_are_refused_wherever_they_are(bench: Workbench) -> None:
    """Two input folders, one output folder, two configurations: still a mixture."""
    bench.run()
    others = tuple(bench.add_pair(f"tile_{i:03d}.npz") for i in (10, 11))
    with pytest.raises(RunConflictError, match="4 outputs"):
        bench.open(facts(1), pairs=others)
    bench.open(facts(1), pairs=others, existing="skip").close("finished", 0)
    bench.open(facts(1), pairs=others).close("finished", 0)  # said once is enough


def test_an_output_beside_an_old_failure_may_be_of_another_configuration(bench: Workbench) -> None:
    bench.run(failing=(ALL[1],))
    session = bench.open(facts(1), existing="overwrite")
    bench.write(session, bench.pairs[1])  # killed before its line
    kill(session)
    with pytest.raises(RunConflictError, match=ALL[1]):
        bench.open()


def test_skip_keeps_what_is_there_and_makes_the_rest(bench: Workbench) -> None:
    bench.run()
    bench.output(bench.pairs[1]).unlink()
    session = bench.run(facts(1), existing="skip")
    assert names(session) == [ALL[1]]
    assert session.plan.n_skipped == 3
    assert bench.output(bench.pairs[0]).read_bytes() == bench.content(bench.pairs[0], 0)
    assert bench.output(bench.pairs[1]).read_bytes() == bench.content(bench.pairs[1], 1)
    again = bench.run(facts(1))
    assert (names(again), again.plan.n_skipped, again.plan.newly_skipped) == ([], 3, ())


def test_a_skipped_tile_whose_output_is_gone_is_made(bench: Workbench) -> None:
    bench.run()
    bench.run(facts(1), existing="skip")
    bench.output(bench.pairs[2]).unlink()
    assert names(bench.run(facts(1))) == [ALL[2]]


def test_skip_never_overwrites_even_after_a_kill(bench: Workbench) -> None:
    bench.output_dir.mkdir()
    foreign = bench.output(bench.pairs[0])
    foreign.write_bytes(b"not ours")
    bench.run(existing="skip", stop_after=1)
    late = bench.output(bench.pairs[3])
    late.write_bytes(b"put there later")
    for _ in range(2):
        bench.run()  # goes on with what the killed session was told
    assert foreign.read_bytes() == b"not ours"
    assert late.read_bytes() == b"put there later"


def test_overwrite_makes_every_tile_again(bench: Workbench) -> None:
    bench.run()
    assert names(bench.run(existing="overwrite")) == ALL
    assert names(bench.run(facts(1), existing="overwrite")) == ALL
    for pair in bench.pairs:
        assert bench.output(pair).read_bytes() == bench.content(pair, 1)
    assert names(bench.run(facts(1))) == []


def test_an_unfinished_overwrite_goes_on_without_saying_it_again(bench: Workbench) -> None:
    bench.run()
    bench.run(facts(1), existing="overwrite", stop_after=1)
    assert names(bench.run(facts(1), stop_after=1)) == ALL[1:]
    assert names(bench.run(facts(1))) == ALL[2:]
    for pair in bench.pairs:
        assert bench.output(pair).read_bytes() == bench.content(pair, 1)


def test_outputs_that_come_back_are_still_those_of_the_other_configuration(
    bench: Workbench,
) -> None:
    bench.run()
    away = bench.output(bench.pairs[0]).rename(bench.root / "away.npz")
    for pair in bench.pairs[1:]:
        bench.output(pair).unlink()
    bench.run(facts(1), stop_after=0)
    away.rename(bench.output(bench.pairs[0]))
    with pytest.raises(RunConflictError, match="1 output "):
        bench.open(facts(1))


@pytest.mark.parametrize("stop_after", [None, 2])
def test_the_leave_to_overwrite_ends_with_the_run_it_was_given_to(
    bench: Workbench, stop_after: int | None
) -> None:
    bench.run(facts(1), existing="overwrite", stop_after=stop_after)
    bench.run(facts(0), existing="overwrite")
    with pytest.raises(RunConflictError):
        bench.open(facts(1))


def test_a_finished_overwrite_does_not_replace_what_comes_later(bench: Workbench) -> None:
    bench.run(existing="overwrite")
    pair = bench.add_pair("tile_009.npz")
    bench.output(pair).write_bytes(b"not ours")
    with pytest.raises(RunConflictError, match="1 output "):
        bench.open(pairs=(*bench.pairs, pair))


def test_a_worker_that_was_lost_leaves_no_run_unfinished(bench: Workbench) -> None:
    """Its journal has no end; that of the session that led it says how the session ended."""
    with bench.open(existing="overwrite") as session:
        Journal(bench.output_dir / "runs", session.header.led("ray-00001"))
        for pair in session.plan.to_do:
            session.record(bench.write(session, pair))
    pair = bench.add_pair("tile_009.npz")
    bench.output(pair).write_bytes(b"not ours")
    with pytest.raises(RunConflictError, match="1 output "):
        bench.open(pairs=(*bench.pairs, pair))


def test_fail_refuses_any_output(bench: Workbench) -> None:
    bench.run(existing="fail", stop_after=1)
    with pytest.raises(RunConflictError, match="--existing fail"):
        bench.open(existing="fail")
    bench.output(bench.pairs[0]).unlink()
    with bench.open(existing="fail") as session:
        assert names(session) == ALL


def test_an_output_that_the_disk_hides_is_not_taken_for_missing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.output_dir.mkdir()
    bench.output(bench.pairs[0]).write_bytes(b"of another program")
    real = os.stat

    def stat(path: object, **options: object) -> os.stat_result:
        if str(path) == str(bench.output(bench.pairs[0])):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        with pytest.raises(OutputError, match=r"tile_000.npz cannot be looked at"):
            bench.open()
    with pytest.raises(RunConflictError):
        bench.open()


def test_failed_tiles_are_tried_again_only_on_request(bench: Workbench) -> None:
    bench.run(failing=(ALL[0], ALL[2]), stop_after=3)
    session = bench.open()
    assert (names(session), session.plan.n_failed_before) == ([ALL[3]], 2)
    session.close("interrupted", 130)
    retried = bench.run(retry_failed=True)
    assert names(retried) == [ALL[0], ALL[2]]
    assert retried.plan.n_left_out == 1
    assert names(bench.run()) == [ALL[3]]


def test_a_tile_that_failed_the_validation_is_tried_again_on_request(bench: Workbench) -> None:
    with bench.open() as session:
        for pair in session.plan.to_do:
            session.record(bench.fail(session, pair, is_invalid=pair.name == ALL[1]))
    assert names(bench.run(retry_failed=True)) == ALL


def test_a_failed_tile_is_tried_again_when_its_input_changed(bench: Workbench) -> None:
    bench.run(failing=(ALL[0], ALL[1]))
    bench.change_input(bench.pairs[0])
    session = bench.open()
    assert (names(session), session.plan.n_failed_before) == ([ALL[0]], 1)
    session.close("finished", 3)


def test_failed_tiles_can_be_tried_with_other_options_beside_the_old_outputs(
    bench: Workbench,
) -> None:
    bench.run(failing=(ALL[3],))
    with pytest.raises(RunConflictError):
        bench.open(facts(fill_invalid=True), retry_failed=True)
    session = bench.run(facts(fill_invalid=True), retry_failed=True, existing="skip")
    assert names(session) == [ALL[3]]


def test_a_retry_killed_before_its_line_is_made_again(bench: Workbench) -> None:
    bench.run(failing=(ALL[0],))
    session = bench.open(retry_failed=True)
    bench.write(session, bench.pairs[0])
    kill(session)
    assert names(bench.run()) == [ALL[0]]


def test_an_output_replaced_without_a_line_is_not_taken_for_the_recorded_one(
    bench: Workbench,
) -> None:
    """Both outputs have one size: only the journal can tell that one replaced the other."""
    bench.run()
    session = bench.open(facts(1), existing="overwrite")
    bench.write(session, bench.pairs[0])
    kill(session)
    with pytest.raises(RunConflictError, match="1 output "):
        bench.open()
    with pytest.raises(RunConflictError, match="1 output "):
        bench.open(pairs=bench.pairs[1:])
    assert names(bench.run(facts(1))) == ALL
    assert {bench.output(pair).read_bytes()[:1] for pair in bench.pairs} == {b"1"}


def test_a_run_that_only_began_to_overwrite_costs_nothing_that_it_did_not_touch(
    bench: Workbench,
) -> None:
    bench.run()
    bench.open(facts(1), existing="overwrite").close("interrupted", 130)
    assert names(bench.run()) == []


@pytest.mark.parametrize("part", ["failed tiles", "other tiles"])
def test_a_killed_run_goes_on_although_a_part_was_finished_since(
    bench: Workbench, part: str
) -> None:
    session = bench.open()
    bench.write(session, bench.pairs[0])
    kill(session)
    if part == "failed tiles":
        bench.open(retry_failed=True).close("finished", 0)
    else:
        bench.open(pairs=bench.pairs[1:2]).close("finished", 0)
    assert names(bench.run()) == ALL


@pytest.mark.parametrize("is_invalid", [False, True])
def test_a_tile_that_fails_leaves_no_older_output_behind(
    bench: Workbench, is_invalid: bool
) -> None:
    bench.run()
    pair = bench.pairs[0]
    bench.output(pair).with_suffix(".json").write_text("{}")
    bench.change_input(pair)
    session = bench.open()
    session.record(bench.fail(session, pair, is_invalid=is_invalid))
    session.close("finished", 3)
    assert not bench.output(pair).exists()
    assert not bench.output(pair).with_suffix(".json").exists()


def test_a_failure_removes_nothing_that_was_not_to_be_replaced(bench: Workbench) -> None:
    session = bench.open()
    foreign = bench.output(bench.pairs[0])
    foreign.write_bytes(b"put there during the run")
    session.record(bench.fail(session, bench.pairs[0]))
    session.close("finished", 3)
    assert foreign.exists()


def test_shards_resume_each_for_itself(bench: Workbench) -> None:
    halves = (bench.pairs[:2], bench.pairs[2:])
    for k, half in enumerate(halves, start=1):
        session = bench.open(facts(shard=Shard(k, 2)), pairs=half)
        session.record(bench.write(session, half[0]))
        kill(session)
    for k, half in enumerate(halves, start=1):
        session = bench.open(facts(shard=Shard(k, 2)), pairs=half)
        assert names(session) == [half[1].name]
        session.close("finished", 0)


def test_a_shard_killed_while_overwriting_goes_on_although_others_finished(
    bench: Workbench,
) -> None:
    bench.run()
    halves = (bench.pairs[:2], bench.pairs[2:])
    first = bench.open(facts(1, shard=Shard(1, 2)), pairs=halves[0], existing="overwrite")
    kill(first)
    second = bench.open(facts(1, shard=Shard(2, 2)), pairs=halves[1], existing="overwrite")
    for pair in halves[1]:
        second.record(bench.write(second, pair))
    second.close("finished", 0)
    first = bench.open(facts(1, shard=Shard(1, 2)), pairs=halves[0])
    assert names(first) == ALL[:2]
    first.close("finished", 0)


def test_temporary_files_of_a_killed_run_are_swept(bench: Workbench) -> None:
    bench.run(stop_after=1)
    orphan = bench.output_dir / f".tile_001.npz.{'0' * 16}.tmp"
    orphan.write_bytes(b"half")
    bench.run()
    assert not orphan.exists()


def test_a_shard_sweeps_nothing(bench: Workbench) -> None:
    bench.run(stop_after=1)
    temporary = bench.output_dir / f".tile_001.npz.{'0' * 16}.tmp"
    temporary.write_bytes(b"of another shard that is writing")
    bench.open(facts(shard=Shard(1, 2))).close("finished", 0)
    assert temporary.exists()
