"""Reading NPZ files that may be damaged or hostile.

Nothing is inflated before its header has been read, its type and shape have been checked and its
size has been held to a budget; nothing is unpickled; every failure is one ``TileReadError``. A rule
on the compression ratio would be wrong, since an honest tile of zeros compresses 976:1, but no
deflate stream can exceed 1032:1 (258 bytes from two bits): larger claims are refused unread.
"""

from __future__ import annotations

import math
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast

import numpy as np
from isal import isal_zlib

from axion_stage3.errors import TileReadError
from axion_stage3.storage.locations import ObjectUrl
from axion_stage3.tiles.npy_header import (
    MAX_HEADER_BYTES,
    MalformedHeaderError,
    NpyHeader,
    header_bytes_needed,
    parse_npy_header,
)
from axion_stage3.tiles.npy_text import decode_text, text_bytes
from axion_stage3.tiles.zip_directory import (
    DEFLATED,
    STORED,
    BytesSource,
    MalformedZipError,
    ZipEntry,
    find_data,
    read_directory,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

    from axion_stage3.storage.locations import Location

DEFAULT_BYTE_BUDGET: Final = 2 << 30
"""Most bytes that the arrays of one tile may take: a whole 10 m granule of four float32 bands."""

# The stubs of isal declare the class as an instance.
_InflateError: Final = cast("type[Exception]", isal_zlib.error)
_RAW_DEFLATE: Final = -15
_MAX_DEFLATE_RATIO: Final = 1032
_MAX_OVERHEAD_BYTES: Final = 1 << 16
_PROBE_BYTES: Final = 512
_PROBE_COMPRESSED_BYTES: Final = 1 << 10
"""Little, since an inflater takes in all that it is given before it returns its first bytes."""
_MOST_PROBE_COMPRESSED_BYTES: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class MemberHeader:
    """One array of an NPZ, known from its header alone.

    Attributes:
        name: Its key.
        shape: Shape of the array.
        dtype: Its type; None if it is not one of plain numbers (such arrays are refused when read).
        descr: Its type as the file spells it, such as ``<f4``.
        fortran_order: Whether the first axis varies fastest.
        n_bytes: Size of the pixels once inflated, in bytes.
        compressed_bytes: Size in the file, header included.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    descr: str
    fortran_order: bool
    n_bytes: int
    compressed_bytes: int


def read_npz(
    source: Location | bytes,
    names: Collection[str] | None = None,
    *,
    byte_budget: int = DEFAULT_BYTE_BUDGET,
) -> dict[str, np.ndarray[Any, Any]]:
    """Read arrays from an NPZ file.

    Args:
        source: The file or object, or its content.
        names: Keys to read; None reads all.
        byte_budget: Most bytes the arrays may take together once they are float32 or wider.

    Returns:
        The arrays by key. They are read-only views of the inflated bytes.

    Raises:
        TileReadError: The file cannot be read, is damaged, is too large, holds other things than
            plain numbers, or lacks one of ``names``.
    """
    with NpzArchive(source, byte_budget=byte_budget) as archive:
        return archive.read(archive.names if names is None else names)


def read_headers(source: Location | bytes) -> dict[str, MemberHeader]:
    """Read what the arrays of an NPZ file are, without their pixels.

    Args:
        source: The file or object, or its content.

    Returns:
        The headers by key, in the order of the file.

    Raises:
        TileReadError: The file cannot be read or is damaged.
    """
    with NpzArchive(source) as archive:
        return archive.headers()


class NpzArchive:
    """An open NPZ file; a context manager.

    Args:
        source: The file or object, or its content.
        byte_budget: Most bytes that arrays read together may take once they are float32 or wider.

    Attributes:
        names: Keys of the arrays, in the order of the file.

    Raises:
        TileReadError: The file cannot be opened or its directory is damaged.
    """

    def __init__(self, source: Location | bytes, *, byte_budget: int = DEFAULT_BYTE_BUDGET) -> None:
        self._path = None if isinstance(source, bytes) else source
        self._byte_budget = byte_budget
        with self._read_errors():
            self._source = _open(source)
            try:
                self._entries = {
                    entry.name.removesuffix(".npy"): entry
                    for entry in read_directory(self._source)
                    if entry.name.endswith(".npy")
                }
            except BaseException:
                self._source.close()
                raise
        self.names = tuple(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def headers(self) -> dict[str, MemberHeader]:
        """Read the headers of all arrays.

        Raises:
            TileReadError: A header is damaged.
        """
        with self._read_errors():
            return {name: self._member_header(name) for name in self.names}

    def header(self, name: str) -> MemberHeader:
        """Read the header of one array.

        Args:
            name: Its key.

        Raises:
            TileReadError: It is missing, or its header is damaged.
        """
        with self._read_errors():
            return self._member_header(name)

    def read(self, names: Collection[str]) -> dict[str, np.ndarray[Any, Any]]:
        """Read arrays.

        Args:
            names: Their keys.

        Returns:
            The arrays by key. They are read-only views of the inflated bytes.

        Raises:
            TileReadError: An array is missing, damaged, too large or not one of plain numbers.
        """
        with self._read_errors():
            headers = {name: self._plain_header(name) for name in names}
            n_bytes = sum(map(_bytes_as_float32, headers.values()))
            if n_bytes > self._byte_budget:
                raise MalformedZipError(
                    f"its arrays would take {n_bytes:,} bytes, more than the "
                    f"{self._byte_budget:,} allowed for one tile",
                    hint="Cut the scene into smaller tiles.",
                )
            return {name: self._read_array(name, header) for name, header in headers.items()}

    def read_text(self, name: str) -> str:
        """Read a single short text, such as ``numpy.array("EPSG:32633")``.

        Args:
            name: Its key.

        Raises:
            TileReadError: It is missing, damaged, or anything else than one printable text.
        """
        with self._read_errors():
            header = self._npy_header(name)
            try:
                if text_bytes(header) != self._entries[name].n_bytes - header.data_offset:
                    raise MalformedHeaderError("its length does not fit")
                return decode_text(header, self._content(name)[header.data_offset :])
            except MalformedHeaderError as error:
                raise MalformedZipError(f"{name!r} cannot be read: {error}") from None

    def _member_header(self, name: str) -> MemberHeader:
        header = self._npy_header(name)
        entry = self._entries[name]
        return MemberHeader(
            name=name,
            shape=header.shape,
            dtype=header.dtype,
            descr=header.descr,
            fortran_order=header.is_fortran_order,
            n_bytes=entry.n_bytes - header.data_offset,
            compressed_bytes=entry.compressed_bytes,
        )

    def _plain_header(self, name: str) -> NpyHeader:
        header = self._npy_header(name)
        if header.dtype is None:
            raise MalformedZipError(
                f"{name!r} is of type {header.descr[:60]!r}; only real numbers are read "
                "(objects, records, text and complex numbers are refused)",
                hint="Store the bands as float32.",
            )
        n_claimed = self._entries[name].n_bytes - header.data_offset
        if n_claimed != header.n_data_bytes:
            raise MalformedZipError(
                f"{name!r} declares the shape {header.shape} of {header.descr}, "
                f"{header.n_data_bytes:,} bytes, but holds {n_claimed:,}"
            )
        return header

    def _npy_header(self, name: str) -> NpyHeader:
        if name not in self._entries:
            raise MalformedZipError(f"it has no array {name!r}")
        entry = self._entries[name]
        _check_claims(entry)
        start = find_data(self._source, entry)

        def inflate(n_compressed: int, n_bytes: int) -> bytes:
            head = self._source.read_at(start, min(entry.compressed_bytes, n_compressed))
            return _inflate_head(entry, head, n_bytes)

        try:
            probe = inflate(_PROBE_COMPRESSED_BYTES, _PROBE_BYTES)
            is_short = len(probe) < min(_PROBE_BYTES, entry.n_bytes)
            if is_short or header_bytes_needed(probe) > len(probe):
                probe = inflate(_MOST_PROBE_COMPRESSED_BYTES, MAX_HEADER_BYTES + 12)
            return parse_npy_header(probe)
        except MalformedHeaderError as error:
            raise MalformedZipError(f"{name!r} cannot be read: {error}") from None

    def _read_array(self, name: str, header: NpyHeader) -> np.ndarray[Any, Any]:
        content = self._content(name)
        flat = np.frombuffer(content, dtype=header.dtype, offset=header.data_offset)
        return flat.reshape(header.shape, order="F" if header.is_fortran_order else "C")

    def _content(self, name: str) -> bytes:
        entry = self._entries[name]
        content = self._source.read_at(find_data(self._source, entry), entry.compressed_bytes)
        if entry.method == DEFLATED:
            content = _inflate(entry, content)
        if isal_zlib.crc32(content) != entry.crc:
            raise MalformedZipError(f"{name!r} is damaged: its checksum does not fit")
        return content

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        where = "The NPZ" if self._path is None else str(self._path)
        try:
            yield
        except MalformedZipError as error:
            raise TileReadError(
                f"{where} cannot be read as NPZ: {error}.",
                hint=error.hint,
                path=self._path,
            ) from None
        except OSError as error:
            raise TileReadError(
                f"{where} cannot be read: {error.strerror or error}.",
                hint="Check that the file is there and may be read.",
                path=self._path,
            ) from error


def _bytes_as_float32(header: NpyHeader) -> int:
    """Bytes of the pixels as the network takes them; masks stay as they are."""
    assert header.dtype is not None, "plain headers alone are charged"
    is_mask = header.dtype.kind == "b"
    return math.prod(header.shape) * (1 if is_mask else max(header.dtype.itemsize, 4))


def _open(source: Location | bytes) -> BytesSource | _File:
    """Open a file; an object is read whole, since a second request would take longer."""
    if isinstance(source, bytes):
        return BytesSource(source)
    return BytesSource(source.read_bytes()) if isinstance(source, ObjectUrl) else _File(source)


class _File:
    """An NPZ on the disk, opened for reading only."""

    def __init__(self, path: Path) -> None:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise MalformedZipError("it is not a regular file")
        self._file: BinaryIO = path.open("rb")
        self.n_bytes = os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        if not 0 <= offset <= offset + n_bytes <= self.n_bytes:
            raise MalformedZipError("it is cut short")
        self._file.seek(offset)
        content = self._file.read(n_bytes)
        if len(content) != n_bytes:
            raise MalformedZipError("it was cut short while it was being read")
        return content

    def close(self) -> None:
        self._file.close()


def _check_claims(entry: ZipEntry) -> None:
    """Refuse sizes that no honest writer can have meant, before memory is taken for them."""
    if entry.is_encrypted:
        raise MalformedZipError(f"{entry.name!r} is encrypted")
    if entry.method not in (STORED, DEFLATED):
        raise MalformedZipError(f"{entry.name!r} is compressed in a way NPZ does not use")
    if entry.method == STORED:
        is_possible = entry.compressed_bytes == entry.n_bytes
    else:
        # Codes have at most 15 bits for a byte: twice the size is more than any writer needs.
        most_compressed = 2 * entry.n_bytes + _MAX_OVERHEAD_BYTES
        is_possible = (
            entry.compressed_bytes <= most_compressed
            and entry.n_bytes <= _MAX_DEFLATE_RATIO * entry.compressed_bytes
        )
    if not is_possible:
        raise MalformedZipError(
            f"{entry.name!r} claims {entry.n_bytes:,} bytes in {entry.compressed_bytes:,}"
        )


def _inflate_head(entry: ZipEntry, head: bytes, n_bytes: int) -> bytes:
    if entry.method == STORED:
        return head[:n_bytes]
    try:
        return isal_zlib.decompressobj(_RAW_DEFLATE).decompress(head, n_bytes)
    except _InflateError:
        raise MalformedZipError(f"{entry.name!r} is damaged: it cannot be inflated") from None


def _inflate(entry: ZipEntry, compressed: bytes) -> bytes:
    inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
    try:
        content = inflater.decompress(compressed, entry.n_bytes + 1)
    except _InflateError:
        raise MalformedZipError(f"{entry.name!r} is damaged: it cannot be inflated") from None
    if len(content) != entry.n_bytes or not inflater.eof or inflater.unused_data:
        raise MalformedZipError(f"{entry.name!r} is damaged: it does not inflate to its size")
    return content
