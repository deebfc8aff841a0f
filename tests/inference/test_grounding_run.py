from __future__ import annotations

import json
import os
import shutil
import signal
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from inference_workbench import (
    Watcher,
    hashes,
    journal_lines,
    lively_network,
    read_output,
    temporary_files,
)

from axion_stage3.config import InferenceConfig
from axion_stage3.diffusion.checkpoint import load_checkpoint, save_checkpoint
from axion_stage3.errors import (
    CheckpointNotFoundError,
    InputFolderError,
    NoTilePairsError,
    OutputError,
    RunConflictError,
    UsageError,
)
from axion_stage3.inference.devices import Workers, plan_workers
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.inference.predictor import ground
from axion_stage3.inference.transfers import Transfers
from axion_stage3.testing.tile_factories import write_pair, write_pairs
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import load_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult

    Infer = Callable[..., RunResult]


def test_a_run_writes_every_tile_and_every_report(infer: Infer, tiles: Path) -> None:
    watcher = Watcher()
    result = infer(observer=watcher)
    out = result.output_dir
    assert result.exit_code == 0
    assert watcher.events == ["loading on cpu, T=4", "loaded 7 4 fp32", "6 pairs", "6 to do"]
    assert sorted(outcome.tile for outcome in watcher.outcomes) == sorted(hashes(out))
    assert sorted(hashes(out)) == sorted(hashes(tiles / "opt_v2"))
    for path in out.glob("*.npz"):
        arrays = read_output(path)
        assert sorted(arrays) == ["opt_final", "opt_v3"]
        assert arrays["opt_final"].dtype == np.float32
        assert arrays["opt_final"].ndim == 3
        np.testing.assert_array_equal(arrays["opt_final"], arrays["opt_v3"])
        statistics = json.loads(path.with_suffix(".json").read_text())
        assert statistics["tile_name"] == path.name
        assert statistics["opt_final_mean"] == pytest.approx(float(arrays["opt_final"].mean()))
    assert result.summary_path is not None
    assert result.statistics_path is not None
    summary = json.loads(result.summary_path.read_text())
    assert summary == result.summary
    assert (summary["total_tiles"], summary["processed"], summary["failed"]) == (6, 6, 0)
    assert set(summary["stage_seconds"]) == {
        "read",
        "compute",
        "write",
        "wait_for_read",
        "wait_for_write",
    }
    all_statistics = json.loads(result.statistics_path.read_text())
    assert [entry["tile_name"] for entry in all_statistics] == sorted(hashes(out))
    assert not temporary_files(out)


def test_inputs_are_unchanged(infer: Infer, tiles: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiles.rglob("*")}
    contents = hashes(tiles)
    infer(save_intermediate=True)
    assert {path: path.stat().st_mtime_ns for path in tiles.rglob("*")} == before
    assert hashes(tiles) == contents


def test_the_output_is_what_the_library_computes(
    infer: Infer, tiles: Path, checkpoint_path: Path
) -> None:
    result = infer(save_intermediate=True, seed=5, timesteps=3, sampler="euler")
    for path in sorted(result.output_dir.glob("*.npz"))[:2]:
        arrays = read_output(path)
        grounded = ground(
            arrays["opt_v2"][None],
            arrays["s1"][None],
            checkpoint=checkpoint_path,
            names=[path.name],
            seed=5,
            timesteps=3,
            sampler="euler",
            device="cpu",
        )
        np.testing.assert_allclose(arrays["opt_final"], grounded[0], rtol=0, atol=1e-5)


