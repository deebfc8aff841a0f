from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from axion_stage3.errors import OutputError, RunConflictError
from axion_stage3.runs import lease as lease_module
from axion_stage3.runs.lease import EXPIRY_SECONDS, Lease
from axion_stage3.runs.parts import Part, Shard, TileList
from axion_stage3.runs.process_identity import ProcessIdentity

DIGEST = "0123456789abcdef"


def acquire(folder: Path, part: Part | None = None, digest: str = DIGEST) -> Lease:
    return Lease.acquire(folder, configuration_digest=digest, part=part)


def leases(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("lease-*"))


def leave_lease(folder: Path, *, age_seconds: float = 0.0, **process: object) -> Path:
    """A lease of another machine, last touched ``age_seconds`` ago by the file system's clock."""
    with acquire(folder) as lease:
        document = json.loads(lease.path.read_text())
    document["process"] |= {"host": "elsewhere", "machine": "", **process}
    lease.path.write_text(json.dumps(document))
    touched = time.time() - age_seconds
    os.utime(lease.path, (touched, touched))
    return lease.path


def hold_in_other_process(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lease until it is killed."""
    code = f"""
        import time
        from pathlib import Path
        from axion_stage3.runs.lease import Lease
        lease = Lease.acquire(Path({str(folder)!r}), configuration_digest={DIGEST!r})
        print("held", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_run_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with acquire(tmp_path / "runs"), pytest.raises(RunConflictError) as caught:
        acquire(tmp_path / "runs")
    assert f"process {os.getpid()}" in caught.value.message
    assert f"folder {tmp_path} is in use" in caught.value.message
    assert "--output-dir" in caught.value.hint
    assert caught.value.exit_code == 6


def test_a_released_lease_leaves_the_folder_free_and_clean(tmp_path: Path) -> None:
    acquire(tmp_path).release()
    assert list(tmp_path.iterdir()) == []
    lease = acquire(tmp_path)
    lease.check()
    lease.release()
    lease.release()


def test_each_session_has_a_higher_number_than_all_before(tmp_path: Path) -> None:
    (tmp_path / "journal-000041-main.jsonl").touch()
    with acquire(tmp_path) as lease:
        assert lease.session == 42


def test_a_dead_holder_is_succeeded_at_once(tmp_path: Path) -> None:
    process = hold_in_other_process(tmp_path)
    with pytest.raises(RunConflictError, match=f"process {process.pid} "):
        acquire(tmp_path)
    process.kill()
    process.communicate()
    with acquire(tmp_path) as lease:
        assert leases(tmp_path) == [lease.path.name]


def test_a_zombie_holds_nothing(tmp_path: Path) -> None:
    process = hold_in_other_process(tmp_path)
    process.kill()
    while process_state(process.pid) != "Z":
        time.sleep(0.01)
    with acquire(tmp_path) as lease:
        assert leases(tmp_path) == [lease.path.name]
    process.communicate()


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_stopped_holder_on_this_machine_is_never_robbed(tmp_path: Path) -> None:
    process = hold_in_other_process(tmp_path)
    try:
        process.send_signal(signal.SIGSTOP)
        (path,) = tmp_path.glob("lease-*")
        os.utime(path, (0, 0))
        with pytest.raises(RunConflictError):
            acquire(tmp_path)
    finally:
        process.kill()
        process.communicate()


def test_a_reused_pid_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    own = ProcessIdentity.of_this_process()
    leave_lease(tmp_path, host=own.host, machine=own.machine, pid=own.pid, started="1")
    with acquire(tmp_path) as lease:
        assert leases(tmp_path) == [lease.path.name]


@pytest.mark.parametrize("difference", [{"host": "elsewhere"}, {"machine": "another boot"}])
def test_a_lease_of_another_machine_holds_until_it_expires(
    tmp_path: Path, difference: dict[str, str]
) -> None:
    own = asdict(ProcessIdentity.of_this_process())
    dead_here = {"pid": 2**31 - 1}
    path = leave_lease(
        tmp_path, age_seconds=EXPIRY_SECONDS - 5, **{**own, **dead_here, **difference}
    )
    with pytest.raises(RunConflictError, match=r"process \d+ on ") as caught:
        acquire(tmp_path)
    assert f"delete {path}" in caught.value.hint
    os.utime(path, (time.time() - EXPIRY_SECONDS - 5,) * 2)
    with acquire(tmp_path):
        assert not path.exists()


@pytest.mark.parametrize("skew_seconds", [-86400.0, -3600.0, 3600.0, 86400.0])
def test_the_clock_of_this_machine_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew_seconds: float
) -> None:
    real = time.time
    living = leave_lease(tmp_path, age_seconds=5)
    monkeypatch.setattr(time, "time", lambda: real() + skew_seconds)
    with pytest.raises(RunConflictError):
        acquire(tmp_path)
    os.utime(living, (real() - EXPIRY_SECONDS - 5,) * 2)
    acquire(tmp_path).release()


def test_the_clock_of_the_other_machine_does_not_matter(tmp_path: Path) -> None:
    path = leave_lease(tmp_path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"acquired_at": "1970-01-01T00:00:00+00:00"}))
    with pytest.raises(RunConflictError):
        acquire(tmp_path)
    path.write_text(json.dumps(document | {"acquired_at": "2999-01-01T00:00:00+00:00"}))
    os.utime(path, (time.time() - EXPIRY_SECONDS - 5,) * 2)
    acquire(tmp_path).release()


