"""What became of one tile, and the journal line that says so."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Self, get_args

from isal.isal_zlib import crc32

from axion_stage3.errors import AxionError, InvalidOutputError

OutcomeName = Literal["written", "failed", "invalid", "skipped", "replacing"]
Phase = Literal["read", "compute", "check", "write"]
StatisticsValue = float | int | str | None

OUTCOME_NAMES: Final[tuple[OutcomeName, ...]] = get_args(OutcomeName)
_PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

MAX_MESSAGE_LENGTH: Final = 2000
"""Longer messages are cut in the journal: a line must stay a line that can be read."""

_UNEXPECTED_ERROR_CODE: Final = "AX-E900"
_STATISTICS_MARK: Final = b',"statistics":'
_CHECKSUM_LENGTH: Final = len(b',"crc32":"00000000"}\n')
_WRITTEN: Final = re.compile(
    rb'\{"tile":"([ !#-\[\]-~]+)","outcome":"written",'
    rb'"fingerprint":"([0-9a-f]{16})-([0-9a-f]{16})",'
    rb'"seconds":[0-9.e-]{1,24},"elapsed_seconds":([0-9]{1,11}(?:\.[0-9]{1,3})?),'
    rb'"output_bytes":([0-9]{1,18}),'
)
"""How ``encode_outcome`` begins the line of a tile that was written."""


@dataclass(frozen=True, slots=True)
class TileOutcome:
    """What became of one tile.

    Attributes:
        tile: Name of the tile (posix path below its folder, with ``.npz``).
        outcome: ``written``; ``failed`` (read, compute or write); ``invalid`` (the result failed
            the automatic validation); ``skipped`` (an older output was kept on request);
            ``replacing`` (nothing yet: an older output is about to be replaced, and can no longer
            be taken for what was recorded of it).
        fingerprint: What the tile was made from (see fingerprint.py), taken before it was read.
        phase: Where it failed; None unless failed or invalid.
        error_code: Stable code of the error (AX-E...); empty unless failed or invalid.
        message: Why it failed.
        hint: What to do about it.
        seconds: Time spent on this tile, in seconds.
        output_bytes: Size of the output file, in bytes; 0 unless written.
        statistics: Statistics of the tile (flat), None unless written.
        stage_seconds: Time by stage (``read``, ``compute``, ...), in seconds.
    """

    tile: str
    outcome: OutcomeName
    fingerprint: str
    phase: Phase | None = None
    error_code: str = ""
    message: str = ""
    hint: str = ""
    seconds: float = 0.0
    output_bytes: int = 0
    statistics: Mapping[str, StatisticsValue] | None = None
    stage_seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_error(
        cls, tile: str, error: Exception, *, phase: Phase, fingerprint: str, seconds: float = 0.0
    ) -> Self:
        """Describe a tile that failed with ``error`` in ``phase``.

        An ``InvalidOutputError`` gives the outcome ``invalid``, everything else ``failed``. Errors
        that are not axion errors get the code AX-E900 and their type in the message.
        """
        if isinstance(error, AxionError):
            code, message, hint = error.code, error.message, error.hint
        else:
            code, message, hint = _UNEXPECTED_ERROR_CODE, f"{type(error).__name__}: {error}", ""
        return cls(
            tile=tile,
            outcome="invalid" if isinstance(error, InvalidOutputError) else "failed",
            fingerprint=fingerprint,
            phase=phase,
            error_code=code,
            message=_cut(message),
            hint=_cut(hint),
            seconds=seconds,
        )


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


def tile_mark(tile: str) -> bytes:
    """The bytes by which the lines about a tile are known."""
    return b'{"tile":%b,' % _ENCODER.encode(tile).encode("ascii")


def decode_line(line: bytes) -> dict[str, Any] | None:
    """Decode a line of ``encode_line``; None for a line that is torn, damaged or foreign."""
    body = _checked_body(line)
    return None if body is None else _decode_body(body)


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
    if outcome.outcome == "written":
        document["output_bytes"] = outcome.output_bytes
    document["statistics"] = outcome.statistics
    if outcome.stage_seconds:
        document["stage_seconds"] = {k: round(v, 6) for k, v in outcome.stage_seconds.items()}
    return encode_line(document)


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


def _is_well_formed(outcome: TileOutcome) -> bool:
    texts = (outcome.tile, outcome.fingerprint, outcome.error_code, outcome.message, outcome.hint)
    return (
        all(isinstance(text, str) for text in texts)
        and outcome.tile != ""
        and outcome.outcome in OUTCOME_NAMES
        and (outcome.phase is None or outcome.phase in _PHASES)
        and 0 <= outcome.output_bytes < 2**63
        and (outcome.statistics is None or isinstance(outcome.statistics, dict))
        and isinstance(outcome.stage_seconds, dict)
    )


def _cut(text: str) -> str:
    """Shorten, and spell out what is no text (bytes of a file name that are not UTF-8)."""
    return text[:MAX_MESSAGE_LENGTH].encode("utf-8", "backslashreplace").decode()


def _without_non_finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_non_finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# ensure_ascii: a file name that is not valid UTF-8 (lone surrogates) survives the round trip.
# default=float: numpy scalars in the statistics.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=float)
