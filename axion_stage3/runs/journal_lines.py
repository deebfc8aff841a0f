"""The lines of a journal: one JSON document each, with a checksum, and the outcome of one tile."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from isal.isal_zlib import crc32

from axion_stage3.runs.outcome import OUTCOME_NAMES, PHASES, TileOutcome

# ensure_ascii: a file name that is not valid UTF-8 (lone surrogates) survives the round trip.
# default=float: numpy scalars in the statistics.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=float)
_LARGEST_INTEGER: Final = 2**63 - 1
_STATISTICS_MARK: Final = b',"statistics":'
_CHECKSUM_LENGTH: Final = len(b',"crc32":"00000000"}\n')
_WRITTEN: Final = re.compile(
    rb'\{"tile":"([ !#-\[\]-~]+)","outcome":"written",'
    rb'"fingerprint":"([0-9a-f]{16})-([0-9a-f]{16})",'
    rb'"seconds":[0-9.e-]{1,24},"elapsed_seconds":([0-9]{1,11}(?:\.[0-9]{1,3})?),'
    rb'"output_bytes":([0-9]{1,18}),'
)
"""How ``encode_outcome`` begins the line of a tile that was written."""


def encode_line(document: Mapping[str, object]) -> bytes:
    """Encode one journal line: compact ASCII JSON, closed by the CRC-32 of what precedes it.

    The checksum makes a line that was torn, run into another or damaged on the disk recognisable,
    so that no accident can turn into "this tile is done". Numbers that JSON cannot say (NaN, Inf)
    become null.
    """
    try:
        body = _ENCODER.encode(document).encode("ascii")
    except ValueError:
        body = _ENCODER.encode(_without_non_finite(document)).encode("ascii")
    return b'%b,"crc32":"%08x"}\n' % (body[:-1], crc32(body))


def encode_outcome(outcome: TileOutcome, elapsed_seconds: float) -> bytes:
    """Encode one outcome as a journal line.

    Args:
        outcome: What became of the tile.
        elapsed_seconds: Time since the journal was opened, in seconds.
    """
    document: dict[str, object] = {
        "tile": outcome.tile,
        "outcome": outcome.outcome,
        "fingerprint": outcome.fingerprint,
        "seconds": round(outcome.seconds, 6),
        "elapsed_seconds": round(elapsed_seconds, 3),
    }
    if outcome.phase is not None:
        document["phase"] = outcome.phase
        document["error_code"] = outcome.error_code
        document["message"] = outcome.message
        document["hint"] = outcome.hint
    if outcome.outcome in ("written", "skipped"):
        document["output_bytes"] = outcome.output_bytes
    document["statistics"] = outcome.statistics
    if outcome.stage_seconds:
        document["stage_seconds"] = {k: round(v, 6) for k, v in outcome.stage_seconds.items()}
    return encode_line(document)


def decode_line(line: bytes) -> dict[str, Any] | None:
    """Decode a line of ``encode_line``; None for a line that is torn, damaged or foreign."""
    body = _checked_body(line)
    return None if body is None else _decode_body(body)


def decode_outcome(document: Mapping[str, Any]) -> TileOutcome | None:
    """Rebuild an outcome from a decoded line; None if a field is missing or of another kind."""
    try:
        outcome = TileOutcome(
            tile=document["tile"],
            outcome=document["outcome"],
            fingerprint=document["fingerprint"],
            phase=document.get("phase"),
            error_code=document.get("error_code", ""),
            message=document.get("message", ""),
            hint=document.get("hint", ""),
            seconds=float(document["seconds"]),
            output_bytes=int(document.get("output_bytes", 0)),
            statistics=document.get("statistics"),
            stage_seconds=document.get("stage_seconds", {}),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return outcome if _is_well_formed(outcome) else None


def decode_head(line: bytes) -> dict[str, Any] | None:
    """As ``decode_line``, without statistics and all that follows: three times as fast.

    The mark is searched for in the bytes. It cannot be found too early: before it there are only
    texts, inside which JSON writes a quotation mark with a backslash, and numbers.
    """
    body = _checked_body(line)
    if body is None:
        return None
    head, mark, _ = body.partition(_STATISTICS_MARK)
    return _decode_body(head + b"}" if mark else body)


class WrittenTile(NamedTuple):
    """What an index needs to know of a tile that was written."""

    tile: str
    configuration_digest: bytes
    input_digest: bytes
    elapsed_seconds: float
    output_bytes: int


def decode_written(line: bytes) -> WrittenTile | None:
    """Read what an index needs from the line of a tile that was written.

    Five times as fast as ``decode_head``, which takes every line; None for lines that this does not
    take: other outcomes, names that JSON spells in another way, torn and damaged lines.
    """
    match = _WRITTEN.match(line)
    if match is None or _checked_body(line) is None:
        return None
    tile, configuration, inputs, elapsed, output_bytes = match.groups()
    return WrittenTile(
        tile.decode("ascii"),
        bytes.fromhex(configuration.decode("ascii")),
        bytes.fromhex(inputs.decode("ascii")),
        float(elapsed),
        int(output_bytes),
    )


def tile_mark(tile: str) -> bytes:
    """The bytes by which the lines about a tile are known."""
    return b'{"tile":%b,' % _ENCODER.encode(tile).encode("ascii")


def _checked_body(line: bytes) -> bytes | None:
    body = line[:-_CHECKSUM_LENGTH] + b"}"
    is_whole = line[-_CHECKSUM_LENGTH:] == b',"crc32":"%08x"}\n' % crc32(body)
    return body if is_whole else None


def _decode_body(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _is_well_formed(outcome: TileOutcome) -> bool:
    texts = (outcome.tile, outcome.fingerprint, outcome.error_code, outcome.message, outcome.hint)
    return (
        all(isinstance(text, str) for text in texts)
        and outcome.tile != ""
        and outcome.outcome in OUTCOME_NAMES
        and (outcome.phase is None or outcome.phase in PHASES)
        and 0 <= outcome.output_bytes <= _LARGEST_INTEGER
        and (outcome.statistics is None or _has_figures(outcome.statistics))
        and _has_figures(outcome.stage_seconds)
    )


def _has_figures(entry: object) -> bool:
    """Whether an entry is an object whose integers are no larger than a number can be."""
    return isinstance(entry, dict) and all(
        type(value) is not int or -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
        for value in entry.values()
    )


def _without_non_finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_non_finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
