"""NPZ files that are in order are read as numpy reads them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from npz_workbench import OPT, assert_refused, npy, npy_with_header, savez, zipped

from axion_stage3.tiles.npz_reader import NpzArchive, read_headers, read_npz


@settings(deadline=None, max_examples=60)
@given(
    array=nps.arrays(
        nps.floating_dtypes(sizes=(16, 32, 64)) | nps.integer_dtypes() | nps.boolean_dtypes(),
        nps.array_shapes(min_dims=0, min_side=0, max_side=8),
    ),
    compress=st.booleans(),
    is_fortran=st.booleans(),
)
def test_reads_what_numpy_writes(
    array: np.ndarray[Any, Any], compress: bool, is_fortran: bool
) -> None:
    stored = np.asfortranarray(array) if is_fortran and array.ndim else array
    content = savez(compress, a=stored, b=np.zeros(3))
    read = read_npz(content, ["a"])
    assert list(read) == ["a"]
    assert read["a"].dtype == array.dtype
    np.testing.assert_array_equal(read["a"], array)
    header = read_headers(content)["a"]
    assert (header.shape, header.dtype, header.n_bytes) == (
        array.shape,
        array.dtype,
        array.nbytes,
    )


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_all_versions_of_the_array_header(version: tuple[int, int], method: int) -> None:
    content = zipped({"opt_v2.npy": npy(OPT, version)}, method)
    np.testing.assert_array_equal(read_npz(content)["opt_v2"], OPT)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }\n",
        "{'descr':'<f4','fortran_order':False,'shape':(4,)}",
        '{"shape": (4, ), "fortran_order": False, "descr": "<f4"}',
        " { 'shape': (4),\n'descr': '=f4', 'fortran_order': False , } ",
    ],
)
def test_headers_of_other_writers(header: str) -> None:
    pixels = np.arange(4, dtype=np.float32)
    content = zipped({"a.npy": npy_with_header(header, pixels.tobytes())})
    np.testing.assert_array_equal(read_npz(content)["a"], pixels)


def test_long_headers_are_read_and_endless_ones_are_not() -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }".ljust(9000)
    assert read_npz(zipped({"a.npy": npy_with_header(header, bytes(16))}))["a"].shape == (4,)
    assert_refused(
        zipped({"a.npy": npy_with_header(header.ljust(10_001), bytes(16))}), "claims 10001 bytes"
    )


def test_reads_zip64_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        content = zipped({"a.npy": npy(OPT), "b.npy": npy(OPT[0])}, method)
        assert b"PK\x06\x06" in content
        read = read_npz(content)
        np.testing.assert_array_equal(read["a"], OPT)
        np.testing.assert_array_equal(read["b"], OPT[0])


def test_reads_streamed_files_and_comments() -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(OPT))
    assert b"PK\x07\x08" in stream.getvalue()
    np.testing.assert_array_equal(read_npz(stream.getvalue())["a"], OPT)
    commented = zipped({"a.npy": npy(OPT)}, comment=b"made by us")
    np.testing.assert_array_equal(read_npz(commented)["a"], OPT)


def test_other_members_are_left_alone() -> None:
    members = {"a.npy": npy(OPT), "notes.txt": b"hello", "o.npy": b"no array at all"}
    content = zipped(members)
    with NpzArchive(content) as archive:
        assert archive.names == ("a", "o")
    np.testing.assert_array_equal(read_npz(content, ["a"])["a"], OPT)


def test_headers_show_what_would_be_refused() -> None:
    content = zipped(
        {
            "a.npy": npy(OPT),
            "date.npy": npy(np.array("2017-06-13")),
            "o.npy": npy_with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
            "r.npy": npy(np.zeros(2, [("x", "<f4"), ("y", "<i2", (3,))])),
            "f.npy": npy(np.asfortranarray(OPT)),
        }
    )
    headers = read_headers(content)
    assert {name: header.descr for name, header in headers.items()} == {
        "a": "<f4",
        "date": "<U10",
        "o": "|O",
        "r": "[('x', '<f4'), ('y', '<i2', (3,))]",
        "f": "<f4",
    }
    assert [header.dtype is None for header in headers.values()] == [False, True, True, True, False]
    assert headers["a"].n_bytes == OPT.nbytes
    assert headers["f"].fortran_order
    assert not headers["a"].fortran_order
    for name in ("date", "o", "r"):
        assert_refused(content, f"'{name}' is of type", [name], "Store the bands as float32.")
