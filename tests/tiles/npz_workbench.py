"""NPZ files made by hand, and how a refusal of one is held to its words."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

from axion_stage3.errors import TileReadError
from axion_stage3.testing.tile_factories import make_tile
from axion_stage3.tiles.npz_reader import read_npz

OPT = make_tile(7).opt_v2


def npy(array: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=version)
    return content.getvalue()


def npy_with_header(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin1") + data


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.comment = comment
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def savez(compress: bool, **arrays: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(content, **arrays)
    return content.getvalue()


def assert_refused(
    content: bytes,
    reason: str,
    names: list[str] | None = None,
    hint: str = "Copy or make this tile again.",
) -> None:
    with pytest.raises(TileReadError, match=reason) as caught:
        read_npz(content, names)
    assert "\n" not in str(caught.value)
    assert caught.value.hint == hint
