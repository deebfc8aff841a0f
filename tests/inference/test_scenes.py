"""Whole scenes: as large as a disk, no seam, no more memory, and resumed when killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from inference_workbench import Watcher, lively_network

from axion_stage3.diffusion.checkpoint import load_checkpoint, save_checkpoint
from axion_stage3.errors import OutputError
from axion_stage3.inference.batch_grounding import BatchDropped
from axion_stage3.inference.grounding_run import run_inference
from axion_stage3.inference.predictor import Prediction, Predictor
from axion_stage3.inference.scene_noise import SceneNoise
from axion_stage3.statistics.tile_statistics import tile_statistics
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.inference.grounding_run import RunResult
    from axion_stage3.runs.summary import FailedTileRecord

HEIGHT, WIDTH = 440, 680
PLACE = rasterio.Affine(10, 0, 344400, 0, -10, 5294400)
OPTIONS = {"timesteps": 1, "existing": "resume"}


def set_sizes(patch: pytest.MonkeyPatch) -> None:
    """Make a scene of what would be a tile: three rows of three windows."""
    patch.setattr("axion_stage3.rasters.raster_pairing.LARGEST_TILE_PX", 256)
    patch.setattr("axion_stage3.inference.scene_rows.ROW_PX", 256)
    patch.setattr("axion_stage3.inference.scene_rows.COLUMN_PX", 320)


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    set_sizes(monkeypatch)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """opt/ and s1/ with scene.tif (radar on another grid, with gaps in both), and a checkpoint."""
    folder = tmp_path_factory.mktemp("scenes")
    tile = make_tile(4, HEIGHT, WIDTH)
    opt, s1 = tile.opt_v2.copy(), tile.s1.copy()
    opt[:, :60, :90] = np.nan
    s1[:, 200:206, 600:640] = np.nan
    for kind, pixels in (("opt", opt), ("s1", s1)):
        (folder / kind).mkdir()
        with rasterio.open(
            folder / kind / "scene.tif", "w", driver="GTiff", height=HEIGHT, width=WIDTH,
            count=len(pixels), dtype="float32", crs="EPSG:32633", transform=PLACE, nodata=np.nan,
            tiled=True,
        ) as dataset:  # fmt: skip
            dataset.write(pixels)
    network = lively_network()
    save_checkpoint(folder / "c.pt", network, epoch=1, config={"timesteps": 3})
    return folder


def run(scenes: Path, output_dir: Path, **options: Any) -> RunResult:
    return run_inference(
        **{
            "opt_v2_dir": scenes / "opt",
            "s1_dir": scenes / "s1",
            "output_dir": output_dir,
            "checkpoint": scenes / "c.pt",
            **OPTIONS,
            **options,
        }
    )


def read(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


@pytest.fixture(scope="module")
def grounded(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene, grounded without a stop."""
    output_dir = tmp_path_factory.mktemp("grounded") / "out"
    with pytest.MonkeyPatch.context() as patch:
        set_sizes(patch)
        assert run(scenes, output_dir).exit_code == 0
    return output_dir


def test_a_scene_becomes_a_georeferenced_raster(grounded: Path) -> None:
    with rasterio.open(grounded / "scene.tif") as dataset:
        assert dataset.shape == (HEIGHT, WIDTH)
        assert dataset.transform == PLACE
        assert dataset.crs.to_epsg() == 32633
        assert dataset.descriptions == ("blue", "green", "red", "nir")
        tags = dataset.tags()
        assert tags["AXION_TIMESTEPS"] == "1"
        assert tags["AXION_S1_GRID"].startswith("cut on the common grid")
        assert dataset.overviews(1) == [2]
    assert not (grounded / "runs" / "scene-strips").exists() or not list(
        (grounded / "runs" / "scene-strips").iterdir()
    )


def test_nodata_goes_in_and_comes_out(grounded: Path) -> None:
    pixels = read(grounded / "scene.tif")

    is_lost = np.isnan(pixels).all(axis=0)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:60, :90] = True
    expected[200:206, 600:640] = True
    assert np.array_equal(is_lost, expected)
    assert np.array_equal(np.isnan(pixels).any(axis=0), expected)


