"""``export --to stac`` into a folder that holds items already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from export_workbench import NAMES

from axion_stage3.errors import OutputError
from axion_stage3.exporting.run_export import export_run

if TYPE_CHECKING:
    from pathlib import Path


def to_stac(source: Path, folder: Path, *tiles: str, **options: Any) -> None:
    table = source.parent / "t.csv"
    when = "2017-06-13"
    export_run(source, folder, to="stac", tiles=tiles, georeference=table, acquired=when, **options)


def item_of(name: str) -> str:
    return name.replace(".npz", ".item.json")


def listed(folder: Path) -> list[str]:
    links = json.loads((folder / "collection.json").read_bytes())["links"]
    return [link["href"].removeprefix("./") for link in links if link["rel"] == "item"]


def test_the_collection_keeps_the_items_that_are_there(finished_run: Path, tmp_path: Path) -> None:
    to_stac(finished_run, tmp_path)
    whole = (tmp_path / "collection.json").read_bytes()

    to_stac(finished_run, tmp_path, NAMES[0])

    assert listed(tmp_path) == sorted(map(item_of, NAMES))
    assert (tmp_path / "collection.json").read_bytes() == whole
    (tmp_path / item_of(NAMES[1])).unlink()
    to_stac(finished_run, tmp_path, NAMES[0])
    assert listed(tmp_path) == sorted(item_of(name) for name in NAMES if name != NAMES[1])
    to_stac(finished_run, tmp_path, is_mosaic=True)
    assert listed(tmp_path)[0] == "mosaic.item.json"
    assert len(listed(tmp_path)) == len(NAMES)


def test_a_collection_grows_tile_by_tile(finished_run: Path, tmp_path: Path) -> None:
    for n_tiles, name in enumerate(NAMES, start=1):
        to_stac(finished_run, tmp_path, name)
        assert listed(tmp_path) == sorted(map(item_of, NAMES[:n_tiles]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"\0" * len(text),
        lambda text: b"[]",
        lambda text: text.replace(b'"bbox"', b'"bxxb"'),
        lambda text: text.replace(b'"datetime": "2017-06-13T00:00:00Z"', b'"datetime": null'),
        lambda text: text.replace(b'"properties": {', b'"properties": 5, "x": {'),
    ],
    ids=["zeros", "list", "no box", "no time", "no properties"],
)
def test_a_damaged_item_is_named(finished_run: Path, tmp_path: Path, damage: Any) -> None:
    to_stac(finished_run, tmp_path)
    item = tmp_path / item_of(NAMES[1])
    whole = item.read_bytes()
    assert damage(whole) != whole
    item.write_bytes(damage(whole))

    with pytest.raises(OutputError, match="cannot be read as a STAC item") as caught:
        to_stac(finished_run, tmp_path, NAMES[0])

    assert str(item) in caught.value.message
    assert caught.value.hint.startswith("Remove it")
    item.unlink()
    to_stac(finished_run, tmp_path)
    assert item.read_bytes() == whole
