"""What ``axion-stage3 export`` says on the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_console_says_what_was_made_and_what_not(
    finished_run: Path, table: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines(*options: object, code: int = 0) -> list[str]:
        folder = ["--output-dir", str(tmp_path / "gis"), "-q"]
        assert run(["export", str(finished_run), *folder, *map(str, options)]) == code
        return capsys.readouterr().out.splitlines()

    rows = (finished_run.parent / "t.csv").read_text().splitlines()
    (tmp_path / "some.csv").write_text("\n".join(rows[:-1]))
    place = f"{tmp_path}/gis"

    exported, bands, not_exported, hint = lines("--georeference", tmp_path / "some.csv", code=3)
    assert exported == f"Exported 3 tiles to {place}/"
    assert bands == "Bands: blue, green, red, nir"
    assert not_exported.startswith("Not exported: b/tile_1.npz: ")
    assert "--georeference" in hint
    exported, kept, _ = lines(*table, "--tile", "a/tile_0")
    assert (exported, kept) == (f"Exported 0 tiles to {place}/", "Already there: 1")
    mosaic, _ = lines(*table, "--mosaic")
    assert mosaic == f"Mosaic of 4 tiles: {place}/mosaic.tif"
    *_, collection = lines(*table, "--to", "stac", "--datetime", "2017-06-13")
    assert collection == f"STAC collection: {place}/collection.json"


def test_a_tile_that_the_run_does_not_have_is_named_with_its_neighbours(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--output-dir", str(tmp_path / "gis"), "--tile", "a/tile_7"]

    assert run(["export", str(finished_run), *options]) == 4

    said = capsys.readouterr().err
    assert "There is no tile 'a/tile_7.npz'" in said
    assert "Nearest names there: a/tile_" in said