def test_there_is_no_seam(scenes: Path, grounded: Path) -> None:
    """The change by the network is the same as when the whole scene is one window."""
    pixels, opt_v2 = read(grounded / "scene.tif"), read(scenes / "opt" / "scene.tif")
    tile = make_tile(4, HEIGHT, WIDTH)
    predictor = Predictor(load_checkpoint(scenes / "c.pt"), "cpu")
    prediction = predictor.predict(
        tile.opt_v2[None], tile.s1[None], ["x"], timesteps=1, window_px=2048
    )
    inside = np.s_[:, 215:, 100:590]
    whole, joined = prediction.opt_final[0].numpy()[inside], pixels[inside]

    assert np.abs(whole - opt_v2[inside]).max() > 1e-2
    assert np.abs(whole - joined).max() < 3e-4
    for axis in (1, 2):  # steps from line to line are nowhere larger, borders of windows included
        steps, expected = (
            np.abs(np.diff(view - opt_v2[inside], axis=axis)).mean(axis=(0, 3 - axis))
            for view in (joined, whole)
        )
        assert (steps < 1.01 * expected).all()


def test_statistics_are_those_of_the_whole(scenes: Path, grounded: Path) -> None:
    pixels, opt_v2 = read(grounded / "scene.tif"), read(scenes / "opt" / "scene.tif")
    s1 = read(scenes / "s1" / "scene.tif")
    is_valid = np.isfinite(pixels).all(axis=0)
    flat = [np.ascontiguousarray(x[:, is_valid][:, None]) for x in (pixels, opt_v2, s1)]
    expected = tile_statistics("scene.tif", *flat)

    written = json.loads((grounded / "scene.json").read_text())

    assert set(written) == set(expected)
    for key, value in expected.items():
        if key != "tile_name":
            assert written[key] == pytest.approx(value, rel=1e-5, abs=1e-7)
    summary = json.loads((grounded / "inference_summary.json").read_text())
    assert summary["processed"] == 1


class Killed(BaseException):
    pass


class StopAfter(Watcher):
    def __init__(self, n_windows: int) -> None:
        super().__init__()
        self.n_windows = n_windows
        self.seen: list[int] = []

    def scene_begun(self, name: str, n_windows: int, methods: Any) -> None:
        self.seen.append(n_windows)

    def scene_advanced(self, n_windows: int) -> None:
        self.seen.append(n_windows)
        if sum(self.seen[1:]) >= self.n_windows:
            raise Killed


@pytest.mark.parametrize("n_windows", [1, 5])
def test_a_scene_that_was_stopped_goes_on_to_the_same_bits(
    scenes: Path, grounded: Path, tmp_path: Path, n_windows: int
) -> None:
    with pytest.raises(Killed):
        run(scenes, tmp_path / "out", observer=StopAfter(n_windows))
    assert not (tmp_path / "out" / "scene.tif").exists()
    watcher = StopAfter(1000)
    assert run(scenes, tmp_path / "out", observer=watcher).exit_code == 0

    assert watcher.seen[1] == (n_windows - 1) // 3 * 3  # finished rows are not made again
    first, second = grounded / "scene.tif", tmp_path / "out" / "scene.tif"
    assert np.array_equal(read(first), read(second), equal_nan=True)


