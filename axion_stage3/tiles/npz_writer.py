"""Writing NPZ files: quickly, atomically and with the same bytes every time.

Members are deflated with ISA-L at level 1, which on float32 pixels comes as close as zlib at its
default level and takes a twentieth of the time. Timestamps are fixed, so equal arrays give equal
bytes on one machine; ISA-L may choose other, equally valid codes on another kind of processor. An
alias repeats the compressed bytes of another array under its own name: both members are complete in
themselves, as ``numpy.load`` and ``unzip`` expect.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from isal import isal_zlib

from axion_stage3.atomic_write import write_bytes
from axion_stage3.errors import OutputError
from axion_stage3.tiles.npy_header import PLAIN_TYPES
from axion_stage3.tiles.zip_directory import DEFLATED, STORED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from axion_stage3.storage.locations import Location

_LEVEL: Final = 1
_RAW_DEFLATE: Final = -15
_VERSION_NEEDED: Final = 20
_MADE_BY_UNIX: Final = (3 << 8) | _VERSION_NEEDED
_MIDNIGHT: Final = 0
_FIRST_DOS_DAY: Final = (1 << 5) | 1  # 1980-01-01
_FILE_MODE: Final = 0o100644 << 16
_MAX_ZIP32: Final = 0xFFFFFFFE
_WORTH_INFLATING: Final = 0.98


@dataclass(frozen=True, slots=True)
class _Member:
    """The content of an array, ready to be written under one or more names."""

    method: int
    crc: int
    n_bytes: int
    pieces: tuple[bytes | memoryview, ...]
    compressed_bytes: int


def write_npz(
    path: Location,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    aliases: Mapping[str, str] | None = None,
) -> int:
    """Write an NPZ file atomically (see ``atomic_write``).

    Args:
        path: The file; its folder must exist.
        arrays: Arrays of plain numbers by key.
        aliases: Further keys, each with the key in ``arrays`` whose array it repeats.

    Returns:
        Number of bytes written.

    Raises:
        OutputError: The file could not be written, or would exceed 4 GiB.
        ValueError: A key or an array cannot be stored in an NPZ.
    """
    return write_bytes(path, encode_npz(arrays, aliases))


def encode_npz(
    arrays: Mapping[str, np.ndarray[Any, Any]], aliases: Mapping[str, str] | None = None
) -> list[bytes | memoryview]:
    """Encode arrays as the bytes of an NPZ file.

    Args:
        arrays: Arrays of plain numbers by key, any shape; written in C order. A text is an array
            of one string without axes.
        aliases: Further keys, each with the key in ``arrays`` whose array it repeats.

    Returns:
        The bytes of the file, in pieces.

    Raises:
        OutputError: The file would exceed 4 GiB.
        ValueError: A key or an array cannot be stored in an NPZ.
    """
    aliases = aliases or {}
    members = {_checked_key(key): _encode(key, array) for key, array in arrays.items()}
    for alias, key in aliases.items():
        if alias in members or key not in arrays:
            raise ValueError(f"the alias {alias!r} of {key!r} is already taken or has no array")
        members[_checked_key(alias)] = members[key]
    pieces: list[bytes | memoryview] = []
    directory: list[bytes] = []
    offset = 0
    for key, member in members.items():
        local, central = _records(f"{key}.npy".encode("ascii"), member, offset)
        pieces += (local, *member.pieces)
        directory.append(central)
        offset += len(local) + member.compressed_bytes
    n_directory = sum(map(len, directory))
    n_members = len(members)
    pieces += directory
    pieces.append(
        struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, n_members, n_members, n_directory, offset, 0)
    )
    return pieces


def _checked_key(key: str) -> str:
    if not (key.isascii() and key.isidentifier()):
        raise ValueError(f"{key!r} is no key for an NPZ: use letters, digits and underscores")
    return key


def _encode(key: str, array: np.ndarray[Any, Any]) -> _Member:
    is_text = array.dtype.kind == "U" and array.ndim == 0 and array.dtype.itemsize > 0
    if array.dtype.str[1:] not in PLAIN_TYPES and not is_text:
        raise ValueError(
            f"{key!r} is of type {array.dtype}; only real numbers and single texts are written"
        )
    # ascontiguousarray would make a scalar an array of one axis.
    array = np.asarray(array, order="C")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    header = head.getvalue()
    pixels = array.reshape(-1).view(np.uint8).data
    n_bytes = len(header) + len(pixels)
    deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
    deflated = (deflater.compress(header), deflater.compress(pixels), deflater.flush())
    compressed_bytes = sum(map(len, deflated))
    is_smaller = compressed_bytes < _WORTH_INFLATING * n_bytes
    return _Member(
        method=DEFLATED if is_smaller else STORED,
        crc=isal_zlib.crc32(pixels, isal_zlib.crc32(header)),
        n_bytes=n_bytes,
        pieces=deflated if is_smaller else (header, pixels),
        compressed_bytes=compressed_bytes if is_smaller else n_bytes,
    )


def _records(name: bytes, member: _Member, offset: int) -> tuple[bytes, bytes]:
    """The local header of a member and its entry in the central directory."""
    if max(offset + member.compressed_bytes, member.n_bytes) > _MAX_ZIP32:
        raise OutputError(
            "The output tile would exceed the 4 GiB that an NPZ file can hold.",
            hint="Cut the scene into smaller tiles.",
        )
    shared = struct.pack(
        "<HHHHHIIIHH",
        _VERSION_NEEDED,
        0,
        member.method,
        _MIDNIGHT,
        _FIRST_DOS_DAY,
        member.crc,
        member.compressed_bytes,
        member.n_bytes,
        len(name),
        0,
    )
    local = b"PK\3\4" + shared + name
    made_by = struct.pack("<H", _MADE_BY_UNIX)
    central = b"PK\1\2" + made_by + shared + struct.pack("<HHHII", 0, 0, 0, _FILE_MODE, offset)
    return local, central + name
