"""Workers on Ray do what a run in one process does, whatever is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import Watcher, hashes, journal_lines, signal_a_run
from test_run_parts import reports

from axion_stage3.errors import CheckpointError, MissingExtraError, ResourceError, UsageError
from axion_stage3.scaling import ray_access, ray_engine
from axion_stage3.scaling.ray_crew import RayWorker
from axion_stage3.testing.tile_factories import write_pair, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.scaling.lease_worker import WorkerFacts, WorkerOrders

    Infer = Callable[..., RunResult]

pytest.importorskip("ray")
ray: Any = ray_access.require_ray()
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, with two slots; the engine finds itself connected."""
    with ray_access.connected(ray_access.require_ray(), None, 2):
        yield


@pytest.mark.usefixtures("cluster")
def test_ray_shards_and_one_process_give_the_same(infer: Infer, tmp_path: Path) -> None:
    whole = infer(output_dir=tmp_path / "whole").output_dir
    for k in (1, 2, 3):
        shard = infer(output_dir=tmp_path / "shards", shard=f"{k}/3")
    watcher = Watcher()
    on_ray = infer(output_dir=tmp_path / "ray", engine="ray", workers=2, observer=watcher)

    assert (on_ray.exit_code, shard.exit_code) == (0, 0)
    assert hashes(on_ray.output_dir) == hashes(shard.output_dir) == hashes(whole)
    assert reports(on_ray.output_dir) == reports(shard.output_dir) == reports(whole)
    assert watcher.events == [
        "loading on cpu, 2 workers on Ray, T=4", "loaded 7 4 fp32", "6 pairs", "6 to do",
    ]  # fmt: skip
    assert sorted(outcome.tile for outcome in watcher.outcomes) == sorted(hashes(whole))
    journals = {path.name for path in (on_ray.output_dir / "runs").glob("journal-*")}
    workers = {f"journal-000001-ray-{i:05d}.jsonl" for i in (1, 2)}
    assert "journal-000001-main.jsonl" in journals
    assert journals & workers, "at least one of the two was up before all was done"
    again = infer(output_dir=tmp_path / "ray")
    assert again.summary["processed"] == 6
    assert len(journal_lines(on_ray.output_dir)) == 6, "any engine goes on from any other"


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"address": "127.0.0.1:1"}, ResourceError, "No Ray cluster answers at 127.0.0.1:1"),
        ({"address": "ray://127.0.0.1:1"}, ResourceError, "No Ray cluster answers at ray://"),
        ({"address": "somewhere"}, UsageError, "'somewhere' is no address"),
        ({"address": ":99"}, UsageError, "is no address"),
        ({"engine": "local", "workers": 2}, UsageError, "says nothing to the local engine"),
        ({"engine": "local", "address": "a:1"}, UsageError, "says nothing to the engine 'local'"),
        ({"engine": "processes", "address": "a:1"}, UsageError, "to the engine 'processes'"),
    ],
)
def test_what_cannot_work_is_one_clear_message(
    infer: Infer, tmp_path: Path, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    if ray.is_initialized():
        ray.shutdown()
    began = time.monotonic()
    with pytest.raises(kind, match=words):
        infer(**{"engine": "ray", **options})
    assert time.monotonic() - began < 10
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named(infer: Infer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        infer(engine="ray")
    assert caught.value.hint == "pip install 'axion-stage3[ray]'"
    assert caught.value.exit_code == 8


class Fragile(RayWorker):
    """Is killed by a tile called poison, takes its time, and says where it is."""

    seconds_per_tile = 0.0

    def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
        from axion_stage3.inference import tile_stages

        facts = super().begin(orders, name)
        load_pair, seconds = tile_stages.load_pair, self.seconds_per_tile

        def load_or_die(pair: Any, options: Any) -> Any:
            if "poison" in pair.name:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(seconds)
            return load_pair(pair, options)

        tile_stages.load_pair = load_or_die  # type: ignore[assignment]
        path = orders.config.output_dir / "runs" / f"worker-{facts.node}-{os.getpid()}"
        path.touch()
        return facts


class Slow(Fragile):
    seconds_per_tile = 0.8


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_poison_tile_fails_by_name_and_alone(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine.RayEngine, "worker_class", Fragile)
    write_pairs(tmp_path, 8, sizes=(16,))
    write_pair(tmp_path, "tile_003_poison.npz", height=16)
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1"}
    result = infer(**folders, engine="ray", workers=1)
    assert result.exit_code == 3
    (failed,) = result.failed_tiles
    assert (failed.tile_name, failed.error_code) == ("tile_003_poison.npz", "AX-E421")
    assert result.summary["processed"] == 8
    assert len(list((result.output_dir / "runs").glob("worker-*"))) == 3
    # As in any run, a tile that failed stays failed until it is asked for.
    again = infer(**folders)
    assert (again.exit_code, again.summary["failed"]) == (3, 1)
    retried = infer(**folders, retry_failed=True)
    assert (retried.exit_code, retried.summary["processed"]) == (0, 9)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_worker_with_another_checkpoint_does_not_begin(
    infer: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(RayWorker):
        def begin(self, orders: WorkerOrders, name: str) -> WorkerFacts:
            from dataclasses import replace

            return super().begin(replace(orders, checkpoint_sha256="0" * 64), name)

    monkeypatch.setattr(ray_engine.RayEngine, "worker_class", Other)
    with pytest.raises(CheckpointError, match="is not the driver's"):
        infer(engine="ray", workers=1)


@pytest.mark.slow
def test_an_actor_and_a_node_are_killed_and_nothing_is_missing(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setattr(ray_engine.RayEngine, "worker_class", Slow)
    write_pairs(tmp_path, 120, sizes=(16,))
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1"}
    whole = infer(**folders, output_dir=tmp_path / "whole").output_dir
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        others = [nodes.add_node(num_cpus=1) for _ in range(2)]
        nodes.wait_for_nodes()
        runs = tmp_path / "out" / "runs"

        killed_at: list[int] = []

        def kill(n_done: int) -> None:
            begun = [path.name.split("-") for path in runs.glob("worker-*")]
            if not killed_at and len(begun) == 3:
                (pid,) = (pid for _, node, pid in begun if node == nodes.head_node.node_id)
                os.kill(int(pid), signal.SIGKILL)
                killed_at.append(n_done)
            elif len(killed_at) == 1 and n_done > killed_at[0] + 6:
                nodes.remove_node(others[0], allow_graceful=False)
                killed_at.append(n_done)

        result = infer(
            **folders, engine="ray", workers=3, address=nodes.address, observer=Watcher(kill)
        )
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert len(killed_at) == 2
    assert result.exit_code == 0
    assert result.summary["processed"] == 120
    assert hashes(result.output_dir) == hashes(whole)
    assert reports(result.output_dir) == reports(whole)


@pytest.mark.slow
def test_ctrl_c_ends_a_run_on_ray_as_any_other(tmp_path: Path, checkpoint_path: Path) -> None:
    signal_a_run("ray", signal.SIGINT, 130, tmp_path, checkpoint_path)