def test_strips_of_other_options_are_not_taken(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(scenes, tmp_path / "out", observer=StopAfter(4), timesteps=2)
    with pytest.raises(Killed):
        run(scenes, tmp_path / "out", observer=StopAfter(4), existing="overwrite", seed=1)
    strips = [path.parent for path in (tmp_path / "out" / "runs").rglob("strip-*.npz")]
    assert len(set(strips)) == 1, "those of the other options are gone"
    watcher = StopAfter(1000)
    run(scenes, tmp_path / "out", observer=watcher, existing="overwrite")

    assert watcher.seen[1] == 0


def test_draws_have_a_spread_and_do_not_depend_on_the_windows(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(scenes, tmp_path / "a", timesteps=2, samples=2)
    monkeypatch.setattr("axion_stage3.inference.scene_rows.COLUMN_PX", 400)
    run(scenes, tmp_path / "b", timesteps=2, samples=2)

    first, second = read(tmp_path / "a" / "scene.tif"), read(tmp_path / "b" / "scene.tif")
    assert first.shape == (8, HEIGHT, WIDTH)
    assert np.nanmean(first[4:]) > 1e-4
    assert np.nanmax(np.abs(first[:4] - second[:4])) < 0.01 * np.nanstd(first[:4])


def test_the_noise_of_overlapping_windows_is_the_same() -> None:
    noise = SceneNoise(7, "a.tif")
    left, right = Window(500, 560, 400, 1100), Window(510, 530, 900, 1600)

    first, second = noise.cut(left, 0), noise.cut(right, 0)

    assert np.array_equal(first[..., 10:30, 500:], second[..., :, :200])
    assert not np.array_equal(first, noise.cut(left, 1))
    assert not np.array_equal(first, noise.cut(left, 0, 0))
    assert abs(float(first.std()) - 1) < 0.02


def test_options_that_do_nothing_for_scenes_are_named(scenes: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    run(scenes, tmp_path / "out", save_intermediate=True, observer=watcher)
    assert any("--save-intermediate" in message for message in watcher.warnings)


def test_a_scene_whose_radar_is_on_another_grid_needs_the_option(
    scenes: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "s1"
    moved.mkdir()
    pixels = read(scenes / "s1" / "scene.tif")
    place = rasterio.Affine(10, 0, 344404, 0, -10, 5294403)
    with rasterio.open(
        moved / "scene.tif", "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=2,
        dtype="float32", crs="EPSG:32633", transform=place, nodata=np.nan,
    ) as dataset:  # fmt: skip
        dataset.write(pixels)

    refused = run(scenes, tmp_path / "out", s1_dir=moved)
    assert refused.exit_code == 3
    assert "--resample-s1" in refused.failed_tiles[0].hint
    result = run(scenes, tmp_path / "out2", s1_dir=moved, resample_s1=True)
    assert result.exit_code == 0
    with rasterio.open(tmp_path / "out2" / "scene.tif") as dataset:
        assert "bilinear, in linear power" in dataset.tags()["AXION_S1_GRID"]
    manifest = json.loads((tmp_path / "out2" / "runs" / "run-manifest.json").read_text())
    assert "bilinear, in linear power" in json.dumps(manifest["methods"])


@pytest.fixture
def two_scenes(scenes: Path, tmp_path: Path) -> Path:
    """opt/ and s1/ with the scene twice: ``a.tif``, which comes first, and ``scene.tif``."""
    for kind in ("opt", "s1"):
        (tmp_path / kind).mkdir()
        for name in ("a.tif", "scene.tif"):
            (tmp_path / kind / name).write_bytes((scenes / kind / "scene.tif").read_bytes())
    (tmp_path / "c.pt").write_bytes((scenes / "c.pt").read_bytes())
    return tmp_path


def failure_of_first(two_scenes: Path) -> FailedTileRecord:
    """Ground both, of which the first must fail and the second must not."""
    result = run(two_scenes, two_scenes / "out")
    assert result.exit_code == 3
    assert [failed.tile_name for failed in result.failed_tiles] == ["a.tif"]
    assert (two_scenes / "out" / "scene.tif").is_file()
    assert not (two_scenes / "out" / "a.tif").exists()
    return result.failed_tiles[0]


@pytest.mark.parametrize("kind", ["opt", "s1"])
def test_a_scene_that_is_cut_short_stops_no_other(two_scenes: Path, kind: str) -> None:
    damaged = two_scenes / kind / "a.tif"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])

    failed = failure_of_first(two_scenes)

    assert (failed.outcome, failed.phase, failed.error_code) == ("failed", "read", "AX-E411")
    assert f"/{kind}/a.tif" in failed.reason


def change_first(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Prediction], Prediction]
) -> None:
    """Change what the network says of the first window that it is asked about."""
    original = Predictor.predict_window
    waiting = [change]

    def changed(self: Predictor, *arguments: Any, **options: Any) -> Prediction:
        prediction = original(self, *arguments, **options)
        return waiting.pop()(prediction) if waiting else prediction

    monkeypatch.setattr(Predictor, "predict_window", changed)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RuntimeError("can't allocate memory: 1 GB"), "AX-E700", "Memory ran out on a.tif"),
        (RuntimeError("boom"), "AX-E900", "boom"),
    ],
    ids=["memory", "anything"],
)
def test_a_scene_that_the_network_cannot_take_stops_no_other(
    two_scenes: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, words: str
) -> None:
    def fail(_: Prediction) -> Prediction:
        raise error

    change_first(monkeypatch, fail)
    failed = failure_of_first(two_scenes)

    assert (failed.outcome, failed.phase, failed.error_code) == ("failed", "compute", code)
    assert words in failed.reason


