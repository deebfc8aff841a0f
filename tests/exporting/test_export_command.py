"""``axion-stage3 export`` from the outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
import zarr
from export_workbench import NAMES, SIZE, UTM
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rio_cogeo.cogeo import cog_validate

from axion_stage3.cli.app import run
from axion_stage3.exporting.run_export import export_run
from axion_stage3.exporting.schemas import SCHEMAS
from axion_stage3.statistics.spectral_indices import INDICES
from axion_stage3.testing.run_factories import make_run
from axion_stage3.tiles.npz_reader import read_npz

if TYPE_CHECKING:
    from collections.abc import Callable

STAC_SCHEMAS = Path(__file__).parent / "stac_schemas"


@pytest.fixture
def export(
    capsys: pytest.CaptureFixture[str], finished_run: Path, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run the command; returns the document."""

    def call(*arguments: object, code: int = 0, source: Path = finished_run) -> dict[str, Any]:
        given = [str(source), "--output-dir", str(tmp_path / "gis"), "--quiet", "--json"]
        assert run(["export", *given, *map(str, arguments)]) == code
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, json.loads((SCHEMAS / "export.schema.json").read_text()))
        return document

    return call


def opt_final(finished_run: Path, name: str) -> np.ndarray[Any, Any]:
    return read_npz(finished_run / name, ["opt_final"])["opt_final"]


@pytest.mark.parametrize("to", ["geotiff", "cog"])
def test_tiles_become_rasters_of_the_same_pixels(
    export: Callable[..., dict[str, Any]],
    finished_run: Path,
    table: tuple[str, Path],
    tmp_path: Path,
    to: str,
) -> None:
    document = export("--to", to, "--std", "--change", "--indices", "NDVI,ndwi", *table)

    names = ["blue", "green", "red", "nir"]
    assert document["bands"] == [*names, *(f"{n}_std" for n in names), "change", "NDVI", "NDWI"]
    assert (document["n_tiles"], document["n_exported"], document["n_failed"]) == (4, 4, 0)
    path = tmp_path / "gis" / "b" / "tile_1.tif"
    with rasterio.open(path) as dataset:
        pixels = dataset.read()
        assert dataset.crs.to_string() == UTM
        assert tuple(dataset.transform)[:6] == (10, 0, 344880, 0, -10, 5293920)
        assert list(dataset.descriptions) == document["bands"]
        assert dataset.tags()["AXION_TIMESTEPS"] == "10"
        assert dataset.tags()["AXION_TILE"] == "b/tile_1.npz"
        assert len(dataset.tags()["AXION_CHECKPOINT_SHA256"]) == 64
    output = opt_final(finished_run, "b/tile_1.npz")
    assert np.array_equal(pixels[:4], output)
    assert np.array_equal(pixels[-1], INDICES["NDWI"](output), equal_nan=True)
    assert (pixels[4:8] > 0).any()
    if to == "cog":
        assert cog_validate(path, strict=True)[0]


def test_filled_pixels_hold_no_data(
    export: Callable[..., dict[str, Any]], table: tuple[str, Path], tmp_path: Path
) -> None:
    export(*table)

    with rasterio.open(tmp_path / "gis" / "a" / "tile_0.tif") as dataset:
        mask = dataset.read_masks(4) == 0
    assert mask[5:9, 2:4].all()
    assert mask.sum() == 8


def test_started_again_it_makes_what_is_missing_and_no_more(
    export: Callable[..., dict[str, Any]], table: tuple[str, Path], tmp_path: Path
) -> None:
    export(*table)
    kept = tmp_path / "gis" / "a" / "tile_1.tif"
    before = kept.stat().st_mtime_ns
    (tmp_path / "gis" / "a" / "tile_0.tif").unlink()
    journal = tmp_path / "gis" / "export-journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines.sort(key=lambda line: b"b/tile_1.npz" in line)  # threads end in any order
    journal.write_bytes(b"".join(lines)[:-20])  # a kill tore the last line

    again = export(*table)
    assert again["n_kept"] == 2
    assert again["n_exported"] == 2
    assert kept.stat().st_mtime_ns == before
    assert export(*table)["n_exported"] == 0
    assert export("--dtype", "int16", *table)["n_exported"] == 4  # another way is made anew


