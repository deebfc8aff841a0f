"""What a run comes to: read, from journals and recomputed, always the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from axion_stage3.errors import InputError, InputFolderError
from axion_stage3.runs.run_statistics import run_statistics
from axion_stage3.statistics.accumulators import RunAggregate
from axion_stage3.testing.run_factories import make_run
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_writer import write_npz
from axion_stage3.tiles.tile_loading import load_optical, load_radar

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = "south/tile_03.npz"


@pytest.fixture
def own_run(stats_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(stats_run.parent, tmp_path / "own")) / stats_run.name


def recorded_aggregate(output_dir: Path) -> dict[str, float]:
    summary = json.loads((output_dir / "inference_summary.json").read_text())
    aggregate: dict[str, float] = summary["aggregate_stats"]
    return aggregate


def test_the_aggregate_is_that_of_the_run_bit_for_bit(stats_run: Path) -> None:
    statistics = run_statistics(stats_run)
    assert statistics.aggregate_stats == recorded_aggregate(stats_run)
    assert statistics.agrees_with_summary is True
    assert len(statistics.table.names) == 11
    assert FAILED not in statistics.table.names


def test_recomputed_from_pixels_it_is_the_same_bit_for_bit(stats_run: Path) -> None:
    done: list[None] = []
    statistics = run_statistics(stats_run, recompute=True, on_tile=lambda: done.append(None))
    assert statistics.table.source == "outputs"
    assert statistics.aggregate_stats == recorded_aggregate(stats_run)
    assert len(done) == 11


def test_what_is_not_recomputed_does_not_disagree(own_run: Path) -> None:
    path = own_run / "inference_summary.json"
    summary = json.loads(path.read_text())
    summary["aggregate_stats"] |= {"grounding_gain": 0.1, "evi2_mean": 0.2}
    path.write_text(json.dumps(summary))
    assert run_statistics(own_run, recompute=True).agrees_with_summary is True
    assert run_statistics(own_run).agrees_with_summary is False
    summary["aggregate_stats"]["blue_mean"] += 0.001
    path.write_text(json.dumps(summary))
    assert run_statistics(own_run, recompute=True).agrees_with_summary is False


def test_statistics_may_be_json_lines(own_run: Path) -> None:
    expected = run_statistics(own_run)
    listed = own_run / "tile_statistics.json"
    rows = json.loads(listed.read_text())
    lines = own_run / "tile_statistics.jsonl"
    lines.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    listed.unlink()
    statistics = run_statistics(own_run)
    assert statistics.table.source == "tile_statistics.jsonl"
    assert statistics.table.names == expected.table.names
    assert statistics.aggregate_stats == expected.aggregate_stats
    lines.write_text("[]\n")
    with pytest.raises(InputError, match="does not hold the statistics"):
        run_statistics(own_run)


def test_without_the_statistics_file_the_journals_are_read(own_run: Path) -> None:
    (own_run / "tile_statistics.json").unlink()
    statistics = run_statistics(own_run)
    assert statistics.table.source == "journals"
    assert statistics.aggregate_stats == recorded_aggregate(own_run)


def test_any_partition_into_folders_merges_to_the_whole(stats_run: Path) -> None:
    statistics = run_statistics(stats_run)
    table = statistics.table
    whole = RunAggregate()
    for folder in statistics.folders:
        here = [
            index
            for index, name in enumerate(table.names)
            if (name.rpartition("/")[0] or ".") == folder.folder
        ]
        part = table.aggregate(here)
        assert part.result() == folder.aggregate_stats
        whole.merge(part)
    assert [folder.folder for folder in statistics.folders] == [".", "north", "south"]
    assert whole.result() == statistics.aggregate_stats


def test_tiles_are_ranked_by_their_change(stats_run: Path) -> None:
    statistics = run_statistics(stats_run, n_listed=4)
    recorded = json.loads((stats_run / "tile_statistics.json").read_text())
    by_change = sorted(recorded, key=lambda tile: tile["change_mean"])
    assert [tile.tile_name for tile in statistics.least_changed] == [
        tile["tile_name"] for tile in by_change[:4]
    ]
    assert [tile.tile_name for tile in statistics.most_changed] == [
        tile["tile_name"] for tile in by_change[::-1][:4]
    ]
    assert statistics.most_changed[0].change_max == by_change[-1]["change_max"]


def test_a_tile_that_stands_out_is_named(own_run: Path) -> None:
    bright = "north/tile_02.npz"
    truth = make_tile(2, 32).truth
    write_npz(own_run / bright, {"opt_final": truth + np.float32(3)}, {"opt_v3": "opt_final"})
    statistics = run_statistics(own_run, recompute=True)
    outlier = statistics.outliers[0]
    assert outlier.tile_name == bright
    assert outlier.robust_z > 100
    assert outlier.n_fields >= 5
    assert outlier.median < 1 < outlier.value
    assert statistics.agrees_with_summary is False


def test_a_run_on_opt_v2_elsewhere_is_recomputed_with_its_folder(own_run: Path) -> None:
    moved = own_run.parent / "moved"
    (own_run.parent / "opt_v2").rename(moved)
    shutil.rmtree(own_run / "runs")
    without = run_statistics(own_run, recompute=True)
    assert not without.table.names
    assert "--opt-v2-dir" in without.table.unusable[0].reason
    assert without.aggregate_stats["change_mean"] is None
    found = run_statistics(own_run, recompute=True, opt_v2_dir=moved, s1_dir=own_run.parent / "s1")
    assert found.aggregate_stats == recorded_aggregate(own_run)


def test_inputs_may_be_geotiffs(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    output_dir = make_run(tmp_path, ["a.npz", "b/c.npz"])
    for kind, load in {"opt_v2": load_optical, "s1": load_radar}.items():
        for path in sorted((tmp_path / kind).rglob("*.npz")):
            pixels = load(path)
            n_bands, height, width = pixels.shape
            with rasterio.open(
                path.with_suffix(".tif"), "w", driver="GTiff", count=n_bands, height=height,
                width=width, dtype="float32", crs="EPSG:32633",
                transform=rasterio.Affine(10, 0, 344400, 0, -10, 5294400),
            ) as dataset:  # fmt: skip
                dataset.write(pixels)
            path.unlink()
    statistics = run_statistics(output_dir, recompute=True)
    assert statistics.table.unusable == ()
    assert statistics.aggregate_stats == recorded_aggregate(output_dir)
    assert statistics.agrees_with_summary is True


def test_inputs_saved_in_the_outputs_need_no_folder(tmp_path: Path) -> None:
    output_dir = make_run(tmp_path, ["a.npz", "b/c.npz"], save_intermediate=True)
    for folder in ("opt_v2", "s1"):
        shutil.rmtree(tmp_path / folder)
    statistics = run_statistics(output_dir, recompute=True)
    assert statistics.aggregate_stats == recorded_aggregate(output_dir)


def test_a_run_that_was_moved_still_finds_relative_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make_run(Path(), ["a.npz", "b.npz"])
    monkeypatch.chdir(tmp_path)
    statistics = run_statistics(Path("here/outputs"), recompute=True)
    assert statistics.table.names == ("a.npz", "b.npz")


def test_an_unreadable_output_is_listed_with_its_reason(own_run: Path) -> None:
    (own_run / "alone.npz").write_bytes(b"not an NPZ")
    statistics = run_statistics(own_run, recompute=True)
    assert [tile.tile_name for tile in statistics.table.unusable] == ["alone.npz"]
    assert "alone.npz" in statistics.table.unusable[0].reason
    assert len(statistics.table.names) == 10


def test_a_null_is_left_out_as_the_run_leaves_it_out(own_run: Path) -> None:
    path = own_run / "tile_statistics.json"
    document = json.loads(path.read_text())
    document[0]["ndvi_mean"] = None
    path.write_text(json.dumps(document))
    statistics = run_statistics(own_run)
    assert [tile.tile_name for tile in statistics.table.unusable] == [document[0]["tile_name"]]
    assert len(statistics.table.names) == 10


def test_tiles_may_lack_fields(own_run: Path) -> None:
    """The guide's fields alone, as another program writes them, or a mixture."""
    path = own_run / "tile_statistics.json"
    document = json.loads(path.read_text())
    del document[0]["ndvi_mean"]
    path.write_text(json.dumps(document))
    statistics = run_statistics(own_run)
    assert statistics.distributions["ndvi_mean"].count == 10
    assert statistics.distributions["change_mean"].count == 11