def test_a_scene_that_fails_the_validation_is_invalid(
    two_scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_first(monkeypatch, lambda prediction: Prediction(prediction.opt_final + 1000))
    failed = failure_of_first(two_scenes)

    assert (failed.outcome, failed.phase, failed.error_code) == ("invalid", "check", "AX-E420")


def test_an_output_folder_that_takes_no_strips_stops_the_run(scenes: Path, tmp_path: Path) -> None:
    runs_folder = tmp_path / "out" / "runs"
    runs_folder.mkdir(parents=True)
    (runs_folder / "scene-strips").write_text("a file where the folder should be")

    with pytest.raises(OutputError, match="scene-strips"):
        run(scenes, tmp_path / "out")


def test_statistics_of_an_older_scene_do_not_stay_beside_a_new_one(
    scenes: Path, tmp_path: Path
) -> None:
    run(scenes, tmp_path / "out")
    assert (tmp_path / "out" / "scene.json").is_file()
    run(scenes, tmp_path / "out", statistics=False, existing="overwrite", seed=1)
    assert not (tmp_path / "out" / "scene.json").exists()


def test_an_output_folder_that_vanishes_is_not_made_again(two_scenes: Path) -> None:
    output, elsewhere = two_scenes / "out", two_scenes / "elsewhere"
    with pytest.raises(OutputError, match="No such file or directory"):
        run(two_scenes, output, observer=Watcher(lambda _: output.rename(elsewhere)))
    assert not output.exists()
    assert (elsewhere / "a.tif").is_file()
    elsewhere.rename(output)
    assert run(two_scenes, output).summary["processed"] == 2


def test_what_an_observer_raises_is_no_failure_of_the_scene(scenes: Path, tmp_path: Path) -> None:
    class Broken(Watcher):
        def scene_advanced(self, n_windows: int) -> None:
            raise ValueError("the observer is broken")

    with pytest.raises(ValueError, match="the observer is broken"):
        run(scenes, tmp_path / "out", observer=Broken())


def test_small_rasters_beside_a_scene_become_tiles(scenes: Path, tmp_path: Path) -> None:
    for kind in ("opt", "s1"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "scene.tif").symlink_to(scenes / kind / "scene.tif")
        os.link(scenes / kind / "scene.tif", tmp_path / kind / "linked.tif")
        (tmp_path / kind / "scene.tif").unlink()
        with rasterio.open(scenes / kind / "scene.tif") as source:
            profile = {**source.profile, "height": 64, "width": 64}
            with rasterio.open(tmp_path / kind / "small.tif", "w", **profile) as target:
                target.write(source.read(window=((100, 164), (100, 164))))

    result = run(tmp_path, tmp_path / "out", checkpoint=scenes / "c.pt")

    assert result.exit_code == 0
    with np.load(tmp_path / "out" / "small.npz") as tile:
        assert tile["opt_final"].shape == (4, 64, 64)
        assert str(tile["crs"]) == "EPSG:32633"
    assert (tmp_path / "out" / "linked.tif").is_file()


def test_a_stop_is_obeyed_between_two_windows(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = Predictor.predict_window

    def stopping(self: Predictor, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise BatchDropped
        return original(self, *arguments, **options)

    monkeypatch.setattr(Predictor, "predict_window", stopping)
    result = run(scenes, tmp_path / "out")

    assert result.is_interrupted
    assert len(calls) == 2


@pytest.mark.slow
def test_a_killed_process_loses_one_row_and_memory_does_not_grow(tmp_path: Path) -> None:
    """A scene of 3,000 x 3,000 px, the bundled checkpoint, SIGKILL on the way; about a minute."""
    tile = make_tile(0, 500)
    for kind, pixels in (("opt", tile.opt_v2), ("s1", tile.s1)):
        (tmp_path / kind).mkdir()
        with rasterio.open(
            tmp_path / kind / "scene.tif", "w", driver="GTiff", height=3000, width=3000,
            count=len(pixels), dtype="float32", crs="EPSG:32633", transform=PLACE, tiled=True,
        ) as dataset:  # fmt: skip
            dataset.write(np.tile(pixels, (1, 6, 6)))
    folders = [f"--{n}-dir={tmp_path / k}" for n, k in (("opt-v2", "opt"), ("s1", "s1"))]
    program = (
        "import resource, sys\n"
        "from axion_stage3.cli.app import run\n"
        f"code = run(['infer', '--timesteps=1', '--output-dir={tmp_path / 'out'}', *{folders}])\n"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
        "sys.exit(code)"
    )
    first = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    strips = tmp_path / "out" / "runs" / "scene-strips"
    while len(list(strips.rglob("strip-*.npz"))) < 3 and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in strips.rglob("strip-*.npz")}
    assert len(kept) >= 3
    second = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert second.returncode == 0, second.stderr
    assert int(second.stdout.partition("PEAK ")[2]) < 2000
    assert (tmp_path / "out" / "scene.tif").is_file()
