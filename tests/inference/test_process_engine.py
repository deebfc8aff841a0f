"""Several processes do what a run in one does, whatever is killed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import Watcher, hashes, journal_lines, signal_a_run
from test_run_parts import reports

from axion_stage3.errors import CheckpointError, ResourceError
from axion_stage3.scaling.lease_worker import LeaseWorker, WorkerFacts, WorkerOrders
from axion_stage3.scaling.process_engine import ProcessEngine
from axion_stage3.testing.tile_factories import write_pair, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult

    Infer = Callable[..., RunResult]


class Fragile(LeaseWorker):
    """Is killed by a tile called poison."""

    def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
        from axion_stage3.inference import tile_stages

        load_pair = tile_stages.load_pair

        def load_or_die(pair: Any, options: Any) -> Any:
            if "poison" in pair.name:
                os.kill(os.getpid(), signal.SIGKILL)
            return load_pair(pair, options)

        tile_stages.load_pair = load_or_die  # type: ignore[assignment]
        return super().begin(orders, name)


class WithoutCompiler(LeaseWorker):
    """Has no compiler that torch could use."""

    def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
        import torch

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("no compiler here")

        torch.compile = fail  # type: ignore[assignment]
        return super().begin(orders, name)


class Stillborn(LeaseWorker):
    """Dies before it has begun."""

    def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().begin(orders, name)


class Other(LeaseWorker):
    """Believes that the driver has another checkpoint."""

    def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
        from dataclasses import replace

        return super().begin(replace(orders, checkpoint_sha256="0" * 64), name)


@pytest.fixture
def work_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[LeaseWorker]], None]:
    def choose(worker_class: type[LeaseWorker]) -> None:
        place = worker_class.__module__, worker_class.__name__
        monkeypatch.setattr(ProcessEngine, "worker_class", place)

    return choose


def test_several_processes_and_one_give_the_same(infer: Infer, tmp_path: Path) -> None:
    whole = infer(output_dir=tmp_path / "whole").output_dir
    watcher = Watcher()
    result = infer(output_dir=tmp_path / "several", engine="processes", workers=2, observer=watcher)

    assert result.exit_code == 0
    assert hashes(result.output_dir) == hashes(whole)
    assert reports(result.output_dir) == reports(whole)
    assert watcher.events == [
        "loading on cpu, 2 processes, T=4", "loaded 7 4 fp32", "6 pairs", "6 to do",
    ]  # fmt: skip
    assert sorted(outcome.tile for outcome in watcher.outcomes) == sorted(hashes(whole))
    assert list((result.output_dir / "runs").glob("journal-000001-process-*.jsonl"))
    again = infer(output_dir=tmp_path / "several")
    assert again.summary["processed"] == 6
    assert len(journal_lines(result.output_dir)) == 6, "any engine goes on from any other"


@pytest.mark.slow
def test_what_does_not_work_for_the_workers_is_said_once(
    infer: Infer, work_for: Callable[[type[LeaseWorker]], None]
) -> None:
    work_for(WithoutCompiler)
    watcher = Watcher()
    result = infer(engine="processes", workers=2, compile=True, observer=watcher)
    assert result.exit_code == 0
    (said,) = watcher.warnings
    assert "torch.compile does not work here" in said
    assert "no compiler here" in said


@pytest.mark.slow
def test_a_poison_tile_fails_by_name_and_alone(
    infer: Infer, tmp_path: Path, work_for: Callable[[type[LeaseWorker]], None]
) -> None:
    work_for(Fragile)
    write_pairs(tmp_path, 8, sizes=(16,))
    write_pair(tmp_path, "tile_003_poison.npz", height=16)
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1"}
    result = infer(**folders, engine="processes", workers=1)
    assert result.exit_code == 3
    (failed,) = result.failed_tiles
    assert (failed.tile_name, failed.error_code) == ("tile_003_poison.npz", "AX-E421")
    assert result.summary["processed"] == 8


@pytest.mark.slow
def test_workers_that_cannot_begin_are_one_clear_error(
    infer: Infer, work_for: Callable[[type[LeaseWorker]], None]
) -> None:
    work_for(Stillborn)
    with pytest.raises(ResourceError, match=r"3 workers \(process\) in a row died .* signal 9"):
        infer(engine="processes", workers=1)
    work_for(Other)
    with pytest.raises(CheckpointError, match="is not the driver's"):
        infer(engine="processes", workers=1)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_ends_the_run_as_any_other(
    tmp_path: Path, checkpoint_path: Path, number: signal.Signals, exit_code: int
) -> None:
    signal_a_run("processes", number, exit_code, tmp_path, checkpoint_path)


def test_too_many_failures_stop_processes_within_a_lease(infer: Infer, tmp_path: Path) -> None:
    for i in range(80):
        pair = write_pair(tmp_path, f"bad_{i:02d}.npz", height=16)
        pair.opt_v2_path.write_bytes(b"")
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1", "io_threads": 1}
    result = infer(**folders, engine="processes", workers=1, max_failures="10")
    assert result.exit_code == 3
    assert result.is_over_failure_limit
    # A lease as long as four seconds would hold them all.
    assert 10 < result.summary["failed"] < 20
    assert result.summary["pending"] == 80 - result.summary["failed"]
