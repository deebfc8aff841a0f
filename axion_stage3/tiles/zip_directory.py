"""The table of contents of a ZIP file, read without trusting a single field of it.

Offsets and sizes are checked against the file before they are used, the number of members and the
size of the directory are bounded, and members that appear twice are refused. Field names follow
PKWARE's APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16
(end records) and 4.5.3 (ZIP64 extra field).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Protocol

STORED: Final = 0
DEFLATED: Final = 8

_MAX_MEMBERS: Final = 4096
_MAX_DIRECTORY_BYTES: Final = 1 << 20
_MAX_COMMENT_BYTES: Final = 0xFFFF

_END: Final = struct.Struct("<4sHHHHIIH")
_END64_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQHHIIQQQQ")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")

_ENCRYPTED: Final = 0x0001
_UTF8: Final = 0x0800
_IN_ZIP64_16: Final = 0xFFFF
_IN_ZIP64_32: Final = 0xFFFFFFFF
_ZIP64_EXTRA: Final = 0x0001


class MalformedZipError(Exception):
    """The file is not a sound ZIP of arrays; the message is the reason, without the path.

    Args:
        reason: Why, as a clause.
        hint: What to do next.
    """

    def __init__(self, reason: str, hint: str = "Copy or make this tile again.") -> None:
        super().__init__(reason)
        self.hint = hint


class ByteSource(Protocol):
    """Random access to the bytes of a file."""

    @property
    def n_bytes(self) -> int:
        """Size of the file in bytes."""

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Exactly ``n_bytes`` from ``offset``; raises MalformedZipError if there are fewer."""


