"""The header of an NPY array, matched with a pattern instead of being evaluated.

``numpy.lib.format`` evaluates the header as a Python literal. Hostile headers then raise many kinds
of errors and even warnings, and structured types make numpy build what the file asks for. Only
plain numbers are needed here, and their headers have a form that a pattern matches whole.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

MAX_HEADER_BYTES: Final = 10_000
"""Longest header that is read, in bytes: numpy's own limit."""

PLAIN_TYPES: Final = frozenset(
    ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
)
"""Types of plain numbers, as ``numpy.dtype.str`` spells them without the byte order."""

_MAX_RANK: Final = 32
_MAX_PIXELS: Final = 1 << 48
_PREFIX_BYTES: Final = {1: 10, 2: 12, 3: 12}
_ENTRY: Final = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*"""
    r"""(?P<value>'[^']*'|"[^"]*"|\[.*\]|True|False|\([\d\s,]*\))\s*(?:,\s*|$)"""
)
_SHAPE: Final = re.compile(r"\(\s*(?:\d{1,15}\s*,\s*)*(?:\d{1,15}\s*)?\)")


class MalformedHeaderError(Exception):
    """The bytes are no NPY header; the message is the reason."""


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What an NPY header declares.

    Attributes:
        descr: The type as the file spells it, such as ``<f4``.
        dtype: The type if it is one of plain numbers, None for objects, records, text, complex.
        shape: Shape of the array.
        is_fortran_order: Whether the first axis varies fastest.
        data_offset: Where the pixels begin, in bytes from the beginning.
    """

    descr: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    is_fortran_order: bool
    data_offset: int

    @property
    def n_data_bytes(self) -> int | None:
        """Bytes that an array of this shape takes; None if it is not one of plain numbers."""
        return None if self.dtype is None else math.prod(self.shape) * self.dtype.itemsize


def header_bytes_needed(head: bytes) -> int:
    """How many bytes the header takes, magic included.

    Args:
        head: At least the first 12 bytes of the array (fewer are malformed).

    Returns:
        Offset of the first byte after the header.

    Raises:
        MalformedHeaderError: This is no NPY array, or its header is too long.
    """
    if len(head) < max(_PREFIX_BYTES.values()) or head[:6] != b"\x93NUMPY":
        raise MalformedHeaderError("it does not begin like an NPY array")
    prefix = _PREFIX_BYTES.get(head[6])
    if prefix is None:
        raise MalformedHeaderError(f"its NPY version {head[6]}.{head[7]} is not known")
    n_text = int.from_bytes(head[8:prefix], "little")
    if n_text > MAX_HEADER_BYTES:
        raise MalformedHeaderError(f"its header claims {n_text} bytes")
    return prefix + n_text


def parse_npy_header(head: bytes) -> NpyHeader:
    """Parse the header of an NPY array (versions 1, 2 and 3).

    Args:
        head: The beginning of the array, the whole header included.

    Returns:
        What the header declares.

    Raises:
        MalformedHeaderError: It is cut short or damaged.
    """
    data_offset = header_bytes_needed(head)
    if len(head) < data_offset:
        raise MalformedHeaderError("its header is cut short")
    return _parse_text(head[_PREFIX_BYTES[head[6]] : data_offset], data_offset)


# The tiles of a run have a handful of headers between them.
@lru_cache(maxsize=16)
def _parse_text(text: bytes, data_offset: int) -> NpyHeader:
    entries = _entries(text.decode("ascii", "replace"))
    shape = entries["shape"]
    order = entries["fortran_order"]
    if not _SHAPE.fullmatch(shape) or order not in ("True", "False"):
        raise MalformedHeaderError("its header is damaged")
    sizes = tuple(int(size) for size in shape[1:-1].split(",") if size.strip())
    # An axis of size 0 would hide the others from the check of the declared bytes.
    if len(sizes) > _MAX_RANK or math.prod(max(size, 1) for size in sizes) > _MAX_PIXELS:
        raise MalformedHeaderError("it claims an impossible shape")
    descr = entries["descr"].strip("'\"")
    return NpyHeader(
        descr=descr,
        dtype=_plain_dtype(descr),
        shape=sizes,
        is_fortran_order=order == "True",
        data_offset=data_offset,
    )


def _entries(text: str) -> dict[str, str]:
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        raise MalformedHeaderError("its header is damaged")
    body = body[1:-1].strip()
    entries: dict[str, str] = {}
    position = 0
    while position < len(body):
        match = _ENTRY.match(body, position)
        if match is None or match["key"] in entries:
            raise MalformedHeaderError("its header is damaged")
        entries[match["key"]] = match["value"]
        position = match.end()
    if len(entries) != 3:
        raise MalformedHeaderError("its header is incomplete")
    return entries


def _plain_dtype(descr: str) -> np.dtype[Any] | None:
    is_plain = descr[:1] in ("<", ">", "|", "=") and descr[1:] in PLAIN_TYPES
    return np.dtype(descr) if is_plain else None
