"""Whole scenes: as large as a disk, no more memory, and resumed when killed."""

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
from inference_workbench import Watcher
from scene_workbench import HEIGHT, PLACE, WIDTH, make_scenes, read, run, set_sizes

from axion_stage3.inference.batch_grounding import BatchDropped
from axion_stage3.inference.predictor import Predictor
from axion_stage3.testing.tile_factories import make_tile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    set_sizes(monkeypatch)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    make_scenes(folder)
    return folder


@pytest.fixture(scope="module")
def grounded(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene, grounded without a stop."""
    output_dir = tmp_path_factory.mktemp("grounded") / "out"
    with pytest.MonkeyPatch.context() as patch:
        set_sizes(patch)
        assert run(scenes, output_dir).exit_code == 0
    return output_dir


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


def test_small_rasters_beside_a_scene_become_tiles(scenes: Path, tmp_path: Path) -> None:
    for kind in ("opt", "s1"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "scene.tif").symlink_to(scenes / kind / "scene.tif")
        os.link(scenes / kind / "scene.tif", tmp_path / kind / "linked.tif")
        (tmp_path / kind / "scene.tif").unlink()
        with rasterio.open(scenes / kind / "scene.tif") as source:
            profile = {**source.profile, "height": 48, "width": 48}
            with rasterio.open(tmp_path / kind / "small.tif", "w", **profile) as target:
                target.write(source.read(window=((40, 88), (40, 88))))

    result = run(tmp_path, tmp_path / "out", checkpoint=scenes / "c.pt")

    assert result.exit_code == 0
    with np.load(tmp_path / "out" / "small.npz") as tile:
        assert tile["opt_final"].shape == (4, 48, 48)
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