def test_a_tile_is_the_same_alone_in_a_batch_in_another_order_and_among_other_sizes(
    infer: Infer, tiles: Path, tmp_path: Path
) -> None:
    mixed = infer(output_dir=tmp_path / "mixed", batch_size=8).output_dir
    one_by_one = infer(output_dir=tmp_path / "single", batch_size=1, io_threads=1).output_dir
    probed = infer(output_dir=tmp_path / "auto", batch_size="auto").output_dir
    alone_in = tmp_path / "alone"
    for side in ("opt_v2", "s1"):
        (alone_in / side).mkdir(parents=True)
        shutil.copy(tiles / side / "tile_004.npz", alone_in / side)
    alone = infer(
        opt_v2_dir=alone_in / "opt_v2", s1_dir=alone_in / "s1", output_dir=tmp_path / "alone_out"
    ).output_dir
    for path in mixed.glob("*.npz"):
        expected = read_output(path)["opt_final"]
        others = [one_by_one, probed, *([alone] if path.name == "tile_004.npz" else [])]
        for folder in others:
            opt_final = read_output(folder / path.name)["opt_final"]
            np.testing.assert_allclose(opt_final, expected, rtol=0, atol=1e-5)


def test_one_timestep_writes_the_networks_mean(
    infer: Infer, tiles: Path, checkpoint_path: Path
) -> None:
    result = infer(timesteps=1, save_intermediate=True)
    network = load_checkpoint(checkpoint_path).network
    arrays = read_output(result.output_dir / "tile_001.npz")
    # Convolutions round differently with another number of threads.
    threads_before = torch.get_num_threads()
    torch.set_num_threads(plan_workers(torch.device("cpu"), 6).n_threads)
    with torch.inference_mode():
        mean = network.encode(
            torch.from_numpy(arrays["opt_v2"])[None], torch.from_numpy(arrays["s1"])[None]
        ).mean
    torch.set_num_threads(threads_before)
    np.testing.assert_array_equal(arrays["opt_final"], mean[0].numpy())


def test_more_keys_on_request(infer: Infer, tiles: Path) -> None:
    result = infer(save_intermediate=True, samples=3, fill_invalid=True)
    arrays = read_output(result.output_dir / "tile_000.npz")
    assert sorted(arrays) == [
        "opt_final",
        "opt_final_std",
        "opt_v2",
        "opt_v3",
        "s1",
        "valid_mask",
    ]
    assert arrays["opt_final_std"].shape == arrays["opt_final"].shape
    assert arrays["s1"].shape == (2, 24, 24)
    assert arrays["valid_mask"].all()


def test_filled_pixels_are_marked(infer: Infer, tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "hole.npz", height=20)
    loaded = load_pair(pair)
    loaded.opt_v2[2, 5, 7] = np.nan
    write_npz(pair.opt_v2_path, {"opt_v2": loaded.opt_v2})
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1"}
    failed = infer(**folders, output_dir=tmp_path / "strict")
    assert failed.exit_code == 3
    assert failed.failed_tiles[0].error_code == "AX-E415"
    result = infer(**folders, fill_invalid=True)
    arrays = read_output(result.output_dir / "hole.npz")
    assert np.argwhere(~arrays["valid_mask"]).tolist() == [[5, 7]]
    assert np.isfinite(arrays["opt_final"]).all()


def test_without_statistics_only_tiles_are_written(infer: Infer) -> None:
    result = infer(statistics=False)
    assert not list(result.output_dir.glob("*.json"))
    assert result.summary_path is None
    assert result.statistics_path is None
    assert result.summary["processed"] == 6


def test_statistics_of_an_older_output_do_not_stay_beside_a_new_one(infer: Infer) -> None:
    infer()
    result = infer(statistics=False, existing="overwrite", seed=1)
    assert not list(result.output_dir.glob("tile_0*.json"))


def test_sub_folders_are_kept(infer: Infer, tmp_path: Path) -> None:
    write_pair(tmp_path, "north/a/tile.npz", height=16)
    write_pair(tmp_path, "south/tile.npz", height=16)
    result = infer(opt_v2_dir=tmp_path / "opt_v2", s1_dir=tmp_path / "s1")
    assert sorted(hashes(result.output_dir)) == ["north/a/tile.npz", "south/tile.npz"]
    assert (result.output_dir / "north/a/tile.json").is_file()


