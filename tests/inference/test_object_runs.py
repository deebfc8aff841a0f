"""Runs on folders in an object store: memory://, used without rename, append and lock."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from inference_workbench import Watcher, hashes
from test_run_parts import reports

from axion_stage3.cli.app import run
from axion_stage3.errors import InputFolderError, MissingExtraError, OutputError, RunConflictError
from axion_stage3.inference.grounding_run import RunResult, run_inference
from axion_stage3.inference.run_plan import plan_run
from axion_stage3.runs.journal_index import read_journals
from axion_stage3.runs.merging import merge_run
from axion_stage3.storage import object_store
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.storage.retries import RETRIES_USED_UP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Infer = Callable[..., RunResult]

pytest.importorskip("fsspec")
TIMES = ("processing_time_seconds", "tiles_per_second", "stage_seconds")


@pytest.fixture
def store(tiles: Path) -> ObjectUrl:
    """A folder in the store that holds the six pairs; a new one for each test."""
    root = ObjectUrl(f"memory://bucket/{secrets.token_hex(4)}")
    for path in tiles.rglob("*.npz"):
        (root / path.relative_to(tiles).as_posix()).write_once([path.read_bytes()])
    return root


@pytest.fixture
def infer_there(infer: Infer, store: ObjectUrl) -> Infer:
    """Runs from the store into the store, unless told otherwise."""

    def there(**options: Any) -> RunResult:
        folders = {
            "opt_v2_dir": store / "opt_v2", "s1_dir": store / "s1", "output_dir": store / "out"
        }  # fmt: skip
        return infer(**{**folders, **options})

    return there


def stored(folder: ObjectUrl) -> dict[str, str]:
    """Hash of every tile below a folder."""
    return {
        entry.name: hashlib.sha256((folder / entry.name).read_bytes()).hexdigest()
        for entry in folder.objects()
        if entry.name.endswith(".npz")
    }


def stored_reports(folder: ObjectUrl) -> tuple[dict[str, Any], Any]:
    """As ``reports`` of a local folder."""
    summary = json.loads((folder / "inference_summary.json").read_bytes())
    for key in TIMES:
        summary.pop(key)
    return summary, json.loads((folder / "tile_statistics.json").read_bytes())


def names_in(folder: ObjectUrl) -> set[str]:
    return {entry.name for entry in folder.objects()}


def test_a_run_in_a_store_equals_a_local_one(
    infer: Infer, infer_there: Infer, store: ObjectUrl
) -> None:
    local = infer().output_dir
    result = infer_there()
    out = store / "out"
    assert (result.exit_code, str(result.output_dir)) == (0, str(out))
    assert stored(out) == hashes(local)
    assert stored_reports(out) == reports(local)
    expected = {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert {name for name in names_in(out) if not name.startswith("runs/journal")} == {
        name for name in expected if not name.startswith("runs/journal")
    }
    manifest = json.loads((out / "runs/run-manifest.json").read_bytes())
    assert manifest["configuration"]["opt_v2_dir"] == str(store / "opt_v2")
    assert manifest["state"] == "finished"

    again = Watcher()
    assert infer_there(observer=again).summary["processed"] == 6
    assert again.events[-1] == "0 to do"
    assert stored_reports(out) == reports(local)


def test_sides_may_lie_apart(infer: Infer, infer_there: Infer, tiles: Path, tmp_path: Path) -> None:
    whole = infer().output_dir
    for number, options in enumerate(
        ({"opt_v2_dir": tiles / "opt_v2"}, {"s1_dir": f"file://{tiles / 's1'}"})
    ):
        output = tmp_path / f"mixed{number}"
        assert infer_there(output_dir=f"file://{output}", **options).exit_code == 0
        assert hashes(output) == hashes(whole)
        assert list((output / "runs").glob("journal-*.jsonl"))


def test_changed_and_lost_objects_are_made_again(infer_there: Infer, store: ObjectUrl) -> None:
    infer_there()
    before = stored(store / "out")
    first, second, third, *_ = sorted(before)
    (store / "out" / first).unlink(missing_ok=True)
    (store / "out" / second).write_once([b"cut short"])
    (store / "opt_v2" / third).write_once([(store / "opt_v2" / third).read_bytes()])
    watcher = Watcher()
    infer_there(observer=watcher)
    assert sorted(outcome.tile for outcome in watcher.outcomes) == [first, second, third]
    assert stored(store / "out") == before


def test_shards_lists_and_a_merge(infer: Infer, infer_there: Infer, store: ObjectUrl) -> None:
    whole = infer().output_dir
    for k in (2, 3, 1):
        assert not (store / "out" / "inference_summary.json").exists()
        infer_there(shard=f"{k}/3")
    assert stored(store / "out") == hashes(whole)
    assert stored_reports(store / "out") == reports(whole)
    (store / "out" / "inference_summary.json").unlink(missing_ok=True)
    assert merge_run(str(store / "out")).progress.is_complete
    assert stored_reports(store / "out") == reports(whole)


def test_the_last_list_makes_the_reports(
    infer_there: Infer, store: ObjectUrl, tmp_path: Path
) -> None:
    names = sorted(stored(store / "opt_v2"))
    for number, part in enumerate((names[:2], names[2:])):
        listed = tmp_path / f"list{number}"
        listed.write_text("\n".join([str(store / "s1" / part[0]), *part[1:]]))
        infer_there(tiles=listed)
    assert stored_reports(store / "out")[0]["processed"] == 6


def test_another_configuration_is_refused(infer_there: Infer, store: ObjectUrl) -> None:
    infer_there()
    with pytest.raises(RunConflictError, match="seed: 0 -> 1"):
        infer_there(seed=1)
    before = stored(store / "out")
    infer_there(seed=1, existing="overwrite")
    assert all(stored(store / "out")[name] != digest for name, digest in before.items())
    with pytest.raises(RunConflictError):
        infer_there()


def test_an_overwrite_that_is_killed_leaves_no_false_record(
    infer_there: Infer, store: ObjectUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if killed after the first output: what waited in memory is gone."""
    infer_there()
    write, n_left = object_store.write_object, [3]

    def write_three_more(url: str, pieces: Any) -> int:
        is_tile = url.endswith(".npz")
        if is_tile and n_left[0] == 0:
            raise KeyboardInterrupt
        n_left[0] -= is_tile
        if "journal" in url and n_left[0] < 3:
            raise KeyboardInterrupt
        return write(url, pieces)

    monkeypatch.setattr(object_store, "write_object", write_three_more)
    with pytest.raises(KeyboardInterrupt):
        infer_there(seed=1, existing="overwrite")
    monkeypatch.undo()
    index = read_journals(store / "out" / "runs")
    records = [index.get(name) for name in index]
    assert {record.outcome for record in records if record is not None} == {"replacing"}
    with pytest.raises(RunConflictError):
        infer_there()
    watcher = Watcher()
    infer_there(seed=1, observer=watcher)  # goes on overwriting
    assert len(watcher.outcomes) == 6


