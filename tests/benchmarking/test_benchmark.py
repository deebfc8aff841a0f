"""The benchmark measures what it says it measures, and writes it as its schema says."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jsonschema
import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from axion_stage3.benchmarking import benchmark as module
from axion_stage3.benchmarking.benchmark_document import BenchmarkDocument
from axion_stage3.benchmarking.goals import judge_gpu
from axion_stage3.benchmarking.timing import measure_pace, watch_memory
from axion_stage3.benchmarking.whole_runs import measure_file_threads, measure_process
from axion_stage3.benchmarking.workload import load_workload
from axion_stage3.cli.app import run
from axion_stage3.cli.benchmark_report import benchmark_text
from axion_stage3.config import InferenceConfig
from axion_stage3.diffusion.checkpoint import save_checkpoint
from axion_stage3.diffusion.encoder import NetworkConfig
from axion_stage3.diffusion.network import GroundingNetwork
from axion_stage3.errors import AxionError
from axion_stage3.inference.devices import Workers
from axion_stage3.testing.tile_factories import write_pairs
from axion_stage3.tiles.pairing import find_pairs
from axion_stage3.tiles.tile_loading import load_pair

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "benchmark.schema.json"
TINY = NetworkConfig(widths=(8, 8, 8), blocks=(1, 1, 1, 1, 1), denoiser_width=8, denoiser_blocks=1)


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, GroundingNetwork(TINY), epoch=1, config={"timesteps": 2})
    return path


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    write_pairs(folder, 3, sizes=(24, 40))
    return folder


class Ended(NamedTuple):
    exit_code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def ended(tiny_checkpoint: Path, tiles: Path) -> Ended:
    """One benchmark from the command line: little time for each figure, each process once."""
    folders = ["--opt-v2-dir", f"{tiles}/opt_v2", "--s1-dir", f"{tiles}/s1"]
    amounts = ["--tile-size", "32", "--batch-sizes", "1,2", "--seconds", "0.01"]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(module, "_START_UP_REPETITIONS", 1)
        patch.setattr(module, "_MEMORY_TILES", 8)
        what = ["--checkpoint", str(tiny_checkpoint), "--device", "cpu", *folders, *amounts]
        exit_code = run(["benchmark", *what, "--json", "--verbose"])
    return Ended(exit_code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def document(ended: Ended) -> BenchmarkDocument:
    return TypeAdapter(BenchmarkDocument).validate_json(ended.out)


def test_the_document_is_as_its_schema_says(ended: Ended) -> None:
    assert ended.exit_code == 0
    jsonschema.validate(json.loads(ended.out), json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_each_step_is_said_with_its_time_when_verbose(
    ended: Ended, document: BenchmarkDocument
) -> None:
    begun = re.findall(r"^(From file to file, local, T=\d+, batch \w+)$", ended.err, re.MULTILINE)
    timed = re.findall(r"^(.+): (\d+\.\d\d) s$", ended.err, re.MULTILINE)
    # The best batch size of each number of timesteps is measured twice.
    assert len(begun) == len(document.runs) + 2
    assert [what for what, _ in timed if what.startswith("From file")] == begun
    assert {"Start-up and memory of whole processes", "Reading and writing, 256 px"} <= {
        what for what, _ in timed
    }
    in_all = sum(float(seconds) for _, seconds in timed)
    assert 0.5 * document.seconds < in_all <= document.seconds + 0.01 * len(timed)


def test_everything_asked_for_is_measured(document: BenchmarkDocument) -> None:
    alone = [(pace.timesteps, pace.batch_size) for pace in document.network]
    assert alone == [(1, 1), (1, 2), (10, 1), (10, 2)]
    assert {pace.timesteps for pace in document.runs} == {1, 10}
    for timesteps in (1, 10):
        sizes = [pace.batch_size for pace in document.runs if pace.timesteps == timesteps]
        assert {1, "auto"} <= set(sizes)
        assert len(sizes) == len(set(sizes))
    assert [(pace.operation, pace.tile_px) for pace in document.files] == [
        ("read", 32),
        ("encode", 32),
        ("write", 32),
        ("read", 256),
        ("encode", 256),
        ("write", 256),
    ]


def test_the_figures_fit_each_other(document: BenchmarkDocument) -> None:
    for pace in document.network:
        assert pace.gmac_per_second == pytest.approx(pace.tiles_per_second * pace.gmac_per_tile)
        share = pace.gmac_per_second / document.bound_gmac_per_second
        assert pace.share_of_bound == pytest.approx(share)
    for pair in document.files:
        ratio = pair.tiles_per_second / pair.numpy_tiles_per_second
        assert pair.times_numpy == pytest.approx(ratio)
    for whole in document.runs:
        assert whole.tiles_per_second == pytest.approx(whole.n_tiles / whole.seconds)
        assert {"read", "compute", "write"} <= set(whole.stage_seconds)
    best_run = max(pace.tiles_per_second for pace in document.runs if pace.timesteps == 10)
    best_network = max(pace.tiles_per_second for pace in document.network if pace.timesteps == 10)
    goals = {goal.figure: goal for goal in document.goals}
    assert goals["file to file over the network, T=10"].value == pytest.approx(
        best_run / best_network
    )
    seconds = {process.command: process.seconds for process in document.processes}
    assert goals["--help, s"].value == seconds["--help"] < seconds["infer, one tile"]
    assert document.seconds > sum(seconds.values()) + sum(whole.seconds for whole in document.runs)
    for goal in document.goals:
        if goal.value is not None:
            is_above = goal.value > goal.limit
            assert goal.is_reached is (is_above if goal.direction == "at least" else not is_above)
    assert goals["file to file over the yardstick, T=10"].is_reached is None
    assert goals["peak RSS of infer at batch 8, MB"].is_reached is True


def test_what_only_a_gpu_can_tell_is_not_measured_without_one(document: BenchmarkDocument) -> None:
    assert {pace.way for pace in document.network} == {"eager"}
    on_gpu = [goal for goal in document.goals if goal.figure.startswith("GPU")]
    assert len(on_gpu) == 5
    assert all(goal.value is None and goal.is_reached is None for goal in on_gpu)


def test_the_ways_of_a_gpu_stand_apart_and_are_judged(document: BenchmarkDocument) -> None:
    paces = [
        replace(pace, way=way, tiles_per_second=speed, peak_gpu_mb=90.0, batch_size=8)
        for way, speed in (("graph", 7500.0), ("eager", 400.0), ("compile", 9000.0))
        for pace in document.network
    ]
    runs = [replace(pace, tiles_per_second=3100.0) for pace in document.runs]
    goals = judge_gpu(paces, runs, [450.0, 3500.0], is_gpu=True)
    assert [goal.value for goal in goals] == [3100.0, 3100.0 / 3500.0, 3100.0, 9000.0, 90.0]
    assert all(goal.is_reached for goal in goals)
    lines = benchmark_text(replace(document, network=tuple(paces), goals=goals)).splitlines()
    assert max(map(len, lines)) <= 80
    ways = [line.split()[0] for line in lines if line.split()[:1] != [] and "8  " in line]
    assert {"graph", "eager", "compile"} <= set(ways)


def test_files_are_measured_beside_each_other_without_the_network(
    tiles: Path, tmp_path: Path
) -> None:
    workload = load_workload(tiles / "opt_v2", tiles / "s1", 32)
    opt_v2_dir, s1_dir = workload.write(tmp_path / "in", 9)
    config = InferenceConfig(opt_v2_dir=opt_v2_dir, s1_dir=s1_dir, output_dir=tmp_path / "out")
    assert measure_file_threads(config, 9) > 1
    assert len(list((tmp_path / "out").glob("*.npz"))) == 9


def test_macs_are_counted(document: BenchmarkDocument) -> None:
    # Per call of the tiny denoiser at 16 x 16: 16 to 8, twice 8 to 8 and 8 to 16 channels, 3 x 3.
    one_call = 16 * 16 * 9 * (16 * 8 + 2 * 8 * 8 + 8 * 16) / 1e9
    gmac = {pace.timesteps: pace.gmac_per_tile for pace in document.network}
    # Once: the detail's head, two layers of 8 to 8 channels and one of 8 to 32 there, one below.
    head = 9 * (16 * 16 * (2 * 8 * 8 + 8 * 32) + 8 * 8 * 8 * 8) / 1e9
    # Once: a composition blurs four bands seven times, by a matrix on either side.
    blurs = 7 * 4 * 2 * 32**3 / 1e9
    # What else depends on the steps: the embedding of the noise levels.
    assert gmac[10] - gmac[1] == pytest.approx(9 * one_call + head + blurs, rel=0.05)


def test_the_text_fits_a_terminal(document: BenchmarkDocument) -> None:
    lines = benchmark_text(document).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.endswith(("reached", "missed", "not measured")) for line in lines) == 13
    assert not any("graph" in line for line in lines)


def test_a_pace_counts_all_workers() -> None:
    import time

    def work() -> int:
        time.sleep(0.01)
        return 2

    alone, together = (measure_pace(work, Workers(n, 1), 0.2) for n in (1, 4))
    assert 100 < alone <= 200
    assert together > 2.5 * alone


def test_a_failing_worker_ends_the_measurement() -> None:
    def work() -> int:
        raise ValueError("no work")

    with pytest.raises(ValueError, match="no work"):
        measure_pace(work, Workers(3, 1), 0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_the_peak_of_memory_is_that_of_the_part_watched() -> None:
    sizes = []
    for n_bytes in (200_000_000, 1):
        with watch_memory(torch.device("cpu")) as peak:
            np.ones(n_bytes, dtype=np.uint8).sum()
        assert peak.rss_mb is not None
        sizes.append(peak.rss_mb)
    assert sizes[0] - sizes[1] > 150
    assert peak.gpu_mb is None


def test_a_process_is_measured_apart_from_this_one() -> None:
    pace = measure_process("version", ["--version"])
    assert 0 < pace.seconds < 60
    # This process holds torch; one that only says its version does not.
    assert pace.peak_rss_mb is None or pace.peak_rss_mb < 100
    with pytest.raises(AxionError, match="ended with code 2"):
        measure_process("wrong", ["no-such-command"])


@pytest.mark.parametrize("tile_px", [16, 24, 100])
def test_tiles_are_cut_or_continued(tiles: Path, tmp_path: Path, tile_px: int) -> None:
    workload = load_workload(tiles / "opt_v2", tiles / "s1", tile_px)
    assert workload.opt_v2.shape == (3, 4, tile_px, tile_px)
    first = load_pair(find_pairs(tiles / "opt_v2", tiles / "s1").pairs[0])
    kept = min(tile_px, 24)
    assert np.array_equal(workload.opt_v2[0, :, :kept, :kept], first.opt_v2[:, :kept, :kept])
    pairs = find_pairs(*workload.write(tmp_path / "written", 7)).pairs
    assert len(pairs) == 7
    assert np.array_equal(load_pair(pairs[4]).s1, workload.s1[1])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--timesteps", "1,x"], 2, "Invalid value for '--timesteps': '1,x' is no list of numbers"),
        (["--timesteps", "0"], 2, "whole numbers from 1 to 1000"),
        (["--timesteps", "1,1001"], 2, "whole numbers from 1 to 1000"),
        (["--batch-sizes", "0"], 2, "--batch-sizes needs whole numbers from 1"),
        (["--seconds", "0"], 2, "Give a positive number"),
        (["--seconds", "inf"], 2, "Give a positive number"),
        (["--tile-size", "8"], 2, "Give at least 16 to --tile-size"),
        (["--opt-v2-dir", "."], 2, "Give both --opt-v2-dir and --s1-dir"),
        (["--opt-v2-dir", "/no/such", "--s1-dir", "."], 4, "folder /no/such cannot be read"),
        (["--checkpoint", "/no/such.pt"], 5, "no checkpoint at /no/such.pt"),
        (["--tile-size", "20", "--against", "diffusers-unet"], 2, "Give a multiple of 8"),
        (["--against", "other"], 2, "diffusers-unet"),
        (["--device", "cuda:99"], 7, "cuda:99"),
    ],
)
def test_wrong_options(
    capsys: pytest.CaptureFixture[str], arguments: list[str], exit_code: int, words: str
) -> None:
    assert run(["benchmark", *arguments]) == exit_code
    error = capsys.readouterr().err
    assert words in " ".join(error.split())
    assert "Traceback" not in error


def test_a_missing_yardstick_is_said_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert run(["benchmark", "--against", "diffusers-unet"]) == 8
    assert "pip install 'axion-stage3[bench]'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_command(capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path) -> None:
    options = ["--seconds", "0.05", "--tile-size", "32", "--checkpoint", str(tiny_checkpoint)]
    assert run(["benchmark", *options, "--against", "diffusers-unet", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    jsonschema.validate(written, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert 4e6 < written["yardstick"]["parameters"] < 6e6
    verdicts = {goal["figure"]: goal["is_reached"] for goal in written["goals"]}
    unmeasured = {figure for figure, is_reached in verdicts.items() if is_reached is None}
    has_gpu = torch.cuda.is_available()
    assert unmeasured == (set() if has_gpu else {f for f in verdicts if f.startswith("GPU")})