def test_without_a_place_it_refuses_unless_told(
    export: Callable[..., dict[str, Any]],
    finished_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["export", str(finished_run), "--output-dir", str(tmp_path / "gis")])
    said = capsys.readouterr().err

    assert code == 4
    assert "a/tile_0.npz has no georeference" in said
    assert "--allow-unreferenced" in said
    assert not (tmp_path / "gis").exists()
    assert export("--allow-unreferenced")["n_exported"] == 4
    with rasterio.open(tmp_path / "gis" / "a" / "tile_0.tif") as dataset:
        assert dataset.crs is None


def test_a_tile_without_a_place_fails_alone(
    export: Callable[..., dict[str, Any]], finished_run: Path, tmp_path: Path
) -> None:
    rows = (finished_run.parent / "t.csv").read_text().splitlines()
    (tmp_path / "some.csv").write_text("\n".join(rows[:-1]))

    document = export("--georeference", tmp_path / "some.csv", code=3)

    (failed,) = document["failed"]
    assert failed["tile_name"] == "b/tile_1.npz"
    assert failed["error_code"] == "AX-E416"
    assert document["n_exported"] == 3


def test_a_mosaic_lies_where_its_tiles_do(
    export: Callable[..., dict[str, Any]],
    finished_run: Path,
    table: tuple[str, Path],
    tmp_path: Path,
) -> None:
    document = export("--to", "cog", "--mosaic", "--no-blend", "--indices", "NDVI", *table)

    path = tmp_path / "gis" / "mosaic.tif"
    assert document["mosaic"] == str(path)
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as dataset:
        assert dataset.shape == (2 * SIZE, 2 * SIZE)
        assert tuple(dataset.transform)[:6] == (10, 0, 344400, 0, -10, 5294400)
        for name in NAMES[1:]:
            x, y = (int(value) for value in (name[-5], "ab".index(name[0])))
            left, top = 344400 + x * SIZE * 10, 5294400 - y * SIZE * 10
            window = rasterio.windows.from_bounds(
                left, top - SIZE * 10, left + SIZE * 10, top, dataset.transform
            )
            there = dataset.read(window=window)
            assert np.array_equal(there[:4], opt_final(finished_run, name))
        assert dataset.descriptions[4] == "NDVI"


def test_a_blended_mosaic_differs_near_its_seams_alone(
    export: Callable[..., dict[str, Any]],
    finished_run: Path,
    table: tuple[str, Path],
    tmp_path: Path,
) -> None:
    export("--mosaic", *table)

    with rasterio.open(tmp_path / "gis" / "mosaic.tif") as dataset:
        part = dataset.read()[:4, SIZE:, SIZE:]
    change = np.abs(part - opt_final(finished_run, "b/tile_1.npz")).max(axis=0)
    assert (change[16:, 16:] == 0).all()
    assert (change[:4, 20:] > 0).any()


def test_quick_looks_have_a_world_file_and_a_crs(
    export: Callable[..., dict[str, Any]], table: tuple[str, Path], tmp_path: Path
) -> None:
    document = export("--to", "png", *table)

    assert document["bands"] == []
    folder = tmp_path / "gis" / "a"
    world = [float(line) for line in (folder / "tile_1.pgw").read_text().splitlines()]
    assert world == [10, 0, 0, -10, 344400 + SIZE * 10 + 5, 5294395]
    with rasterio.open(folder / "tile_1.png") as dataset:
        assert dataset.crs.to_string() == UTM
        assert tuple(dataset.transform)[:6] == (10, 0, 344400 + SIZE * 10, 0, -10, 5294400)
        assert dataset.read().shape == (4, SIZE, SIZE)
    with rasterio.open(folder / "tile_0.png") as dataset:
        assert (dataset.read(4) == 0).sum() == 8  # no data is transparent


