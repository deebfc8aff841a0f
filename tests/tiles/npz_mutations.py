"""Seeds and mutations for the fuzz tests of the NPZ reader.

Mutations work on two levels: on the bytes of the archive, and on the bytes of an array before it is
zipped, so that a hostile array header arrives with a checksum that fits.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from axion_stage3.tiles.npz_writer import encode_npz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERESTING_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)

HEADER_TOKENS = (
    b"|O", b"<f4", b">f8", b"<f2", b"<c16", b"<U9", b"|V8", b"<M8[ns]", b"[('a', '<f4')]", b"<f16",
    b"True", b"False", b"(4, 8, 8)", b"(8, 8, 4)", b"(99999999, 99999999)", b"(-1,)", b"(4,,8)",
    b"(0, 0)", b"()", b"(1e3,)", b"9" * 300, b"shape", b"descr", b"fortran_order",
    b"__import__('os')", b"(0, 999999999999999, 999999999999999)",
    b"(" * 200, b"[" * 200, b"\x00", b"\xff\xfe", b"'\\d'", b"{", b"}",
    b"lambda: 0", b"1 is 1", b"4L",
)  # fmt: skip


def seed_files() -> list[bytes]:
    pixels = np.random.default_rng(0).normal(0.2, 0.05, (4, 8, 8)).astype(np.float32)
    bands = {f"s2_b{number}": pixels[0].astype(np.float64) for number in (2, 3, 4, 8)}
    plain, packed, mixed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(plain, opt_v2=pixels)
    np.savez_compressed(packed, allow_pickle=False, **bands)
    np.savez_compressed(mixed, opt_v2=np.asfortranarray(pixels), date=np.array("2017-06-13"))
    ours = b"".join(encode_npz({"opt_final": pixels}, {"opt_v3": "opt_final"}))
    return [plain.getvalue(), packed.getvalue(), mixed.getvalue(), ours]


def mutated_files(seed: int, n_files: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    seeds = seed_files()
    for _ in range(n_files):
        content = draw.choice(seeds)
        if draw.random() < 0.3:
            content = _rezipped(draw, content)
        for _ in range(draw.choice((0, 1, 1, 2, 4))):
            content = draw.choice(_ARCHIVE_MUTATIONS)(draw, content)
        yield content


def _flip(draw: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :]


def _flip_near_end(draw: random.Random, content: bytes) -> bytes:
    cut = max(len(content) - 300, 0)
    return content[:cut] + _flip(draw, content[cut:])


def _overwrite_number(draw: random.Random, content: bytes) -> bytes:
    layout = draw.choice(("<H", "<I", "<Q"))
    n_bytes = struct.calcsize(layout)
    records = [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"]
    record = content.rfind(draw.choice(records))
    at = max(record, 0) + draw.randrange(46)
    number = draw.choice(INTERESTING_NUMBERS) & ((1 << 8 * n_bytes) - 1)
    return content[:at] + struct.pack(layout, number) + content[at + n_bytes :]


def _cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _drop(draw: random.Random, content: bytes) -> bytes:
    start = draw.randrange(len(content) + 1)
    return content[:start] + content[start + draw.randrange(64) :]


def _repeat(draw: random.Random, content: bytes) -> bytes:
    start = draw.randrange(len(content) + 1)
    end = start + draw.randrange(200)
    return content[:end] + content[start:end] + content[end:]


def _noise(draw: random.Random, content: bytes) -> bytes:
    start = draw.randrange(len(content) + 1)
    noise = draw.randbytes(draw.randrange(1, 32))
    return content[:start] + noise + content[start + len(noise) :]


_ARCHIVE_MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip, _flip, _flip_near_end, _overwrite_number, _overwrite_number, _cut, _drop, _repeat,
    _noise,
)  # fmt: skip


def _insert_token(draw: random.Random, array: bytes) -> bytes:
    start = draw.randrange(6, min(len(array), 120))
    return array[:start] + draw.choice(HEADER_TOKENS) + array[start + draw.randrange(20) :]


def _swap_token(draw: random.Random, array: bytes) -> bytes:
    head, rest = array[:128], array[128:]
    for old in (b"'<f4'", b"'<f8'", b"(4, 8, 8)", b"(8, 8)", b"False"):
        if draw.random() < 0.5:
            new = draw.choice(HEADER_TOKENS)
            head = head.replace(old, b"'" + new + b"'" if old.startswith(b"'") else new)
    text = head[10:].rstrip(b" \n")
    n_text = max(len(head) - 10, len(text) + 1)
    return head[:8] + struct.pack("<H", n_text) + text.ljust(n_text - 1) + b"\n" + rest


_ARRAY_MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _insert_token, _swap_token, _swap_token, _flip, _cut,
)  # fmt: skip


def _rezipped(draw: random.Random, content: bytes) -> bytes:
    """Mutate the arrays inside the archive, then zip them again."""
    packed = io.BytesIO()
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w", method) as new:
        for name in old.namelist():
            array = draw.choice(_ARRAY_MUTATIONS)(draw, old.read(name))
            new.writestr(name if draw.random() < 0.95 else f"\x1b[31m{name}", array)
    return packed.getvalue()