def test_the_heartbeat_touches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.01)
    with acquire(tmp_path) as lease:
        os.utime(lease.path, (0, 0))
        deadline = time.monotonic() + 10
        while lease.path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        lease.check()


def check_for_ten_seconds(lease: Lease) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lease.check()
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_holder_that_was_succeeded_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.01)
    lease = acquire(tmp_path)
    if how == "removed":
        lease.path.unlink()
    else:
        document = json.loads(lease.path.read_text())
        lease.path.write_text(json.dumps(document | {"token": "of another"}))
    with pytest.raises(RunConflictError, match="no longer holds"):
        check_for_ten_seconds(lease)
    lease.release()
    assert len(leases(tmp_path)) == (how == "replaced"), "the other's lease is left alone"


def test_a_heartbeat_that_fails_for_long_is_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(lease_module, "EXPIRY_SECONDS", 0.1)
    monkeypatch.setattr(os, "utime", fail)
    with acquire(tmp_path) as lease, pytest.raises(RunConflictError, match="Permission denied"):
        check_for_ten_seconds(lease)


@pytest.mark.parametrize(
    ("one", "other", "digest", "is_refused"),
    [
        (Shard(1, 3), Shard(2, 3), DIGEST, False),
        (Shard(1, 3), Shard(1, 3), DIGEST, True),
        (Shard(1, 3), Shard(2, 4), DIGEST, True),
        (Shard(1, 3), Shard(2, 3), "f" * 16, True),
        (Shard(1, 3), None, DIGEST, True),
        (None, Shard(1, 3), DIGEST, True),
        (TileList("a" * 16), TileList("b" * 16), DIGEST, False),
        (TileList("a" * 16), TileList("a" * 16), DIGEST, True),
        (TileList("a" * 16), TileList("b" * 16), "f" * 16, True),
        (TileList("a" * 16), Shard(1, 3), DIGEST, True),
        (None, TileList("a" * 16), DIGEST, True),
    ],
)
def test_only_parts_of_one_run_share_a_folder(
    tmp_path: Path, one: Part | None, other: Part | None, digest: str, *, is_refused: bool
) -> None:
    with acquire(tmp_path, one):
        if is_refused:
            with pytest.raises(RunConflictError):
                acquire(tmp_path, other, digest)
        else:
            with acquire(tmp_path, other, digest):
                assert len(leases(tmp_path)) == 2


