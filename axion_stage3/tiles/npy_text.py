"""The one kind of text that is read from an NPZ: a single short string.

``numpy.array("EPSG:32633")`` is stored as an array without axes, of a fixed number of UCS-4
characters. Such an array is no pixels, so that the reader of arrays refuses it like all else that
is not a plain number; a caller that expects a text asks for it by name, and gets it only in this
form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from axion_stage3.tiles.npy_header import MalformedHeaderError

if TYPE_CHECKING:
    from axion_stage3.tiles.npy_header import NpyHeader

MAX_TEXT_LENGTH: Final = 8192
"""Longest text that is read, in characters: a CRS as WKT has about 2,000."""

_DESCR: Final = re.compile(r"(?P<order>[<>|=])(?P<kind>[US])(?P<length>\d{1,5})")
_SINGLE: Final = frozenset(((), (1,)))


def text_bytes(header: NpyHeader) -> int:
    """How many bytes the text of this header takes.

    Raises:
        MalformedHeaderError: It is no single text, or one that is too long.
    """
    match = _DESCR.fullmatch(header.descr)
    if match is None or header.shape not in _SINGLE:
        raise MalformedHeaderError(
            f"it is of type {header.descr[:60]!r} and shape {header.shape}, not a single text"
        )
    length = int(match["length"])
    if length > MAX_TEXT_LENGTH:
        raise MalformedHeaderError(f"it is a text of {length:,} characters")
    return length * (4 if match["kind"] == "U" else 1)


def decode_text(header: NpyHeader, content: bytes) -> str:
    """Decode the bytes that ``text_bytes`` counted.

    Raises:
        MalformedHeaderError: They are no text, or hold characters that cannot be shown.
    """
    kind, order = header.descr[1], header.descr[0]
    encoding = "ascii" if kind == "S" else ("utf-32-be" if order == ">" else "utf-32-le")
    try:
        text = content.decode(encoding).rstrip("\0")
    except UnicodeDecodeError:
        raise MalformedHeaderError("it holds bytes that are no text") from None
    fault = text_fault(text)
    if fault is not None:
        raise MalformedHeaderError(f"it {fault}")
    return text


def text_fault(text: str) -> str | None:
    """Say what makes a text one that ``decode_text`` would refuse.

    Args:
        text: The text, without its NPY header.

    Returns:
        The reason, to follow the name of the text; None if it is fine.
    """
    if len(text) > MAX_TEXT_LENGTH:
        return f"is a text of {len(text):,} characters"
    # A WKT text may have lines.
    if not all(sign.isprintable() or sign in "\n\r\t" for sign in text):
        return "holds control characters"
    return None
