"""PNG files without any library beyond numpy, for pictures inside documents."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from axion_stage3.exporting.composites import Rgb

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {3: 2, 4: 6}
_PAETH: Final = 4
_LEVEL: Final = 6


def png_bytes(image: Rgb) -> bytes:
    """Encode a picture (PNG specification, third edition; every line with the Paeth filter).

    Args:
        image: (H, W, 3) uint8, or (H, W, 4) with opacity last; both sides at least 1 px.

    Returns:
        A PNG file; equal pictures give equal bytes.
    """
    height, width, n_channels = image.shape
    pixels = np.zeros((height + 1, width + 1, n_channels), dtype=np.int16)
    pixels[1:, 1:] = image
    here, left, above, corner = (
        pixels[1:, 1:], pixels[1:, :-1], pixels[:-1, 1:], pixels[:-1, :-1],
    )  # fmt: skip
    estimate = left + above - corner
    to_left, to_above, to_corner = (
        np.abs(estimate - neighbour) for neighbour in (left, above, corner)
    )
    nearest = np.where(
        (to_left <= to_above) & (to_left <= to_corner),
        left,
        np.where(to_above <= to_corner, above, corner),
    )
    lines = np.empty((height, 1 + n_channels * width), dtype=np.uint8)
    lines[:, 0] = _PAETH
    lines[:, 1:] = (here - nearest).astype(np.uint8).reshape(height, -1)
    header = struct.pack(">II5B", width, height, 8, _COLOUR_TYPES[n_channels], 0, 0, 0)
    body = zlib.compress(lines.tobytes(), _LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def data_uri(image: Rgb) -> str:
    """Return a picture as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