def test_all_shards_may_start_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        held = list(pool.map(lambda k: acquire(tmp_path, Shard(k, 16)), range(1, 17)))
    assert len({lease.session for lease in held}) == 16
    for lease in held:
        lease.release()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"shard": {}}', b'{"shard": null, "process": 1}', b"\xff"],
)
def test_a_lease_that_says_nothing_holds_until_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(lease_module, "_SETTLING_SECONDS", 0.02)
    path = tmp_path / "lease-000007.json"
    path.write_bytes(content)
    with pytest.raises(RunConflictError, match="cannot be read"):
        acquire(tmp_path)
    os.utime(path, (time.time() - EXPIRY_SECONDS - 5,) * 2)
    with acquire(tmp_path) as lease:
        assert lease.session == 8


@pytest.mark.parametrize("pid", ["1", 0, -1, True, 10**30, None, 1.5])
def test_a_lease_with_a_senseless_pid_names_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: object
) -> None:
    monkeypatch.setattr(lease_module, "_SETTLING_SECONDS", 0.02)
    own = ProcessIdentity.of_this_process()
    leave_lease(tmp_path, host=own.host, machine=own.machine, pid=pid)
    with pytest.raises(RunConflictError):
        acquire(tmp_path)


def test_a_lease_that_is_just_being_written_is_waited_for(tmp_path: Path) -> None:
    path = leave_lease(tmp_path, age_seconds=EXPIRY_SECONDS + 5)
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(acquire, tmp_path, Shard(1, 2))
        time.sleep(0.1)
        path.write_bytes(whole)
        os.utime(path, (time.time() - EXPIRY_SECONDS - 5,) * 2)
        with attempt.result(timeout=10) as lease:
            assert leases(tmp_path) == [lease.path.name]


def test_a_lease_that_could_not_be_removed_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = acquire(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_: os.open(tmp_path / "gone", os.O_RDONLY))
        lease.release()
    assert leases(tmp_path) == [lease.path.name]
    with acquire(tmp_path) as successor, pytest.raises(RunConflictError):
        acquire(tmp_path)
    assert successor.session == 2
    assert leases(tmp_path) == []


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"leases in .* cannot be read or written"):
        acquire(tmp_path / "gone")


RACER = """
    import sys
    from pathlib import Path
    from axion_stage3.errors import RunConflictError
    from axion_stage3.runs.lease import Lease
    for line in sys.stdin:
        folder = Path(line.strip())
        try:
            lease = Lease.acquire(folder, configuration_digest="0" * 16)
        except RunConflictError:
            print("refused", flush=True)
        else:
            try:
                (folder / "in_here").touch(exist_ok=False)
            except FileExistsError:
                print("BOTH", flush=True)
                continue
            print("held", flush=True)
            sys.stdin.readline()
            (folder / "in_here").unlink()
            lease.release()
"""


def test_of_two_processes_that_start_together_exactly_one_gets_the_folder(tmp_path: Path) -> None:
    """Twenty rounds, some on a clean folder, some on one with a dead or a torn lease."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RACER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for round_number in range(20):
            folder = tmp_path / str(round_number)
            folder.mkdir()
            if round_number % 3:
                own = ProcessIdentity.of_this_process()
                leave_lease(
                    folder,
                    age_seconds=EXPIRY_SECONDS + 5,
                    **({} if round_number % 3 == 1 else {"host": own.host, "started": "1"}),
                )
            for racer in racers:
                racer.stdin.write(f"{folder}\n")
            for racer in racers:
                racer.stdin.flush()
            answers = [racer.stdout.readline().strip() for racer in racers]
            assert sorted(answers) == ["held", "refused"], round_number
            winner = racers[answers.index("held")]
            winner.stdin.write("release\n")
            winner.stdin.flush()
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
