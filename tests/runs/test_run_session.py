from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from runs_workbench import CHECKPOINT, Workbench, facts, kill, n_open_handles

from axion_stage3 import __version__
from axion_stage3.errors import InputFolderError, OutputError, RunConflictError
from axion_stage3.rasters.raster_pairing import RasterPair
from axion_stage3.runs.fingerprint import RESULT_FIELDS, RunFingerprint
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.outcome import TileOutcome
from axion_stage3.runs.parts import Shard

if TYPE_CHECKING:
    from pathlib import Path


def manifest(bench: Workbench, name: str = "run-manifest.json") -> dict:
    return json.loads((bench.output_dir / "runs" / name).read_text())


def test_the_manifest_says_what_is_running(bench: Workbench) -> None:
    with bench.open(facts(seed=7)):
        document = manifest(bench)
    assert document["state"] == "running"
    assert document["exit_code"] is None
    assert document["command"] == ["axion-stage3", "infer"]
    assert document["configuration"] == dict(facts(seed=7).configuration)
    assert (document["seed"], document["device"], document["part"]) == (7, "cpu", None)
    assert document["checkpoint_sha256"] == CHECKPOINT
    assert document["n_inputs"] == 4
    assert document["versions"]["axion-stage3"] == __version__
    assert {"python", "torch", "numpy"} <= set(document["versions"])


def test_the_manifest_says_how_it_ended(bench: Workbench) -> None:
    session = bench.open()
    session.close("finished", 3)
    session.close("failed", 1)
    document = manifest(bench)
    assert (document["state"], document["exit_code"]) == ("finished", 3)
    assert document["started_at"] <= document["finished_at"]


def test_the_manifest_tells_nothing_of_the_environment(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    bench.run()
    assert "hunter2" not in (bench.output_dir / "runs" / "run-manifest.json").read_text()


def test_each_shard_has_its_own_manifest(bench: Workbench) -> None:
    with bench.open(facts(shard=Shard(3, 16))):
        assert manifest(bench, "run-manifest-3-of-16.json")["part"] == "3/16"


def test_the_input_hash_tells_tile_lists_apart(bench: Workbench) -> None:
    bench.open(pairs=bench.pairs[::-1]).close("finished", 0)
    reversed_hash = manifest(bench)["inputs_sha256"]
    bench.open().close("finished", 0)
    assert manifest(bench)["inputs_sha256"] == reversed_hash
    bench.open(pairs=bench.pairs[1:]).close("finished", 0)
    assert manifest(bench)["inputs_sha256"] != reversed_hash


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (KeyboardInterrupt(), "interrupted", 130),
        (InputFolderError("gone"), "failed", 4),
        (ZeroDivisionError(), "failed", 1),
    ],
)
def test_an_exception_is_noted_and_passed_on(
    bench: Workbench, error: BaseException, state: str, code: int
) -> None:
    with pytest.raises(type(error)), bench.open():
        raise error
    assert (manifest(bench)["state"], manifest(bench)["exit_code"]) == (state, code)
    assert read_journals(bench.output_dir / "runs").sessions[0].closed == state
    bench.run()  # the lease is free again


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b'{"configuration": 5}'])
def test_a_lost_or_damaged_manifest_stops_nothing(bench: Workbench, content: bytes | None) -> None:
    bench.run(stop_after=2)
    path = bench.output_dir / "runs" / "run-manifest.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert len(bench.run().plan.to_do) == 2
    path.write_bytes(content or b"")
    with pytest.raises(RunConflictError, match="another configuration or checkpoint"):
        bench.open(facts(seed=1))


def test_a_session_in_progress_refuses_a_second_one(bench: Workbench) -> None:
    with bench.open(), pytest.raises(RunConflictError, match="is in use by another run"):
        bench.open()


def test_a_session_that_lost_its_lease_records_nothing(bench: Workbench) -> None:
    session = bench.open()
    session._lease._loss = "another run took it over"
    with pytest.raises(RunConflictError, match="no longer holds"):
        session.record(bench.write(session, bench.pairs[0]))
    assert len(read_journals(bench.output_dir / "runs")) == 0
    kill(session)


def test_a_tile_that_is_given_up_leaves_nothing_that_nobody_vouches_for(bench: Workbench) -> None:
    pair = bench.pairs[0]
    with bench.open() as session:
        bench.write(session, pair)  # by a worker that died before it could write its line
        bench.output(pair).with_suffix(".json").write_text("{}")
        session.give_up(bench.fail(session, pair))
        assert not bench.output(pair).exists()
        assert not bench.output(pair).with_suffix(".json").exists()
    with bench.open() as session:
        assert session.plan.n_failed_before == 1


def test_a_session_that_lost_its_lease_gives_nothing_up(bench: Workbench) -> None:
    session = bench.open()
    outcome = bench.write(session, bench.pairs[0])
    session._lease._loss = "another run took it over"
    with pytest.raises(RunConflictError, match="no longer holds"):
        session.give_up(outcome)
    assert bench.output(bench.pairs[0]).exists()
    kill(session)


