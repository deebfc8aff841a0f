"""Archives built field by field, since no writer makes what is tested here."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from axion_stage3.errors import TileReadError
from axion_stage3.tiles.npz_reader import NpzArchive, read_npz

ALL_ONES = 0xFFFFFFFF


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array)
    return content.getvalue()


PIXELS = np.arange(12, dtype=np.float32).reshape(3, 4)
ARRAY = npy(PIXELS)


@dataclass
class Archive:
    """A ZIP of stored members whose records can be bent."""

    names: tuple[bytes, ...] = (b"a.npy",)
    flags: int = 0
    is_wide: bool = False
    has_wide_end: bool = False
    extra_before: bytes = b""
    extra_after: bytes = b""
    comment: bytes = b""
    local_signature: bytes = b"PK\3\4"
    local_name: bytes | None = None
    local_method: int = 0
    central_signature: bytes = b"PK\1\2"
    wide_extra: bytes | None = None
    n_members: int | None = None
    end64_signature: bytes = b"PK\6\6"
    locator_signature: bytes = b"PK\6\7"
    locator_shift: int = 0
    size_shift: int = 0

    def content(self) -> bytes:
        body, directory = b"", b""
        crc = zlib.crc32(ARRAY)
        n = len(ARRAY)
        for name in self.names:
            local = name if self.local_name is None else self.local_name
            offset = len(body)
            body += self.local_signature + struct.pack(
                "<HHHHHIIIHH", 20, self.flags, self.local_method, 0, 33, crc, n, n, len(local), 3
            )
            body += local + b"\0\0\0" + ARRAY
            wide = struct.pack("<HHQQQ", 1, 24, n, n, offset)
            if self.wide_extra is not None:
                wide = self.wide_extra
            extra = self.extra_before + (wide if self.is_wide else b"") + self.extra_after
            sizes = (ALL_ONES,) * 3 if self.is_wide else (n, n, offset)
            directory += self.central_signature + struct.pack(
                "<HHHHHHIIIHHHHHII", 20, 20, self.flags, 0, 0, 33, crc, sizes[0], sizes[1],
                len(name), len(extra), len(self.comment), 0, 0, 0, sizes[2],
            )  # fmt: skip
            directory += name + extra + self.comment
        count = len(self.names) if self.n_members is None else self.n_members
        at, size = len(body), len(directory) + self.size_shift
        end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, size, at, 0)
        if self.has_wide_end:
            end = struct.pack(
                "<4sQHHIIQQQQ", self.end64_signature, 44, 45, 45, 0, 0, count, count, size, at
            )
            at64 = len(body) + len(directory) + self.locator_shift
            end += struct.pack("<4sIQI", self.locator_signature, 0, at64, 1)
            end += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, *(0xFFFF,) * 2, *(ALL_ONES,) * 2, 0)
        return body + directory + end


@pytest.mark.parametrize(
    "archive",
    [
        Archive(),
        Archive(names=(b"a.npy", b"b.npy", b"c.npy"), comment=b"a remark"),
        Archive(names=(b"a.npy", b"b.npy"), is_wide=True),
        Archive(has_wide_end=True),
        Archive(names=(b"a.npy", b"b.npy"), is_wide=True, has_wide_end=True),
        Archive(is_wide=True, extra_before=b"UT\x05\x00\x01abcd", extra_after=b"ux\x00\x00"),
        Archive(extra_before=b"\x01"),
    ],
    ids=["plain", "remarks", "wide", "wide end", "both", "other extras", "stray extra"],
)
def test_sound_archives_are_read(archive: Archive) -> None:
    content = archive.content()
    with zipfile.ZipFile(io.BytesIO(content)) as reference:
        assert reference.testzip() is None
    read = read_npz(content)
    assert list(read) == [name.decode().removesuffix(".npy") for name in archive.names]
    for array in read.values():
        np.testing.assert_array_equal(array, PIXELS)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (Archive(local_signature=b"PK\3\5"), "a member does not begin where"),
        (Archive(local_name=b"b.npy"), "contradict each other"),
        (Archive(local_method=8), "contradict each other"),
        (Archive(central_signature=b"PK\1\3"), "its directory is damaged"),
        (Archive(n_members=2), "its directory is cut short"),
        (Archive(names=(b"a.npy", b"b.npy"), n_members=1), "longer than its members"),
        (Archive(size_shift=-1), "its directory is damaged"),
        (Archive(size_shift=1), "its directory does not lie inside the file"),
        (Archive(has_wide_end=True, end64_signature=b"PK\6\5"), "ZIP64 end record"),
        (Archive(has_wide_end=True, locator_signature=b"PK\6\6"), "ZIP64 end record"),
        (Archive(has_wide_end=True, locator_shift=1), "ZIP64 end record"),
        (Archive(has_wide_end=True, locator_shift=-1), "ZIP64 end record"),
        (Archive(has_wide_end=True, locator_shift=1 << 62), "ZIP64 end record"),
        (Archive(is_wide=True, wide_extra=b""), "a ZIP64 field is missing"),
        (Archive(is_wide=True, wide_extra=struct.pack("<HHQ", 1, 8, 5)), "ZIP64 field is missing"),
        (Archive(is_wide=True, wide_extra=struct.pack("<HHQQ", 1, 24, 1, 1)), "ZIP64 field"),
        (Archive(is_wide=True, wide_extra=struct.pack("<HHQQQ", 2, 24, 1, 1, 0)), "ZIP64 field"),
        (
            Archive(is_wide=True, wide_extra=struct.pack("<HHQQQ", 1, 24, 1, 1 << 63, 0)),
            "a member does not lie inside the file",
        ),
        (
            Archive(is_wide=True, wide_extra=struct.pack("<HHQQQ", 1, 24, 1, 1, 1 << 63)),
            "a member does not lie inside the file",
        ),
        (Archive(names=(b"\xff.npy",), flags=0x0800), "name of a member is not text"),
        (Archive(flags=1), "is encrypted"),
    ],
)
def test_each_contradiction_is_refused_with_its_reason(archive: Archive, reason: str) -> None:
    with pytest.raises(TileReadError, match=reason):
        read_npz(archive.content())


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [("é.npy".encode(), 0x0800, "é"), ("é.npy".encode("cp437"), 0, "é")],
)
def test_names_are_decoded_as_their_flag_says(name: bytes, flags: int, expected: str) -> None:
    with NpzArchive(Archive(names=(name,), flags=flags).content()) as archive:
        assert archive.names == (expected,)


def test_as_many_members_as_allowed() -> None:
    names = tuple(f"{index}.npy".encode() for index in range(4096))
    with NpzArchive(Archive(names=names).content()) as archive:
        assert len(archive.names) == 4096