def test_invalid_results_are_not_written(infer: Infer, tmp_path: Path) -> None:
    network = lively_network()
    with torch.no_grad():
        network.encoder.correction.bias.fill_(1e6)
    wild = tmp_path / "wild.safetensors"
    save_checkpoint(wild, network, epoch=1, config={"timesteps": 1})
    result = infer(checkpoint=wild)
    assert result.exit_code == 3
    assert result.summary["failed"] == 6
    assert {tile.outcome for tile in result.failed_tiles} == {"invalid"}
    assert "out of expected range [-10, 10]" in result.failed_tiles[0].reason
    assert not hashes(result.output_dir)


def test_max_failures_stops_the_run(infer: Infer, tmp_path: Path) -> None:
    for i in range(40):
        pair = write_pair(tmp_path, f"bad_{i:02d}.npz", height=16)
        pair.opt_v2_path.write_bytes(b"")
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1", "io_threads": 1}
    result = infer(**folders, max_failures="3")
    assert result.exit_code == 3
    assert result.is_over_failure_limit
    assert not result.is_interrupted
    assert 4 <= result.summary["failed"] < 10
    assert result.summary["pending"] == 40 - result.summary["failed"]
    manifest = json.loads((result.output_dir / "runs" / "run-manifest.json").read_text())
    assert manifest["state"] == "failed"
    everything = infer(**folders, output_dir=tmp_path / "all", max_failures="100%")
    assert not everything.is_over_failure_limit
    assert everything.summary["failed"] == 40
    # What stops nothing is no reason to say that the run was stopped.
    at_the_end = infer(**folders, output_dir=tmp_path / "end", max_failures="39")
    assert not at_the_end.is_over_failure_limit
    manifest = json.loads((at_the_end.output_dir / "runs" / "run-manifest.json").read_text())
    assert (manifest["state"], manifest["exit_code"]) == ("finished", 3)


def test_a_finished_run_is_not_done_again(infer: Infer) -> None:
    first = infer()
    before = hashes(first.output_dir, "*.npz")
    times = {path: path.stat().st_mtime_ns for path in first.output_dir.glob("*.npz")}
    watcher = Watcher()
    again = infer(observer=watcher, batch_size=4)
    assert watcher.events[-1] == "0 to do"
    assert again.exit_code == 0
    assert hashes(first.output_dir, "*.npz") == before
    assert {path: path.stat().st_mtime_ns for path in first.output_dir.glob("*.npz")} == times


