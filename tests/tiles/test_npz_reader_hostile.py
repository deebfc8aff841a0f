"""NPZ files that are hostile or damaged are refused, cheaply and by name."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from isal import isal_zlib
from npz_workbench import OPT, assert_refused, npy, npy_with_header, savez, zipped

from axion_stage3.errors import AxionError, TileReadError
from axion_stage3.tiles.npz_reader import NpzArchive, read_headers, read_npz
from axion_stage3.tiles.npz_writer import encode_npz


def test_nothing_is_unpickled() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os._exit, (1,))

    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    content = zipped({"a.npy": npy_with_header(header, pickle.dumps([Bomb()]))})
    reason = r"'a' is of type '\|O'; only real numbers are read"
    assert_refused(content, reason, hint="Store the bands as float32.")


HOSTILE_HEADERS = {
    "evaluated": "{'descr': __import__('os'), 'fortran_order': False, 'shape': (4,), }",
    "nested": "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 900 + ")" * 900 + ", }",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }",
    "text size": "{'descr': '<f4', 'fortran_order': False, 'shape': ('4',), }",
    "float size": "{'descr': '<f4', 'fortran_order': False, 'shape': (4.0,), }",
    "gap": "{'descr': '<f4', 'fortran_order': False, 'shape': (4,,4), }",
    "huge number": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
    "hidden by zero": "{'descr': '<f4', 'fortran_order': False, "
    "'shape': (0, 999999999999999, 999999999999999), }",
    "rank": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 33 + "), }",
    "twice": "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'shape': (2,), }",
    "missing": "{'descr': '<f4', 'shape': (4,), }",
    "more": "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'x': 1, }",
    "order": "{'descr': '<f4', 'fortran_order': (1,), 'shape': (4,), }",
    "shape a word": "{'descr': '<f4', 'fortran_order': False, 'shape': True, }",
    "no start": "'descr': '<f4', 'fortran_order': False, 'shape': (4,), }",
    "no end": "{'descr': '<f4', 'fortran_order': False, 'shape': (4,)",
    "no dict": "('<f4', False, (4,))",
    "empty": "",
    "other": "\x00\xff" * 30,
}


@pytest.mark.parametrize("header", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
def test_hostile_headers(header: str) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        content = zipped({"a.npy": npy_with_header(header, bytes(16))}, method)
        assert_refused(content, "'a' cannot be read: (its header|it claims)")


@pytest.mark.parametrize(
    "descr", ["<f3", "f4", "<c8", "<U4", "|V16", "<M8[ns]", "<f16", "<i16", ""]
)
def test_types_that_are_no_plain_numbers(descr: str) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (4,), }}"
    content = zipped({"a.npy": npy_with_header(header, bytes(16))})
    assert_refused(content, "only real numbers", hint="Store the bands as float32.")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x04\x00\x10\x00" + b" " * 20, b"\x93NUMPY\x01\x00\xff\x00 {}",
     b"GIF89a" + bytes(20)],
)  # fmt: skip
def test_members_that_are_no_arrays(content: bytes) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert_refused(zipped({"a.npy": content}, method), "'a' cannot be read")


def test_a_small_header_cannot_ask_for_terabytes() -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (700000, 700000), }"
    content = zipped({"a.npy": npy_with_header(header)}, zipfile.ZIP_STORED)
    assert len(content) < 300
    assert_refused(
        content, r"declares the shape \(700000, 700000\) of <f8, 3,920,000,000,000 bytes"
    )


def test_a_claim_beyond_what_deflate_can_hold_takes_no_memory() -> None:
    content = bytearray(zipped({"a.npy": npy(np.zeros(1000))}))
    at = content.rfind(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 1 << 30)
    tracemalloc.start()
    try:
        assert_refused(bytes(content), "claims 1,073,741,824 bytes in")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_stored_member_must_have_its_size() -> None:
    content = bytearray(zipped({"a.npy": npy(OPT)}, zipfile.ZIP_STORED))
    at = content.rfind(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", len(npy(OPT)) - 1)
    assert_refused(bytes(content), "'a.npy' claims 65,663 bytes in 65,664")


def test_more_compressed_bytes_than_deflate_can_need_are_not_read() -> None:
    content = zipped({"a.npy": npy(np.zeros(0, np.float32))})
    start, directory = 30 + len("a.npy"), content.rfind(b"PK\x01\x02")
    empty_blocks = b"\x00\x00\x00\xff\xff" * 14_000
    bent = bytearray(content[:start] + empty_blocks + content[start:])
    at = directory + len(empty_blocks)
    bent[at + 20 : at + 24] = struct.pack("<I", at - start)
    bent[-6:-2] = struct.pack("<I", at)
    assert_refused(bytes(bent), f"'a.npy' claims 128 bytes in {at - start:,}")


def test_inefficient_deflate_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(0.2, 0.05, 1 << 17).astype(np.float32)
    static_codes = isal_zlib.compressobj(0, isal_zlib.DEFLATED, -15)
    monkeypatch.setattr(zlib, "compressobj", lambda *_: static_codes)
    content = zipped({"a.npy": npy(noise)})
    assert len(content) > 1.15 * noise.nbytes
    np.testing.assert_array_equal(read_npz(content)["a"], noise)


def test_honest_zeros_are_read_although_they_compress_a_thousandfold() -> None:
    zeros = np.zeros((4, 512, 512), np.float32)
    content = savez(True, opt_v2=zeros)
    assert zeros.nbytes / len(content) > 900
    np.testing.assert_array_equal(read_npz(content)["opt_v2"], zeros)


def test_the_budget_covers_all_arrays_together_and_comes_first() -> None:
    zeros = np.zeros((512, 512), np.float32)
    content = savez(True, a=zeros, b=zeros)
    n_bytes = 2 * zeros.nbytes
    assert set(read_npz(content, byte_budget=n_bytes)) == {"a", "b"}
    tracemalloc.start()
    try:
        with pytest.raises(
            TileReadError, match="2,097,152 bytes, more than the 2,097,151"
        ) as caught:
            read_npz(content, byte_budget=n_bytes - 1)
        assert tracemalloc.get_traced_memory()[1] < zeros.nbytes
        assert caught.value.hint == "Cut the scene into smaller tiles."
    finally:
        tracemalloc.stop()
    assert set(read_npz(content, ["a"], byte_budget=n_bytes // 2)) == {"a"}


def test_small_numbers_are_charged_as_the_float32_they_become() -> None:
    bytes_alone = np.zeros((512, 512), np.uint8)
    content = savez(True, opt_v2=bytes_alone, valid_mask=bytes_alone.astype(bool))
    n_bytes = 4 * bytes_alone.nbytes + bytes_alone.nbytes
    assert set(read_npz(content, byte_budget=n_bytes)) == {"opt_v2", "valid_mask"}
    with pytest.raises(TileReadError, match="1,310,720 bytes, more than the 1,310,719"):
        read_npz(content, byte_budget=n_bytes - 1)


def test_a_stream_that_inflates_beyond_its_size_is_cut_off() -> None:
    small = npy(np.zeros(1000))
    content = bytearray(zipped({"a.npy": small[:128] + bytes(8 << 20)}))
    at = content.rfind(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", len(small))
    tracemalloc.start()
    try:
        assert_refused(bytes(content), "does not inflate to its size")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_duplicates_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("a.npy", npy(OPT))
            archive.writestr("a.npy", npy(OPT + 1))
    assert_refused(content.getvalue(), "the member 'a' is there twice")
    assert_refused(zipped({"a.npy": npy(OPT), "a": b""}), "the member 'a' is there twice")


def test_missing_arrays_are_named() -> None:
    assert_refused(zipped({"a.npy": npy(OPT)}), "has no array 'opt_v2'", ["opt_v2"])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(method: int) -> None:
    assert_refused(zipped({"a.npy": npy(OPT)}, method), "compressed in a way NPZ does not use")


def test_encrypted_members_are_refused() -> None:
    content = bytearray(zipped({"a.npy": npy(OPT)}))
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    assert_refused(bytes(content), "'a.npy' is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_damaged_pixel_is_noticed(method: int) -> None:
    content = zipped({"a.npy": npy(OPT[:, :5, :5])}, method)
    start = 30 + len("a.npy")
    end = content.rfind(b"PK\x01\x02")
    for at in range(start, end):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        try:
            read = read_npz(bytes(damaged))
        except TileReadError:
            continue
        # Deflate has bits without meaning, such as those after the last code.
        np.testing.assert_array_equal(read["a"], OPT[:, :5, :5])


def test_every_truncation_is_noticed() -> None:
    content = b"".join(encode_npz({"opt_final": OPT[:, :4, :4]}, {"opt_v3": "opt_final"}))
    for n_bytes in range(len(content)):
        with pytest.raises(TileReadError):
            read_npz(content[:n_bytes])
    with pytest.raises(TileReadError, match="does not end where"):
        read_npz(content + b"\x00")


def test_a_directory_that_claims_too_much_is_refused() -> None:
    content = zipped({f"a{index}.npy": b"" for index in range(4097)}, zipfile.ZIP_STORED)
    assert_refused(content, "it claims 4097 members")


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("tile_001: see the other folder\n")
    with pytest.raises(
        TileReadError, match=r"text\.npz cannot be read as NPZ: it has no ZIP"
    ) as caught:
        read_npz(text)
    assert caught.value.path == str(text)
    assert caught.value.hint
    array = tmp_path / "array.npz"
    array.write_bytes(npy(OPT))
    with pytest.raises(TileReadError, match="cannot be read as NPZ"):
        read_headers(array)


def test_what_the_system_reports_becomes_a_read_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TileReadError, match="No such file or directory"):
        read_npz(tmp_path / "missing.npz")
    with pytest.raises(TileReadError, match="it is not a regular file"):
        read_npz(tmp_path)
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(TileReadError, match="it is not a regular file"):
        read_npz(tmp_path / "pipe.npz")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.npz").write_bytes(zipped({"a.npy": npy(OPT)}))
    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(TileReadError, match="Permission denied") as caught:
        read_npz(tmp_path / "a.npz")
    assert isinstance(caught.value, AxionError)
    assert caught.value.exit_code == 4


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(zipped({"a.npy": npy(OPT)}, zipfile.ZIP_STORED))
    with NpzArchive(path) as archive:
        os.truncate(path, 100)
        with pytest.raises(TileReadError, match="cut short while it was being read"):
            archive.read(["a"])


def test_files_are_closed_and_left_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    content = zipped({"a.npy": npy(OPT)})
    path.write_bytes(content)
    path.chmod(0o444)
    descriptors = Path("/proc/self/fd")
    n_open = len(list(descriptors.iterdir())) if descriptors.is_dir() else None
    read_npz(path)
    (tmp_path / "b.npz").write_bytes(content[:-30])
    with pytest.raises(TileReadError):
        read_npz(tmp_path / "b.npz")
    if n_open is not None:
        assert len(list(descriptors.iterdir())) == n_open
    assert path.read_bytes() == content


def test_hostile_names_do_not_reach_the_terminal() -> None:
    content = zipped({"\x1b[31mred.npy": npy_with_header("{")})
    with pytest.raises(TileReadError) as caught:
        read_npz(content)
    assert "\x1b" not in str(caught.value)