def test_a_tile_whose_retries_are_used_up_fails_alone(
    infer_there: Infer, store: ObjectUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky = sorted(stored(store / "opt_v2"))
    read, write = object_store.read_object, object_store.write_object

    def failing_read(url: str) -> bytes:
        if url.endswith(f"s1/{unlucky[0]}"):
            raise OSError(RETRIES_USED_UP, "no success in 6 attempts")
        return read(url)

    def failing_write(url: str, pieces: Any) -> int:
        if url.endswith(f"out/{unlucky[1]}"):
            raise OSError(RETRIES_USED_UP, "no success in 6 attempts")
        return write(url, pieces)

    monkeypatch.setattr(object_store, "read_object", failing_read)
    monkeypatch.setattr(object_store, "write_object", failing_write)
    result = infer_there()
    assert result.exit_code == 3
    assert [(tile.tile_name, tile.phase) for tile in result.failed_tiles] == [
        (unlucky[0], "read"), (unlucky[1], "write"),
    ]  # fmt: skip
    monkeypatch.undo()
    assert infer_there(retry_failed=True).exit_code == 0


def test_an_output_that_no_tile_can_be_written_to_ends_the_run(
    infer_there: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str, pieces: Any) -> int:
        raise PermissionError(13, "access is denied")

    monkeypatch.setattr(object_store, "write_object", refused)
    with pytest.raises(OutputError, match="access is denied") as caught:
        infer_there()
    assert caught.value.exit_code == 6


def test_a_plan_writes_nothing(infer_there: Infer, store: ObjectUrl) -> None:
    from axion_stage3.config import InferenceConfig

    config = InferenceConfig.model_validate(
        {"opt_v2_dir": str(store / "opt_v2"), "s1_dir": str(store / "s1"),
         "output_dir": str(store / "out"), "shard": "1/2", "device": "cpu"}
    )  # fmt: skip
    plan = plan_run(config)
    assert (plan.n_tiles, plan.n_to_do, plan.free_bytes) == (6, 6, None)
    assert plan.bytes_per_tile > 0
    assert not (store / "out").exists()


def test_commands_take_urls(
    infer_there: Infer,
    store: ObjectUrl,
    checkpoint_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (store / "model.safetensors").write_once([checkpoint_path.read_bytes()])
    arguments = ["--opt-v2-dir", f"{store}/opt_v2/", "--s1-dir", f"{store}/s1", "--device", "cpu"]
    arguments += ["--checkpoint", f"{store}/model.safetensors"]
    assert run(["infer", *arguments, "--output-dir", f"{tmp_path}/from-urls"]) == 0
    assert f"  opt_v2 directory: {store}/opt_v2/\n" in capsys.readouterr().err
    infer_there()
    assert run(["merge", f"{store}/out"]) == 0
    assert f"  Summary: {store}/out/inference_summary.json" in capsys.readouterr().err
    assert run(["merge", f"{store}/nothing"]) == 4
    assert "does not exist" in capsys.readouterr().err


def test_the_command_line_refuses_results_that_end_with_it(
    store: ObjectUrl, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--opt-v2-dir", f"{store}/opt_v2", "--s1-dir", f"{store}/s1"]
    assert run(["infer", *folders, "--output-dir", f"{store}/out"]) == 2
    assert f"{store}/out lies in memory" in capsys.readouterr().err
    assert not (store / "out").exists()


@pytest.mark.parametrize(
    ("option", "url", "error", "message"),
    [
        ("opt_v2_dir", "memory://bucket/nothing", InputFolderError, "holds no object"),
        ("s1_dir", "memory://bucket/nothing", InputFolderError, "holds no object"),
        ("output_dir", "gs://bucket/out", MissingExtraError, "needs gcsfs"),
        ("opt_v2_dir", "az://bucket/out", MissingExtraError, "needs adlfs"),
    ],
)
def test_what_cannot_be_read_is_said_once(
    infer_there: Infer, option: str, url: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        infer_there(**{option: url})
    if isinstance(caught.value, MissingExtraError):
        assert caught.value.hint.startswith("pip install 'axion-stage3[cloud]' ")


def test_without_the_extra_one_line_says_what_to_install(
    infer_there: Infer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def import_nothing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    object_store._driver.cache_clear()
    monkeypatch.setattr(object_store, "import_module", import_nothing)
    with pytest.raises(MissingExtraError, match="cannot be imported") as caught:
        infer_there()
    assert caught.value.hint == "pip install 'axion-stage3[cloud]'"


def test_geotiffs_stay_on_disks(tmp_path: Path, store: ObjectUrl) -> None:
    (tmp_path / "tif").mkdir()
    (tmp_path / "tif" / "scene.tif").write_bytes(b"")
    with pytest.raises(ValueError, match="on disks only"):
        run_inference(
            opt_v2_dir=tmp_path / "tif", s1_dir=store / "s1", output_dir=store / "out", device="cpu"
        )
