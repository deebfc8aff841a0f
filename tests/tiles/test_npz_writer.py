from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from axion_stage3.errors import OutputError
from axion_stage3.testing.strategies import array_keys, npz_contents
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles import npz_writer
from axion_stage3.tiles.npz_reader import read_headers, read_npz
from axion_stage3.tiles.npz_writer import encode_npz, write_npz

if TYPE_CHECKING:
    from pathlib import Path


def packed(arrays: dict[str, Any], aliases: dict[str, str] | None = None) -> bytes:
    return b"".join(encode_npz(arrays, aliases))


def assert_same(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@settings(deadline=None, max_examples=40)
@given(arrays=npz_contents(), data=st.data())
def test_round_trip(arrays: dict[str, np.ndarray[Any, Any]], data: st.DataObject) -> None:
    targets = st.sampled_from(sorted(arrays)) if arrays else st.nothing()
    new_keys = array_keys().filter(lambda key: key not in arrays)
    aliases = data.draw(st.dictionaries(new_keys, targets, max_size=2))
    content = packed(arrays, aliases)
    expected = arrays | {alias: arrays[key] for alias, key in aliases.items()}
    ours = read_npz(content)
    assert list(ours) == list(expected)
    with np.load(io.BytesIO(content)) as theirs:
        assert theirs.files == list(expected)
        for key, array in expected.items():
            assert_same(theirs[key], array)
            assert_same(ours[key], array)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None


@settings(deadline=None, max_examples=40)
@given(arrays=npz_contents())
def test_equal_arrays_give_equal_bytes(arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    copies = {key: array.copy() for key, array in arrays.items()}
    assert packed(arrays) == packed(copies)


@settings(deadline=None, max_examples=40)
@given(array=nps.arrays(np.float32, (3, 4, 5)), data=st.data())
def test_memory_layout_does_not_matter(array: np.ndarray[Any, Any], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(3)))
    view = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    assert_same(view, array)
    assert packed({"a": view}) == packed({"a": array})
    assert packed({"a": np.asfortranarray(array)[:, ::-1]}) == packed({"a": array[:, ::-1].copy()})


def test_unzip_accepts_the_file(tmp_path: Path) -> None:
    unzip = shutil.which("unzip")
    if unzip is None:
        pytest.skip("unzip is not installed")
    opt = make_tile(1).opt_v2
    write_npz(tmp_path / "a.npz", {"opt_final": opt}, {"opt_v3": "opt_final"})
    tested = subprocess.run(
        [unzip, "-t", str(tmp_path / "a.npz")], capture_output=True, check=False
    )
    assert tested.returncode == 0, tested.stdout


def test_real_pixels_are_deflated_and_noise_is_stored() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)
    content = packed({"opt": make_tile(1).opt_v2, "noise": noise, "zeros": np.zeros((4, 64, 64))})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        methods = {info.filename: info.compress_type for info in archive.infolist()}
    assert methods == {
        "opt.npy": zipfile.ZIP_DEFLATED,
        "noise.npy": zipfile.ZIP_STORED,
        "zeros.npy": zipfile.ZIP_DEFLATED,
    }
    headers = read_headers(content)
    assert headers["noise"].compressed_bytes == headers["noise"].n_bytes + 128
    assert headers["opt"].compressed_bytes < headers["opt"].n_bytes
    assert headers["zeros"].compressed_bytes < headers["zeros"].n_bytes // 100


def test_the_records_say_the_same_on_every_day_and_system() -> None:
    with zipfile.ZipFile(io.BytesIO(packed({"a": np.zeros(3)}, {"b": "a"}))) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert (info.create_system, info.create_version, info.extract_version) == (3, 20, 20)
            assert info.external_attr >> 16 == 0o100644
            assert info.flag_bits == 0


def test_file_and_its_size(tmp_path: Path) -> None:
    opt = make_tile(2).opt_v2
    path = tmp_path / "a.npz"
    assert write_npz(path, {"opt_final": opt}) == path.stat().st_size
    assert path.read_bytes() == packed({"opt_final": opt})


def test_an_alias_is_deflated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = npz_writer.isal_zlib.compressobj
    monkeypatch.setattr(
        npz_writer.isal_zlib, "compressobj", lambda *args: calls.append(1) or real(*args)
    )
    packed({"opt_final": make_tile(3).opt_v2}, {"opt_v3": "opt_final"})
    assert len(calls) == 1


@pytest.mark.parametrize("key", ["", "a b", "../a", "a/b", "1a", "é", "a\x00"])
def test_keys_that_no_npz_can_hold_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        packed({key: np.zeros(3)})
    with pytest.raises(ValueError, match="key"):
        packed({"a": np.zeros(3)}, {key: "a"})


@pytest.mark.parametrize("aliases", [{"a": "b"}, {"b": "missing"}])
def test_aliases_must_be_new_names_of_arrays(aliases: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="alias"):
        packed({"a": np.zeros(3), "b": np.zeros(3)}, aliases)


@pytest.mark.parametrize(
    "array",
    [np.array([None]), np.array(["a"]), np.zeros(2, complex), np.zeros(2, "f4,f4"),
     np.zeros(2, np.longdouble)],
)  # fmt: skip
def test_only_plain_numbers_are_written(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="only real numbers"):
        packed({"a": array})


def test_files_beyond_4_gib_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz_writer, "_MAX_ZIP32", 20_000)
    noise = np.random.default_rng(0).random(1000)
    packed({"a": noise, "b": noise})
    with pytest.raises(OutputError, match="4 GiB") as caught:
        packed({"a": noise, "b": noise, "c": noise})
    assert "smaller tiles" in caught.value.hint
