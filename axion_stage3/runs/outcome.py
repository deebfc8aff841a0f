"""What became of one tile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from axion_stage3.errors import AxionError, InvalidOutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

OutcomeName = Literal["written", "failed", "invalid", "skipped", "replacing"]
Phase = Literal["read", "compute", "check", "write"]
StatisticsValue = float | int | str | None

OUTCOME_NAMES: Final[tuple[OutcomeName, ...]] = get_args(OutcomeName)
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

MAX_MESSAGE_LENGTH: Final = 2000
"""Longer messages are cut in the journal: a line must stay a line that can be read."""

_UNEXPECTED_ERROR_CODE: Final = "AX-E900"


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
        output_bytes: Size of the output file, in bytes; 0 unless written, or kept and known.
        statistics: Statistics of the tile (flat), None unless written, or kept and known.
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


def _cut(text: str) -> str:
    """Shorten, and spell out what is no text (bytes of a file name that are not UTF-8)."""
    return text[:MAX_MESSAGE_LENGTH].encode("utf-8", "backslashreplace").decode()