def spoil(change: Callable[[list[dict[str, object]]], object]) -> Callable[[str], str]:
    def spoiled(text: str) -> str:
        document = json.loads(text)
        return json.dumps(change(document))

    return spoiled


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-40],
        lambda text: "",
        lambda text: "\x00" * 100,
        lambda text: "[" * 100_000,
        spoil(lambda tiles: {"tiles": tiles}),
        spoil(lambda tiles: [*tiles, 7]),
        spoil(lambda tiles: [*tiles, {"change_mean": 1.0}]),
        spoil(lambda tiles: [*tiles, {**tiles[0], "change_mean": {"tile_name": "x"}}]),
        spoil(lambda tiles: [*tiles, {**tiles[0], "change_mean": [1.0]}]),
        spoil(lambda tiles: [*tiles, tiles[0]]),
    ],
)
def test_a_damaged_statistics_file_is_an_error_that_names_the_way_out(
    own_run: Path, damage: Callable[[str], str]
) -> None:
    path = own_run / "tile_statistics.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError) as caught:
        run_statistics(own_run)
    assert str(path) in caught.value.message
    assert "--recompute" in caught.value.hint


def test_folders_that_are_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFolderError, match="does not exist"):
        run_statistics(tmp_path / "missing")
    with pytest.raises(InputError, match="no statistics"):
        run_statistics(tmp_path)
    with pytest.raises(InputError, match="no output tile"):
        run_statistics(tmp_path, recompute=True)
