"""Runs against a real S3 API on loopback that fails, stalls, refuses, and outlives killed runs."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import Watcher, cut_examples, hashes
from test_object_runs import names_in, stored, stored_reports
from test_run_parts import reports

from axion_stage3.cli.app import run
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.storage import object_store, retries
from axion_stage3.storage.locations import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from s3_bench import S3Bench

    from axion_stage3.inference.grounding_run import RunResult

    Infer = Callable[..., RunResult]

pytest.importorskip("s3fs")
s3_bench = pytest.importorskip("s3_bench")
SECRETS = (s3_bench.KEY, s3_bench.SECRET)
BUCKET = ObjectUrl("s3://bucket")


@pytest.fixture
def s3(tiles: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bench]:
    """A server with a bucket that holds the six pairs; the environment points to it."""
    with s3_bench.S3Bench() as bench:
        for name, value in bench.environment.items():
            monkeypatch.setenv(name, value)
        object_store._driver.cache_clear()
        bench.put("bucket", tiles)
        yield bench
    object_store._driver.cache_clear()


@pytest.fixture
def infer_there(infer: Infer) -> Infer:
    def there(**options: Any) -> RunResult:
        folders = {"opt_v2_dir": "s3://bucket/opt_v2", "s1_dir": "s3://bucket/s1"}
        return infer(**{**folders, "output_dir": "s3://bucket/out", **options})

    return there


def assert_whole(out: ObjectUrl, local: Path) -> None:
    """The outputs are those of a local run, and nothing else is there."""
    assert stored(out) == hashes(local)
    assert stored_reports(out) == reports(local)
    expected = {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    there = {name for name in names_in(out) if not name.startswith("runs/journal")}
    assert there == {name for name in expected if not name.startswith("runs/journal")}


def test_faults_and_a_stalled_connection(
    s3: S3Bench, infer: Infer, infer_there: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = infer().output_dir
    monkeypatch.setattr(object_store, "READ_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.02)
    s3.failure_share, s3.stalled, s3.stall_seconds = 0.15, ["GET", "PUT"], 1.5
    result = infer_there()
    assert (result.exit_code, result.summary["failed"]) == (0, 0)
    assert s3.n_spoiled["stall"] == 2
    assert {"503", "500", "reset"} <= s3.n_spoiled.keys()
    s3.failure_share = 0
    assert_whole(BUCKET / "out", local)


def test_requests_of_a_run(s3: S3Bench, infer_there: Infer) -> None:
    infer_there()
    n_tiles, first = 6, dict(s3.n_requests)
    # Of a run: header, lines and end of the journal, twice the manifest, two reports; an earlier
    # manifest is looked for, the journal read for the summary, and an outdated form of the
    # statistics removed. Two folders, three times the records, the outputs and a report are listed.
    assert first == {"PUT": 2 * n_tiles + 7, "GET": 2 * n_tiles + 3, "DELETE": 1, "LIST": 7}, (
        s3.paths
    )
    assert set(s3.writes.values()) == {1, 2}
    twice = {path.rpartition("/")[2] for path, n in s3.writes.items() if n == 2}
    assert twice == {"run-manifest.json"}
    s3.forget()
    watcher = Watcher()
    infer_there(observer=watcher)
    assert watcher.events[-1] == "0 to do"
    assert s3.n_requests["LIST"] == first["LIST"]
    assert sum(s3.n_requests.values()) < 30  # however many tiles there are


def test_long_listings_come_in_pages(
    s3: S3Bench, infer_there: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "KEYS_PER_PAGE", 4)
    infer_there()
    assert s3.n_requests["LIST"] == 2 * 2 + 1 + 1 + 1 + 1 + 1
    names = [entry.name for entry in (BUCKET / "out").objects()]
    assert len(names) == len(set(names)) > 12
    assert "tile_000.npz" in names
    assert [entry.name for entry in (BUCKET / "out").children("tile_00")] == sorted(
        name for name in names if name.startswith("tile_00")
    )


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--opt-v2-dir", "s3://nobody/opt_v2"], 4, "it is not there: The specified bucket"),
        (["--s1-dir", "s3://bucket/nothing"], 4, "s3://bucket/nothing holds no object"),
        (["--output-dir", "s3://nobody/out"], 6, "it is not there: The specified bucket"),
        (["--output-dir", "s3://bucket/locked"], 6, "access is denied"),
        (["--s1-dir", "s3://bucket/secret"], 4, "access is denied"),
        (["--checkpoint", "s3://bucket/none.pt"], 5, "There is no checkpoint at s3://bucket"),
        (["--shard", "4/3"], 2, "K/N"),
    ],
)
def test_one_message_each(
    s3: S3Bench,
    options: list[str],
    exit_code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    s3.refused = lambda request: "locked" in request and request.startswith("PUT")
    if "s3://bucket/secret" in options:
        s3.refused = lambda request: request.startswith("GET")
    folders = {
        "--opt-v2-dir": "s3://bucket/opt_v2",
        "--s1-dir": "s3://bucket/s1",
        "--output-dir": "s3://bucket/out",
        "--device": "cpu",
    }
    given = folders | dict(zip(options[::2], options[1::2], strict=True))
    assert run(["infer", *[part for pair in given.items() for part in pair]]) == exit_code
    said = " ".join("".join(capsys.readouterr()).split())
    assert message in said
    assert "Traceback" not in said
    assert said.count("AX-E") <= 1


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("http://127.0.0.1:9", "no success in 6 attempts, the last one: Could not connect"),
        ("http://user:hunter2@127.0.0.1:9", "credentials encoded in URL"),
    ],
)
def test_a_store_that_does_not_answer(
    s3: S3Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    endpoint: str,
    message: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    object_store._driver.cache_clear()
    arguments = ["--s1-dir", "s3://bucket/s1", "--output-dir", "s3://bucket/out", "--device", "cpu"]
    assert run(["infer", "--opt-v2-dir", "s3://bucket/opt_v2", *arguments]) == 4
    said = capsys.readouterr().err
    assert message in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "request_once",
    [
        (BUCKET / "x").read_bytes,
        lambda: (BUCKET / "x").write_once([b"content"]),
        lambda: list(BUCKET.objects()),
    ],
    ids=["read", "write", "list"],
)
@pytest.mark.usefixtures("s3")
def test_a_connection_on_which_nothing_comes_is_given_up(
    monkeypatch: pytest.MonkeyPatch, request_once: Callable[[], object]
) -> None:
    """Not even an answer to "may I send": an upload that waits for it has not begun."""
    monkeypatch.setattr(object_store, "READ_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(OSError, match="no success in 6 attempts") as caught:
            request_once()
    assert caught.value.errno == retries.RETRIES_USED_UP


def test_credentials_are_written_nowhere(
    s3: S3Bench, infer_there: Infer, capfd: pytest.CaptureFixture[str]
) -> None:
    s3.refused = lambda request: request.startswith("GET /bucket/s1/tile_000")
    assert infer_there().exit_code == 3
    s3.refused = lambda _: False
    written = b"".join((BUCKET / "out" / name).read_bytes() for name in names_in(BUCKET / "out"))
    said = "".join(capfd.readouterr())
    for secret in SECRETS:
        assert secret.encode() not in written
        assert secret not in said
    assert b"access is denied" in written


CHILD = """
import json, sys
from axion_stage3.inference.grounding_run import run_inference
sys.exit(run_inference(**json.loads(sys.argv[1])).exit_code)
"""


def start(options: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, json.dumps(options)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_runs_go_on(
    s3: S3Bench, infer: Infer, checkpoint_path: Path, tmp_path: Path, number: int
) -> None:
    """Fifty tiles, 5 % of all requests failing, killed three times at random moments."""
    cut_examples(tmp_path, 50)
    s3.put("many", tmp_path)
    local = infer(opt_v2_dir=tmp_path / "opt_v2", s1_dir=tmp_path / "s1").output_dir
    options = {
        "checkpoint": str(checkpoint_path), "opt_v2_dir": "s3://many/opt_v2",
        "s1_dir": "s3://many/s1", "output_dir": "s3://many/out", "device": "cpu",
    }  # fmt: skip
    s3.failure_share = 0.05
    out = ObjectUrl("s3://many/out")
    killed = 0
    for n_tiles in (10, 20, 35):
        process = start(options)
        while process.poll() is None and len(s3.writes) < 2 * n_tiles:
            time.sleep(0.01)
        time.sleep(random.random() * 0.2)
        process.send_signal(number)
        assert process.wait(60) in {0, -number, 130, 1}
        killed += process.returncode != 0
    assert killed
    assert start(options).wait(120) == 0
    s3.failure_share = 0
    assert_whole(out, local)
    index = read_journals(out / "runs")
    assert len(index) == 50
    s3.forget()
    assert start(options).wait(60) == 0
    assert not [path for path in s3.writes if path.endswith(".npz")]


@pytest.mark.slow
def test_shards_and_ray_in_a_bucket(s3: S3Bench, infer: Infer, infer_there: Infer) -> None:
    pytest.importorskip("ray")
    local = infer().output_dir
    s3.failure_share = 0.05
    for k in (1, 2, 3):
        infer_there(output_dir="s3://bucket/shards", shard=f"{k}/3")
    watcher = Watcher()
    result = infer_there(output_dir="s3://bucket/ray", engine="ray", workers=2, observer=watcher)
    assert result.exit_code == 0
    assert sorted(outcome.tile for outcome in watcher.outcomes) == sorted(hashes(local))
    s3.failure_share = 0
    for folder in ("shards", "ray"):
        assert stored(BUCKET / folder) == hashes(local)
        assert stored_reports(BUCKET / folder) == reports(local)


@pytest.mark.slow
def test_two_runs_into_one_folder(s3: S3Bench, infer: Infer, checkpoint_path: Path) -> None:
    """Nobody is kept out: some tiles are made twice, to the same bytes."""
    local = infer().output_dir
    options = {
        "checkpoint": str(checkpoint_path), "opt_v2_dir": "s3://bucket/opt_v2",
        "s1_dir": "s3://bucket/s1", "output_dir": "s3://bucket/out", "device": "cpu",
    }  # fmt: skip
    processes = [start(options) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert_whole(BUCKET / "out", local)
    assert os.environ["AWS_ENDPOINT_URL"] == s3.url