@pytest.fixture
def stac_validator() -> JsonSchemaSTACValidator:
    validator = JsonSchemaSTACValidator()
    for path in STAC_SCHEMAS.glob("*.json"):
        name, version = path.stem.split("-")
        uri = f"https://stac-extensions.github.io/{name}/{version}/schema.json"
        validator.schema_cache[uri] = json.loads(path.read_text())
    return validator


def test_stac_items_are_valid(
    export: Callable[..., dict[str, Any]],
    table: tuple[str, Path],
    tmp_path: Path,
    stac_validator: JsonSchemaSTACValidator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(*arguments: object, **_: object) -> None:
        pytest.fail(f"the network was asked for: {arguments}")

    monkeypatch.setattr("socket.socket.connect", no_network)
    export("--to", "stac", "--datetime", "2017-06-13T10:10:31Z", "--indices", "NDVI", *table)

    collection = pystac.Collection.from_file(str(tmp_path / "gis" / "collection.json"))
    collection.validate(validator=stac_validator)
    items = list(collection.get_items())
    assert sorted(item.id for item in items) == ["a__tile_0", "a__tile_1", "b__tile_0", "b__tile_1"]
    for item in items:
        assert len(item.validate(validator=stac_validator)) == 5  # the core and four extensions
        assert Path(item.assets["data"].get_absolute_href() or "").is_file()
        assert Path(item.assets["thumbnail"].get_absolute_href() or "").is_file()
        assert item.get_collection() is not None
    item = next(item for item in items if item.id == "b__tile_1")
    properties = item.to_dict()["properties"]
    assert properties["proj:code"] == UTM
    assert properties["proj:shape"] == [SIZE, SIZE]
    assert properties["proj:transform"] == [10, 0, 344880, 0, -10, 5293920]
    assert properties["datetime"] == "2017-06-13T10:10:31Z"
    assert "axion-stage3" in properties["processing:software"]
    assert [b["name"] for b in item.assets["data"].to_dict()["bands"]][-1] == "NDVI"
    west, south, east, north = item.bbox or []
    assert 12.92 < west < east < 12.96
    assert 47.77 < south < north < 47.80


def test_a_mosaic_can_be_an_item(
    export: Callable[..., dict[str, Any]],
    table: tuple[str, Path],
    tmp_path: Path,
    stac_validator: JsonSchemaSTACValidator,
) -> None:
    export("--to", "stac", "--mosaic", "--datetime", "2017-06-01/2017-06-30", *table)

    collection = pystac.Collection.from_file(str(tmp_path / "gis" / "collection.json"))
    (item,) = collection.get_items()
    item.validate(validator=stac_validator)
    assert item.to_dict()["properties"]["end_datetime"] == "2017-06-30T00:00:00Z"


def test_a_tile_with_a_dot_in_its_name_is_in_the_collection(
    export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    source = make_run(tmp_path / "dotted", ["T33UUP.1.npz", "T33UUP.2.npz"], size_px=16)
    rows = [f"T33UUP.{n}.npz,{UTM},{344400 + n * 160},5294400,10" for n in (1, 2)]
    listed = "\n".join(["tile,crs,origin_x,origin_y,pixel_size", *rows])
    (tmp_path / "dotted.csv").write_text(listed)

    options = ["--datetime", "2017-06-13", "--georeference", tmp_path / "dotted.csv"]
    export("--to", "stac", *options, source=source)

    collection = pystac.Collection.from_file(str(tmp_path / "gis" / "collection.json"))
    assert len({item.id for item in collection.get_items()}) == 2


def test_many_tiles_become_one_store(
    export: Callable[..., dict[str, Any]],
    finished_run: Path,
    table: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("axion_stage3.exporting.zarr_export._SHARD_BYTES", 3 * 5 * 4 * SIZE**2)
    document = export("--to", "zarr", "--indices", "NDVI", *table)

    store = tmp_path / "gis" / "tiles.zarr"
    array = zarr.open_group(store, mode="r")[f"{SIZE}x{SIZE}"]
    assert document["n_exported"] == 4
    assert array.shape == (6, 5, SIZE, SIZE)
    assert (array.chunks[0], array.shards[0]) == (1, 3)
    assert array.attrs["tile_names"] == sorted(NAMES)
    assert array.attrs["band_names"][-1] == "NDVI"
    assert array.attrs["transform"][3] == [10, 0, 344880, 0, -10, 5293920]
    for number, name in enumerate(sorted(NAMES)[1:], start=1):
        assert np.array_equal(array[number, :4], opt_final(finished_run, name))
    assert np.isnan(array[0, :, 5:9, 2:4]).all()
    assert np.isnan(array[4:]).all()

    last_shard = store / f"{SIZE}x{SIZE}" / "c" / "1" / "0" / "0" / "0"
    before = last_shard.stat().st_mtime_ns
    (store / f"{SIZE}x{SIZE}" / "c" / "0" / "0" / "0" / "0").unlink()
    again = export("--to", "zarr", "--indices", "NDVI", *table)
    assert (again["n_exported"], again["n_kept"]) == (3, 1)
    assert last_shard.stat().st_mtime_ns == before
    assert export("--to", "zarr", "--dtype", "int16", *table)["n_exported"] == 4
    array = zarr.open_group(store, mode="r")[f"{SIZE}x{SIZE}"]
    restored = array[3, :4] * 1e-4
    assert np.abs(restored - opt_final(finished_run, "b/tile_1.npz")).max() < 0.51e-4
    assert array.fill_value == -32768


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--to", "stac"], 2, "need the time of acquisition"),
        (["--to", "stac", "--datetime", "yesterday"], 2, "'yesterday' is no time"),
        (["--to", "stac", "--datetime", "2017-06-13/2017-06-12"], 2, "ends before it begins"),
        (["--to", "zarr", "--mosaic"], 2, "holds tiles, no mosaic"),
        (["--to", "png", "--std"], 2, "natural colours alone"),
        (["--to", "png", "--indices", "NDVI"], 2, "natural colours alone"),
        (["--no-blend"], 2, "are about a mosaic"),
        (["--indices", "NDXY"], 2, "no spectral index 'NDXY'"),
        (["--tile", "a/tile_9.npz"], 4, "Nearest names there: a/tile_"),
        (["--georeference", "t.xml"], 4, "cannot be used"),
    ],
)
def test_wrong_input_is_one_message(
    finished_run: Path,
    table: tuple[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    given = [str(finished_run), "--output-dir", str(tmp_path / "gis"), *map(str, table)]

    assert run(["export", *given, *arguments]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "gis").exists()


def test_the_folder_of_the_run_is_no_target(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(finished_run), "--output-dir", str(finished_run)]) == 2
    assert "the folder of the run itself" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["geotiff", "zarr"])
def test_a_missing_layer_fails_the_tile_each_time(
    to: str, export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    source = make_run(tmp_path / "plain", ["x.npz"], size_px=16)

    for _ in range(2):
        document = export("--to", to, "--std", "--allow-unreferenced", source=source, code=3)

        assert (document["n_exported"], document["n_kept"]) == (0, 0)
        assert "has no opt_final_std" in document["failed"][0]["reason"]
        assert "--samples" in document["failed"][0]["hint"]


def test_threads_change_nothing(
    finished_run: Path, table: tuple[str, Path], tmp_path: Path
) -> None:
    for n_workers in (1, 4):
        export_run(
            finished_run, tmp_path / str(n_workers), n_workers=n_workers, georeference=table[1]
        )
    for name in NAMES:
        files = [(tmp_path / n / name).with_suffix(".tif").read_bytes() for n in ("1", "4")]
        assert files[0] == files[1]


def test_without_the_extra_nothing_is_begun(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)

    assert run(["export", str(finished_run), "--output-dir", str(tmp_path / "gis")]) == 8
    assert "axion-stage3[geo]" in capsys.readouterr().err
    assert not (tmp_path / "gis").exists()


def test_torch_is_not_needed(finished_run: Path, table: tuple[str, Path], tmp_path: Path) -> None:
    arguments = ["export", str(finished_run), "--output-dir", str(tmp_path), *map(str, table)]
    begin = "import sys; sys.modules['torch'] = None; from axion_stage3.cli.app import run"
    program = f"{begin}; sys.exit(run({arguments}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