def test_a_resumed_run_shares_the_machine_as_the_first_did(
    infer: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another number of threads convolutions round differently: the bits would change."""
    seen: list[int] = []

    def plan(device: torch.device, n_tiles: int) -> Workers:
        seen.append(n_tiles)
        return plan_workers(device, n_tiles)

    monkeypatch.setattr("axion_stage3.inference.tile_work.plan_workers", plan)
    (infer().output_dir / "tile_003.npz").unlink()
    assert infer().summary["processed"] == 6
    assert seen == [6, 6]


def test_only_failed_tiles_are_tried_again_on_request(infer: Infer, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 3, sizes=(16,))
    whole = pairs[1].opt_v2_path.read_bytes()
    pairs[1].opt_v2_path.write_bytes(whole[:-30])
    folders = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1"}
    assert infer(**folders).exit_code == 3
    pairs[1].opt_v2_path.write_bytes(whole)
    watcher = Watcher()
    result = infer(**folders, retry_failed=True, observer=watcher)
    assert [outcome.tile for outcome in watcher.outcomes] == ["tile_001.npz"]
    assert result.exit_code == 0
    assert result.summary["processed"] == 3


def test_another_configuration_is_not_mixed_in(infer: Infer) -> None:
    infer()
    with pytest.raises(RunConflictError, match="seed: 0 -> 1"):
        infer(seed=1)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_cleanly_and_it_goes_on_later(
    infer: Infer, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    write_pairs(tmp_path, 20, sizes=(16, 20))
    options = {"opt_v2_dir": tmp_path / "opt_v2", "s1_dir": tmp_path / "s1", "timesteps": 30}
    reference = infer(**options, output_dir=tmp_path / "reference")

    def send(n_done: int) -> None:
        if n_done == 3:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    result = infer(**options, observer=Watcher(send))
    assert signal.getsignal(number) is handler
    assert result.exit_code == exit_code
    assert result.is_interrupted
    assert 3 <= result.summary["processed"] < 20
    assert len(hashes(result.output_dir)) == result.summary["processed"]
    manifest = json.loads((result.output_dir / "runs" / "run-manifest.json").read_text())
    assert (manifest["state"], manifest["exit_code"]) == ("interrupted", exit_code)
    resumed = infer(**options)
    assert resumed.exit_code == 0
    assert hashes(resumed.output_dir) == hashes(reference.output_dir)
    statistics = (resumed.output_dir / "tile_statistics.json").read_bytes()
    assert statistics == (reference.output_dir / "tile_statistics.json").read_bytes()


def test_a_signal_drops_a_batch_in_flight(infer: Infer, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[float] = []
    real = Transfers.upload

    def upload(self: Transfers, array: torch.Tensor) -> torch.Tensor:
        if not sent:
            os.kill(os.getpid(), signal.SIGINT)
            sent.append(time.monotonic())
        return real(self, array)

    monkeypatch.setattr(Transfers, "upload", upload)
    result = infer(batch_size=1, timesteps=1000)
    assert time.monotonic() - sent[0] < 5
    assert result.exit_code == 130
    assert result.summary["processed"] == 0
    assert result.summary["pending"] == 6


def test_what_an_observer_raises_ends_the_run(infer: Infer) -> None:
    def complain(n_done: int) -> None:
        raise ValueError(n_done)

    with pytest.raises(ValueError, match="1"):
        infer(observer=Watcher(complain))
    assert infer().exit_code == 0


def test_the_journal_follows_the_output(infer: Infer) -> None:
    result = infer()
    for line in journal_lines(result.output_dir):
        path = result.output_dir / line["tile"]
        assert line["output_bytes"] == path.stat().st_size
        assert line["statistics"] == json.loads(path.with_suffix(".json").read_text())


def test_an_output_name_that_is_taken_fails_its_tile_alone(infer: Infer, tmp_path: Path) -> None:
    write_pair(tmp_path, "free/tile.npz", height=16)
    write_pair(tmp_path, "taken/tile.npz", height=16)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "taken").write_text("a file where a folder should be")
    result = infer(opt_v2_dir=tmp_path / "opt_v2", s1_dir=tmp_path / "s1")
    assert [(t.tile_name, t.phase, t.error_code) for t in result.failed_tiles] == [
        ("taken/tile.npz", "write", "AX-E600")
    ]
    assert sorted(hashes(result.output_dir)) == ["free/tile.npz"]


def test_an_output_folder_that_cannot_be_made_stops_the_run(infer: Infer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made or written"):
        infer(output_dir=tmp_path / "file" / "out")


def test_a_disk_that_may_be_too_small_is_announced(
    infer: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    watcher = Watcher()
    assert infer(observer=watcher).exit_code == 0
    assert len(watcher.warnings) == 1
    assert "GiB free" in watcher.warnings[0]


def test_what_cannot_work_is_refused_before_anything_is_written(
    infer: Infer, tmp_path: Path, checkpoint_path: Path
) -> None:
    with pytest.raises(CheckpointNotFoundError):
        infer(checkpoint=tmp_path / "none.pt")
    with pytest.raises(InputFolderError):
        infer(s1_dir=tmp_path / "none")
    with pytest.raises(UsageError, match="timesteps"):
        infer(timesteps=0)
    with pytest.raises(UsageError, match="unknown entry 'batchsize'"):
        infer(batchsize=2)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NoTilePairsError, match="No matching tile pairs found between"):
        infer(s1_dir=empty)
    assert not (tmp_path / "out").exists()
    config = InferenceConfig(opt_v2_dir=tmp_path, s1_dir=tmp_path, output_dir=checkpoint_path)
    with pytest.raises(TypeError, match="not both: seed"):
        run_inference(config, seed=1)
