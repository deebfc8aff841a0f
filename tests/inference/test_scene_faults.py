"""Scenes that cannot be grounded fail alone; output folders that take nothing stop the run."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
import rasterio
from inference_workbench import Watcher
from scene_workbench import make_scenes, run, set_sizes

from axion_stage3.errors import OutputError, ResourceError
from axion_stage3.inference.predictor import Prediction, Predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from axion_stage3.runs.summary import FailedTileRecord


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    set_sizes(monkeypatch)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    make_scenes(folder)
    return folder


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


def test_too_many_open_files_stop_the_run(
    two_scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_was = rasterio.open

    def refuse(path: object, *_: object, **__: object) -> None:
        raise rasterio.errors.RasterioIOError(f"{path}: {os.strerror(errno.EMFILE)}")

    class Refuser(Watcher):
        def tiles_planned(self, plan: object) -> None:
            monkeypatch.setattr(rasterio, "open", refuse)

    with pytest.raises(ResourceError, match=r"a\.tif cannot be read: too many files are open"):
        run(two_scenes, two_scenes / "out", observer=Refuser())
    monkeypatch.setattr(rasterio, "open", as_it_was)

    assert run(two_scenes, two_scenes / "out").exit_code == 0


@pytest.mark.parametrize("kind", ["opt", "s1"])
def test_a_scene_that_is_cut_short_stops_no_other(two_scenes: Path, kind: str) -> None:
    damaged = two_scenes / kind / "a.tif"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])

    failed = failure_of_first(two_scenes)

    assert (failed.outcome, failed.phase, failed.error_code) == ("failed", "read", "AX-E411")
    assert f"/{kind}/a.tif" in failed.reason


def test_a_raster_that_cannot_be_opened_stops_no_other(two_scenes: Path) -> None:
    damaged = two_scenes / "opt" / "a.tif"
    damaged.write_bytes(damaged.read_bytes()[:100])

    result = run(two_scenes, two_scenes / "out")

    assert result.exit_code == 3
    (failed,) = result.failed_tiles
    assert (failed.tile_name, failed.phase, failed.error_code) == ("a.npz", "read", "AX-E411")
    assert "/opt/a.tif" in failed.reason
    assert (two_scenes / "out" / "scene.tif").is_file()


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