def test_a_full_disk_stops_the_run_which_then_goes_on(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = bench.open()
    session.record(bench.write(session, bench.pairs[0]))
    outcome = bench.write(session, bench.pairs[1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _fail_with(errno.ENOSPC))
        with pytest.raises(OutputError, match="No space left"), session:
            session.record(outcome)
    assert [pair.name for pair in bench.run().plan.to_do] == [pair.name for pair in bench.pairs[1:]]


def test_what_ended_a_run_is_reported_even_if_its_end_cannot_be_noted(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = bench.open()
    monkeypatch.setattr(os, "write", _fail_with(errno.ENOSPC))
    with pytest.raises(InputFolderError, match="gone"), session:
        raise InputFolderError("gone")
    monkeypatch.undo()
    bench.run()


def _fail_with(number: int):
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_start_that_fails_leaves_the_folder_free(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Each file operation of a start is made to fail in turn, until a start gets through."""
    real = getattr(os, call)
    n_handles = n_open_handles()
    for nth in range(1, 50):
        calls = 0

        def fail_at_nth(*arguments: object, nth: int = nth, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == nth:
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail_at_nth)
            with suppress(OutputError):
                bench.open().close("finished", 0)
        assert not list(bench.output_dir.glob("runs/lease-*"))
        assert not list(bench.output_dir.rglob("*.tmp"))
        if calls < nth:
            break
    else:
        pytest.fail("a start never got through")
    assert n_open_handles() == n_handles
    assert len(bench.run().plan.to_do) == 4


def test_an_output_folder_that_is_a_file_is_an_output_error(bench: Workbench) -> None:
    bench.output_dir.write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be made or written"):
        bench.open()


@pytest.mark.parametrize("name", ["sub/tile_007.npz", "sub/deeper/tile_007.npz"])
def test_nothing_is_written_or_removed_through_a_link_that_leads_out(
    bench: Workbench, name: str
) -> None:
    for folder in ("opt_v2", "s1"):
        (bench.root / folder / name).parent.mkdir(parents=True)
    pairs = (bench.add_pair(name),)
    elsewhere = bench.root / "elsewhere"
    (elsewhere / name).parent.mkdir(parents=True)
    (elsewhere / name).write_bytes(b"of somebody else")
    bench.output_dir.mkdir()
    (bench.output_dir / "sub").symlink_to(elsewhere / "sub")
    with pytest.raises(OutputError, match="leads out of the output folder"):
        bench.open(existing="overwrite", pairs=pairs)
    assert (elsewhere / name).read_bytes() == b"of somebody else"
    assert not list(bench.output_dir.glob("runs/*"))


def test_records_are_not_written_through_a_link_that_leads_out(bench: Workbench) -> None:
    bench.output_dir.mkdir()
    (bench.output_dir / "runs").symlink_to(bench.root / "opt_v2")
    before = sorted((bench.root / "opt_v2").iterdir())
    with pytest.raises(OutputError, match="leads out of the output folder"):
        bench.open()
    assert sorted((bench.root / "opt_v2").iterdir()) == before


def test_links_inside_the_output_folder_and_to_it_are_fine(bench: Workbench) -> None:
    for folder in ("opt_v2", "s1"):
        (bench.root / folder / "sub").mkdir()
    pairs = (bench.add_pair("sub/tile_007.npz"),)
    (bench.root / "disk" / "real").mkdir(parents=True)
    bench.output_dir.symlink_to(bench.root / "disk")
    (bench.output_dir / "sub").symlink_to(bench.output_dir / "real")
    with bench.open(pairs=pairs) as session:
        session.record(
            TileOutcome(pairs[0].name, "written", session.fingerprint(pairs[0]), output_bytes=5)
        )
        bench.output(pairs[0]).write_bytes(b"tile!")
    assert (bench.root / "disk" / "real" / "tile_007.npz").read_bytes() == b"tile!"
    with bench.open(pairs=pairs) as session:
        assert session.plan.n_done == 1


def test_every_result_field_changes_the_fingerprint() -> None:
    base = RunFingerprint.of({}, CHECKPOINT)
    digests = {RunFingerprint.of({field: 1}, CHECKPOINT) for field in RESULT_FIELDS}
    digests |= {base, RunFingerprint.of({}, "d" * 64)}
    assert len(digests) == len(RESULT_FIELDS) + 2
    assert RunFingerprint.of({"batch_size": 8, "io_threads": 4}, CHECKPOINT) == base


def test_tiles_that_share_their_files_have_fingerprints_of_their_own(bench: Workbench) -> None:
    fingerprint = RunFingerprint.of({}, CHECKPOINT)
    pair = bench.pairs[0]
    assert fingerprint.of_pair(replace(pair, name="other.npz")) != fingerprint.of_pair(pair)


@pytest.mark.parametrize("changed", ["B03.tif", "B04.tif", "B08.tif", "VH.tif"])
def test_every_file_of_a_pair_is_in_its_fingerprint(tmp_path: Path, changed: str) -> None:
    """Where each band is a file of its own."""
    blue, *others, vv, vh = (
        tmp_path / f"{b}.tif" for b in ("B02", "B03", "B04", "B08", "VV", "VH")
    )
    for path in (blue, *others, vv, vh):
        path.write_bytes(b"a band")
    pair = RasterPair("a.npz", blue, vv, opt_v2_more=tuple(others), s1_more=(vh,))
    fingerprint = RunFingerprint.of({}, CHECKPOINT)
    before = fingerprint.of_pair(pair)
    (tmp_path / changed).write_bytes(b"another band")
    assert fingerprint.of_pair(pair) != before


def test_result_fields_are_options_of_the_run() -> None:
    from axion_stage3.config import InferenceConfig

    assert set(RESULT_FIELDS) <= set(InferenceConfig.model_fields)


def test_the_fingerprint_of_a_missing_file_is_not_an_error(bench: Workbench) -> None:
    fingerprint = RunFingerprint.of({}, CHECKPOINT)
    before = fingerprint.of_pair(bench.pairs[0])
    bench.pairs[0].s1_path.unlink()
    missing = fingerprint.of_pair(bench.pairs[0])
    assert missing != before
    assert missing == fingerprint.of_pair(bench.pairs[0])


def test_the_room_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, axion_stage3.runs.session; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
