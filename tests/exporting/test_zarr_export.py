"""``export --to zarr`` into a folder that holds a store already, of whatever kind."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from export_workbench import UTM

from axion_stage3.cli.app import run
from axion_stage3.errors import OutputError
from axion_stage3.exporting.export_journal import ExportJournal
from axion_stage3.exporting.run_export import export_run
from axion_stage3.statistics.spectral_indices import INDICES
from axion_stage3.testing.faults import FileFaults, disk_fault
from axion_stage3.testing.run_factories import make_run
from axion_stage3.tiles.npz_reader import read_npz
from axion_stage3.tiles.npz_writer import write_npz

SIZE = 16
NAMES = [f"tile_{letter}.npz" for letter in "abcde"]
SHARD_TILES = 3


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    n_bytes = SHARD_TILES * 4 * SIZE**2 * 4
    monkeypatch.setattr("axion_stage3.exporting.zarr_export._SHARD_BYTES", n_bytes)


@pytest.fixture(scope="module")
def five_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of five tiles; beside it t.csv, which says where they lie."""
    output_dir = make_run(tmp_path_factory.mktemp("five"), NAMES, size_px=SIZE)
    rows = [f"{name},{UTM},{left(name)},5294400,10" for name in NAMES]
    table = "\n".join(["tile,crs,origin_x,origin_y,pixel_size", *rows])
    (output_dir.parent / "t.csv").write_text(table)
    return output_dir


def left(name: str) -> int:
    return 344400 + NAMES.index(name) * SIZE * 10


def to_zarr(source: Path, folder: Path, *tiles: str, **options: Any) -> None:
    table = source.parent / "t.csv"
    export_run(source, folder, to="zarr", tiles=tiles, georeference=table, **options)


def stored(folder: Path) -> Any:
    return zarr.open_group(folder / "tiles.zarr", mode="r")[f"{SIZE}x{SIZE}"]


def test_a_name_never_stands_over_the_pixels_of_another_tile(
    five_tiles: Path, tmp_path: Path
) -> None:
    truth = {name: read_npz(five_tiles / name, ["opt_final"])["opt_final"] for name in NAMES}
    before = tmp_path / "before"
    to_zarr(five_tiles, before, *NAMES[1:])
    n_failed = 0

    # The run has grown by its first tile, in an array of the same shape: all others move.
    for index in range(1000):
        folder = Path(shutil.copytree(before, tmp_path / str(index)))
        faults = FileFaults(folder, index, disk_fault(errno.EIO), is_lasting=True, has_reads=True)
        with faults:
            try:
                to_zarr(five_tiles, folder)
            except OutputError:
                n_failed += 1
        array = stored(folder)
        names, n_filled = array.attrs["tile_names"], 0
        assert [place[2] for place in array.attrs["transform"]] == [left(name) for name in names]
        for name, pixels in zip(names, array[:], strict=False):
            is_filled = not np.isnan(pixels).all()
            assert not is_filled or np.array_equal(pixels, truth[name])
            n_filled += is_filled
        if index >= len(faults.calls):
            break
    assert n_failed > 20
    assert n_filled == len(NAMES)


def test_a_shard_that_was_not_noted_is_not_taken_for_an_older_one(
    five_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(shutil.copytree(five_tiles.parent, tmp_path / "own")) / five_tiles.name
    optical = np.ones((4, SIZE, SIZE), np.float32) * np.float32(
        [[[0.1]], [[0.2]], [[0.3]], [[0.4]]]
    )
    for name in NAMES:  # flat, so that all shards come out equally large
        write_npz(source / name, {"opt_final": optical})
    to_zarr(source, tmp_path / "gis", indices="NDVI")
    add, full = ExportJournal.add, disk_fault(errno.ENOSPC)

    def stops(journal: ExportJournal, name: str, fingerprint: str, files: list[Path]) -> None:
        if files:
            raise full()
        add(journal, name, fingerprint, files)

    with monkeypatch.context() as patch:
        patch.setattr(ExportJournal, "add", stops)
        with pytest.raises(OutputError):
            to_zarr(source, tmp_path / "gis", indices="GNDVI")

    to_zarr(source, tmp_path / "gis", indices="NDVI")

    array = stored(tmp_path / "gis")
    assert array.attrs["band_names"][-1] == "NDVI"
    assert np.array_equal(array[0, 4], INDICES["NDVI"](optical))


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_store_of_other_tiles_is_refused_and_left_as_it_is(
    five_tiles: Path, tmp_path: Path
) -> None:
    to_zarr(five_tiles, tmp_path, *NAMES[:4])
    before = files_of(tmp_path)

    with pytest.raises(OutputError, match=r"holds 3 of 4 tiles .* such as tile_b") as caught:
        to_zarr(five_tiles, tmp_path, NAMES[0], NAMES[4])

    assert "another --output-dir" in caught.value.hint
    assert "without --tile" in caught.value.hint
    assert files_of(tmp_path) == before
    to_zarr(five_tiles, tmp_path, *NAMES[:4])
    to_zarr(five_tiles, tmp_path)
    assert stored(tmp_path).attrs["tile_names"] == NAMES


def test_a_tile_that_fails_now_is_no_other_tile(five_tiles: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(five_tiles.parent, tmp_path / "own")) / five_tiles.name
    to_zarr(source, tmp_path / "gis")
    (source / NAMES[0]).write_bytes(b"damaged")

    to_zarr(source, tmp_path / "gis")

    assert stored(tmp_path / "gis").attrs["tile_names"] == NAMES[1:]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"zarr_format": 3, "attributes": 5}', "5"])
@pytest.mark.parametrize("name", ["zarr.json", f"{SIZE}x{SIZE}/zarr.json"])
def test_damaged_metadata_are_named(five_tiles: Path, tmp_path: Path, name: str, text: str) -> None:
    to_zarr(five_tiles, tmp_path, NAMES[0])
    damaged = tmp_path / "tiles.zarr" / name
    damaged.write_text(text)
    before = files_of(tmp_path)

    with pytest.raises(OutputError, match="is damaged") as caught:
        to_zarr(five_tiles, tmp_path)

    assert str(damaged) in caught.value.message
    assert caught.value.hint.startswith(f"Remove {tmp_path / 'tiles.zarr'}")
    assert files_of(tmp_path) == before
    shutil.rmtree(tmp_path / "tiles.zarr")
    to_zarr(five_tiles, tmp_path)
    assert not np.isnan(stored(tmp_path)[: len(NAMES)]).any()


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_stands_in_the_way_of_the_store_is_to_be_moved(
    five_tiles: Path, tmp_path: Path, *, is_folder: bool
) -> None:
    if is_folder:
        (tmp_path / "tiles.zarr" / "zarr.json").mkdir(parents=True)
    else:
        (tmp_path / "tiles.zarr").touch()

    with pytest.raises(OutputError, match=r"Cannot write .*tiles\.zarr") as caught:
        to_zarr(five_tiles, tmp_path)

    assert "move that away" in caught.value.hint
    assert "room on the disk" not in caught.value.hint


@pytest.mark.parametrize("to", ["geotiff", "zarr"])
def test_progress_counts_tiles_that_fail(
    five_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    source = Path(shutil.copytree(five_tiles.parent, tmp_path / "own")) / five_tiles.name
    (source / NAMES[0]).write_bytes(b"damaged")
    given = ["--output-dir", str(tmp_path / "gis"), "--to", to, "--allow-unreferenced"]

    for _ in range(2):  # also where all others are kept
        assert run(["export", str(source), *given]) == 3
        assert "Exporting tiles: 5/5" in capsys.readouterr().err
