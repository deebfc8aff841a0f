"""Whatever stands in a file, the checks say what is wrong and never fail themselves."""

from __future__ import annotations

import io
import json
import random
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from inspection_bench import NAME, Bench

from axion_stage3.cli.inspection_pictures import panels_of, picture_png, terminal_picture
from axion_stage3.cli.inspection_report import inspection_text
from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.inspection.tile_inspection import inspect_tile
from axion_stage3.inspection.validation_tasks import InputTask
from axion_stage3.tiles.tile_loading import LoadOptions

if TYPE_CHECKING:
    from pathlib import Path

N_MUTATIONS = 200
SHAPES = [(), (0,), (4, 0, 0), (4, 16, 1), (64, 64, 4), (1, 4, 32, 32), (4, 16, 16), (4, 64, 80)]
TYPES = ["f2", "f4", "f8", "i8", "u2", "?", "c8", "U3", ">f4"]
VALUES = [0, -1, np.nan, np.inf, 1e300, 1e38, -9999, 1e-40, 0.3]
OPTIONS = (
    CheckOptions(),
    CheckOptions(
        load=LoadOptions(opt_scale=1e4, s1_units="linear", fill_invalid=True, resample_s1=True),
        training_ranges={"blue": (0, 1), "vv": (-30, 0)},
    ),
)


def test_damaged_bytes(bench: Bench) -> None:
    bench.write()
    path = bench.opt_v2_dir / NAME
    whole = path.read_bytes()
    dice = random.Random(0)
    for _ in range(N_MUTATIONS):
        data = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        for _ in range(dice.randrange(4)):
            if data:
                data[dice.choice([0, len(data) - 1, dice.randrange(len(data))])] ^= dice.randrange(
                    256
                )
        path.write_bytes(data)

        result = InputTask(NAME, path, bench.s1_dir / NAME).run(CheckOptions())

        assert bytes(data) == whole or len(data) == len(whole) or result.findings


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_of_any_shape_type_and_value(shape: tuple[int, ...], bench: Bench) -> None:
    for index, (dtype, value) in enumerate(product(TYPES, VALUES)):
        _inspect_all_ways(bench, _filled(shape, value, dtype), OPTIONS[index % 2])


def _filled(shape: tuple[int, ...], value: float, dtype: str) -> np.ndarray[Any, Any]:
    with np.errstate(all="ignore"):
        array = np.full(shape, value).astype(dtype)
        if array.size > 1 and array.dtype.kind in "fiu":
            array.flat[array.size // 2] = 5
    return array


def _inspect_all_ways(bench: Bench, array: np.ndarray[Any, Any], options: CheckOptions) -> None:
    radar = array[:2] if array.ndim else array
    path = bench.opt_v2_dir / NAME
    path.write_bytes(_npz(opt_final=array, opt_v3=array, opt_v2=array, s1=radar))

    inspection = inspect_tile(str(path), options=options)

    json.dumps(inspection.report.as_document(), allow_nan=False)
    panels = panels_of(inspection.pixels, inspection.stored)
    assert inspection_text(inspection.report, terminal_picture(panels))
    if panels:
        assert picture_png(panels)
    assert "AX-T063" not in {finding.id for finding in inspection.report.findings}


def _npz(**arrays: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_fifo_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.npz")

    result = InputTask("pipe.npz", opt_v2_path=tmp_path / "pipe.npz").run(CheckOptions())

    assert [finding.id for finding in result.findings] == ["AX-T001"]
