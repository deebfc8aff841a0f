"""Mutations for the fuzz tests of checkpoints.

On two levels: on the bytes of the file, and on what is inside before it gets checksums that fit, so
that the pickle of a ``.pt`` and the header of a ``.safetensors`` are reached by hostile content.
"""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, "", "8", "F64", "I64", "BOOL", "F8_E4M3", [],
    {}, [0], [8, 8, 3, 3], [2**40, 2**40], [-1, 8], [0, 2**60], [[[]]], {"widths": [1] * 3},
)  # fmt: skip
_PICKLE_TOKENS = (
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"R", b"b",
    b"(", b"t", b"Q", b"0", b".", b"}", b"]", b"K\xff", b"M\xff\xff", b"J\xff\xff\xff\x7f",
    b"h\x00", b"X\xff\xff\xff\x7f", b"\x8d" + b"\xff" * 8, b"\x8a\x08" + b"\xff" * 8,
    b"\x94", b"\x85", b"\x80\x05",
)  # fmt: skip


def mutated_checkpoints(data: bytes, seed: int, n_files: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    rewrite = _rezipped if data.startswith(b"PK") else _reheaded
    for _ in range(n_files):
        content = rewrite(draw, data) if draw.random() < 0.4 else data
        if content is data or draw.random() < 0.1:
            content = _mutated(draw, content)
        yield content


def _mutated(draw: random.Random, data: bytes) -> bytes:
    """Cut, flip or overwrite bytes, mostly near either end, where the structure is."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        where = int(len(changed) * draw.random() ** 4)
        if draw.random() < 0.3:
            where = max(0, len(changed) - 1 - where)
        kind = draw.randrange(3)
        if kind == 0:
            changed = changed[: max(1, where)]
        elif kind == 1:
            changed[where] ^= 1 << draw.randrange(8)
        else:
            changed[where : where + 4] = draw.randbytes(4)
    return bytes(changed)


def _rezipped(draw: random.Random, data: bytes) -> bytes:
    """A ``.pt`` whose pickle, or another member, is changed and has the right checksum."""
    packed = io.BytesIO()
    is_deflated = draw.random() < 0.05
    method = zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", method) as new:
        names = old.namelist()
        pickled = next(name for name in names if name.endswith("data.pkl"))
        target = pickled if draw.random() < 0.8 else draw.choice(names)
        for name in names:
            content = old.read(name)
            if name == target:
                content = _mutated_pickle(draw, content)
            new.writestr(name, content)
    return packed.getvalue()


def _mutated_pickle(draw: random.Random, content: bytes) -> bytes:
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(content) + 1)
        kind = draw.randrange(4)
        if kind == 0:
            content = content[:at] + draw.choice(_PICKLE_TOKENS) + content[at:]
        elif kind == 1:
            content = content[:at] + draw.randbytes(1) + content[at + 1 :]
        elif kind == 2:
            content = content[:at] + content[at + draw.randint(1, 30) :]
        else:
            other = draw.randrange(len(content) + 1)
            content = content[:at] + content[other : other + draw.randint(1, 60)] + content[at:]
    return content


def _reheaded(draw: random.Random, data: bytes) -> bytes:
    """A ``.safetensors`` whose header, or the facts in it, is changed in meaning."""
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    facts = json.loads(header["__metadata__"]["axion_stage3"])
    for _ in range(draw.randint(1, 3)):
        _change_entry(draw, header if draw.random() < 0.6 else facts)
    if isinstance(header.get("__metadata__"), dict) and "axion_stage3" in header["__metadata__"]:
        header["__metadata__"]["axion_stage3"] = json.dumps(facts)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + n_header :]


def _change_entry(draw: random.Random, document: Any) -> None:
    """Replace, drop or rename something at a random depth."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = draw.choice(keys)
        inner = document[key]
        if not isinstance(inner, dict | list) or draw.random() < 0.2:
            break
        document = inner
    kind = draw.randrange(4)
    if kind == 0 and isinstance(document, dict):
        document[draw.choice(("", "weight", "__metadata__", key + "x"))] = document.pop(key)
    elif kind == 1:
        del document[key]
    else:
        document[key] = copy.deepcopy(draw.choice(_VALUES))