class BytesSource:
    """A file that is already in memory.

    Args:
        content: Its bytes.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.n_bytes = len(content)

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return ``n_bytes`` from ``offset``; raises MalformedZipError if there are fewer."""
        if not 0 <= offset <= offset + n_bytes <= self.n_bytes:
            raise MalformedZipError("it is cut short")
        return self._content[offset : offset + n_bytes]

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One member, as the central directory describes it.

    Attributes:
        name: Name of the member.
        is_encrypted: Whether it needs a password.
        method: Compression method (``STORED`` and ``DEFLATED`` are understood).
        crc: CRC-32 of the uncompressed bytes.
        compressed_bytes: Size in the file.
        n_bytes: Size once inflated, as claimed.
        offset: Where its local header begins.
    """

    name: str
    is_encrypted: bool
    method: int
    crc: int
    compressed_bytes: int
    n_bytes: int
    offset: int


def read_directory(source: ByteSource) -> tuple[ZipEntry, ...]:
    """Read the central directory.

    Args:
        source: The ZIP file.

    Returns:
        Its members in the order of the directory; no name appears twice.

    Raises:
        MalformedZipError: The file is not a sound ZIP.
    """
    n_members, n_bytes, offset, end = _find_directory(source)
    if n_members > _MAX_MEMBERS or n_bytes > _MAX_DIRECTORY_BYTES:
        raise MalformedZipError(f"it claims {n_members} members in {n_bytes} bytes of directory")
    if offset + n_bytes > end:
        raise MalformedZipError("its directory does not lie inside the file")
    directory = source.read_at(offset, n_bytes)
    entries: list[ZipEntry] = []
    position = 0
    for _ in range(n_members):
        entry, position = _parse_entry(directory, position, data_end=offset)
        entries.append(entry)
    if position != n_bytes:
        raise MalformedZipError("its directory is longer than its members")
    _refuse_duplicates(entries)
    return tuple(entries)


def find_data(source: ByteSource, entry: ZipEntry) -> int:
    """Find where the data of a member begins, from its local header.

    Args:
        source: The ZIP file.
        entry: A member of its directory.

    Returns:
        Offset of the first compressed byte.

    Raises:
        MalformedZipError: The local header contradicts the directory.
    """
    fixed = source.read_at(entry.offset, _LOCAL.size)
    signature, _, flags, method, *_, n_name, n_extra = _LOCAL.unpack(fixed)
    if signature != b"PK\x03\x04":
        raise MalformedZipError("a member does not begin where the directory says")
    name_at = entry.offset + _LOCAL.size
    name = _decode_name(source.read_at(name_at, n_name), flags)
    if name != entry.name or method != entry.method:
        raise MalformedZipError("a member and the directory contradict each other")
    return int(name_at + n_name + n_extra)


def _find_directory(source: ByteSource) -> tuple[int, int, int, int]:
    """Number of members, size and offset of the directory, and where it must have ended."""
    for most_comment_bytes in (0, _MAX_COMMENT_BYTES):  # hardly a file has a comment
        n_tail = min(source.n_bytes, _END.size + most_comment_bytes)
        tail = source.read_at(source.n_bytes - n_tail, n_tail)
        at = tail.rfind(b"PK\x05\x06")
        if at >= 0:
            break
    if at < 0 or at + _END.size > n_tail:
        raise MalformedZipError("it has no ZIP directory at its end (cut short, or no ZIP)")
    _, _, _, _, n_members, n_bytes, offset, n_comment = _END.unpack_from(tail, at)
    if at + _END.size + n_comment != n_tail:
        raise MalformedZipError("it does not end where its ZIP directory ends")
    end = source.n_bytes - n_tail + at
    if n_members == _IN_ZIP64_16 or _IN_ZIP64_32 in (n_bytes, offset):
        return _find_directory64(source, end)
    return n_members, n_bytes, offset, end


def _find_directory64(source: ByteSource, end: int) -> tuple[int, int, int, int]:
    at = end - _END64_LOCATOR.size
    signature, _, at64, _ = _END64_LOCATOR.unpack(source.read_at(at, _END64_LOCATOR.size))
    if signature != b"PK\x06\x07" or at64 + _END64.size > at:
        raise MalformedZipError("its ZIP64 end record is not where it should be")
    signature, *_, n_members, n_bytes, offset = _END64.unpack(source.read_at(at64, _END64.size))
    if signature != b"PK\x06\x06":
        raise MalformedZipError("its ZIP64 end record is not where it should be")
    return n_members, n_bytes, offset, at64


def _parse_entry(directory: bytes, position: int, *, data_end: int) -> tuple[ZipEntry, int]:
    if position + _CENTRAL.size > len(directory):
        raise MalformedZipError("its directory is cut short")
    (
        signature,
        _,
        _,
        flags,
        method,
        _,
        _,
        crc,
        compressed_bytes,
        n_bytes,
        n_name,
        n_extra,
        n_comment,
        _,
        _,
        _,
        offset,
    ) = _CENTRAL.unpack_from(directory, position)
    name_at = position + _CENTRAL.size
    extra_at = name_at + n_name
    next_at = extra_at + n_extra + n_comment
    if signature != b"PK\x01\x02" or next_at > len(directory):
        raise MalformedZipError("its directory is damaged")
    extra = directory[extra_at : extra_at + n_extra]
    n_bytes, compressed_bytes, offset = _from_zip64(extra, (n_bytes, compressed_bytes, offset))
    if offset + _LOCAL.size + n_name + compressed_bytes > data_end:
        raise MalformedZipError("a member does not lie inside the file")
    entry = ZipEntry(
        name=_decode_name(directory[name_at:extra_at], flags),
        is_encrypted=bool(flags & _ENCRYPTED),
        method=method,
        crc=crc,
        compressed_bytes=compressed_bytes,
        n_bytes=n_bytes,
        offset=offset,
    )
    return entry, next_at


def _from_zip64(extra: bytes, fields: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace the fields that are all ones by the values in the ZIP64 extra field, in order."""
    n_wide = sum(field == _IN_ZIP64_32 for field in fields)
    if not n_wide:
        return fields
    position = 0
    while position + 4 <= len(extra):
        kind, n_value = struct.unpack_from("<HH", extra, position)
        position += 4
        if kind == _ZIP64_EXTRA and 8 * n_wide <= n_value <= len(extra) - position:
            wide = iter(struct.unpack_from(f"<{n_wide}Q", extra, position))
            first, second, third = (
                next(wide) if field == _IN_ZIP64_32 else field for field in fields
            )
            return first, second, third
        position += n_value
    raise MalformedZipError("a ZIP64 field is missing")


def _decode_name(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise MalformedZipError("the name of a member is not text") from None


def _refuse_duplicates(entries: list[ZipEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = entry.name.removesuffix(".npy")
        if name in seen:
            raise MalformedZipError(f"the member {name!r} is there twice")
        seen.add(name)
