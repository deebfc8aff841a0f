"""The two file formats of checkpoints, taken apart without trusting a byte of them.

``.safetensors`` cannot hold code. Its header is read first, and a file that carries the checksum of
its weights is held to it. ``.pt`` is a ZIP of a pickle and of raw numbers: its directory is checked
first (every member stored as it is, inside the file, with the right CRC-32), so that no small file
can inflate to a large one and no flipped bit becomes a weight; then the pickle is read with
``weights_only=True``, which builds tensors and plain values and refuses all else.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zlib
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor

from axion_stage3.tiles.zip_directory import (
    STORED,
    BytesSource,
    MalformedZipError,
    find_data,
    read_directory,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_METADATA_KEY: Final = "axion_stage3"
_CHECKSUM_KEY: Final = "weights_sha256"
_LENGTH_BYTES: Final = 8
_MAX_HEADER_BYTES: Final = 1 << 20


class MalformedCheckpointError(Exception):
    """The file is no checkpoint that can be read; the message is the reason, as a clause."""


def looks_like_safetensors(data: bytes) -> bool:
    """Whether the bytes begin like a safetensors file."""
    # In a ZIP this byte is the way of compression, which is never 123.
    return data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"


def encode_safetensors(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Encode weights and facts, with the checksum of the weights.

    Args:
        state: Contiguous tensors on the CPU, by name.
        facts: JSON document: ``epoch`` and ``config``.
    """
    from safetensors.torch import save

    # The weights lie behind the header in an order that does not depend on the metadata.
    checksum = _weights_checksum(save(dict(state)))
    text = json.dumps({**facts, _CHECKSUM_KEY: checksum}, allow_nan=False)
    # One entry only: several are written in random order, and equal checkpoints must be equal.
    return save(dict(state), metadata={_METADATA_KEY: text})


def decode_safetensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take a safetensors checkpoint apart.

    Returns:
        The weights by name, and the document with ``epoch`` and ``config``.

    Raises:
        MalformedCheckpointError: It is damaged, or not a checkpoint of axion-stage3.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    n_header = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if not 0 < n_header <= min(_MAX_HEADER_BYTES, len(data) - _LENGTH_BYTES):
        raise MalformedCheckpointError("not a safetensors file, or cut short")
    try:
        metadata = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + n_header])["__metadata__"]
        facts = json.loads(metadata[_METADATA_KEY])
        expected = facts.get(_CHECKSUM_KEY)
        if expected is not None and expected != _weights_checksum(data):
            raise MalformedCheckpointError("its weights are damaged: their checksum does not fit")
        state = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise MalformedCheckpointError(
            f"not a safetensors checkpoint of axion-stage3 ({_first_line(e)})"
        ) from e
    return state, _checked_facts(facts)


def decode_pt(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take a ``.pt`` checkpoint apart.

    Returns:
        The weights by name, and the document with ``epoch`` and ``config``.

    Raises:
        MalformedCheckpointError: It is damaged, needs pickled code, or is not a checkpoint.
    """
    try:
        _check_zip(data)
    except MalformedZipError as error:
        raise MalformedCheckpointError(f"cannot be read as a .pt file: {error}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    # A hostile pickle makes torch's reader fail in ever new ways; all of them mean the same.
    except Exception as error:
        reason = _first_line(error)
        if "weights only" in str(error).lower().replace("_", " "):
            reason = "it needs pickled code, which is refused because it could run anything"
        raise MalformedCheckpointError(f"cannot be read as a .pt file ({reason})") from error
    if not isinstance(document, dict) or "model_state_dict" not in document:
        raise MalformedCheckpointError("has no entry 'model_state_dict'")
    state = document["model_state_dict"]
    # An OrderedDict is a dict; the tensors themselves are checked against the network.
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise MalformedCheckpointError("'model_state_dict' is not a dictionary of tensors")
    return cast("dict[str, Tensor]", state), _checked_facts(document)


def _check_zip(data: bytes) -> None:
    source = BytesSource(data)
    for entry in read_directory(source):
        if entry.is_encrypted or entry.method != STORED or entry.n_bytes != entry.compressed_bytes:
            raise MalformedZipError(f"its member {entry.name[:80]!r} is not stored as it is")
        content = source.read_at(find_data(source, entry), entry.n_bytes)
        if zlib.crc32(content) != entry.crc:
            raise MalformedZipError(f"its member {entry.name[:80]!r} is damaged (checksum)")


def _checked_facts(facts: object) -> dict[str, Any]:
    if not isinstance(facts, dict) or not isinstance(facts.get("config"), dict):
        raise MalformedCheckpointError(
            "has no entry 'config' with the network's sizes and timesteps"
        )
    epoch = facts.get("epoch", 0)
    if type(epoch) is not int or epoch < 0:
        raise MalformedCheckpointError(f"'epoch' is {epoch!r:.40}, not a count")
    try:
        # Through JSON, so that nothing but plain values is left: a pickle may hold tensors here.
        config = json.loads(json.dumps(facts["config"]))
    except (TypeError, ValueError, RecursionError):
        raise MalformedCheckpointError("'config' holds other things than plain values") from None
    return {"epoch": epoch, "config": config}


def _weights_checksum(data: bytes) -> str:
    n_header = int.from_bytes(data[:_LENGTH_BYTES], "little")
    return hashlib.sha256(memoryview(data)[_LENGTH_BYTES + n_header :]).hexdigest()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
