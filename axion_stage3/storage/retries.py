"""Trying again what may pass by itself, and not what will not."""

from __future__ import annotations

import errno
import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

from axion_stage3.storage.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N_ATTEMPTS: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 8.0

RETRIES_USED_UP: Final = getattr(errno, "EREMOTEIO", errno.EPROTO)
"""``errno`` of what failed in every attempt: it concerns one request, and another may succeed."""

_TRANSIENT_STATUS: Final = frozenset({408, 425, 429})
_MAX_REASON_LENGTH: Final = 300
_MAX_CAUSES: Final = 8

T = TypeVar("T")


def with_retries(request: Callable[[], T]) -> T:
    """Make a request, and again after ever longer pauses while its failure may be a passing one.

    The pauses double from a quarter of a second and are drawn at random between half and the whole
    of that, so that many workers do not come back at the same moment.

    Args:
        request: Makes the request once.

    Raises:
        OSError: It failed for good; ``strerror`` is the reason, ``errno`` is ENOENT for what is not
            there, EACCES for what is not allowed, ``RETRIES_USED_UP`` after the last attempt.
    """
    for attempt in range(N_ATTEMPTS):
        try:
            return request()
        except Exception as error:
            permanent = _permanent(error)
            if permanent is not None:
                raise permanent from error
            if attempt == N_ATTEMPTS - 1:
                reason = f"no success in {N_ATTEMPTS} attempts, the last one: {_reason(error)}"
                raise OSError(RETRIES_USED_UP, reason) from error
            time.sleep(_pause(attempt))
    raise AssertionError("the last attempt returns or raises")


def _pause(attempt: int) -> float:
    longest: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def _permanent(error: Exception) -> OSError | None:
    """What the failure says if another attempt would fail too; None if it may pass."""
    status = next((found for found in map(_status, causes_of(error)) if found is not None), None)
    names = {type(cause).__name__ for cause in causes_of(error)}
    if any("Credential" in name or "TokenRetrieval" in name for name in names):
        return PermissionError(errno.EACCES, f"no usable credentials: {_reason(error)}")
    if isinstance(error, PermissionError) or status in (401, 403):
        return PermissionError(errno.EACCES, f"access is denied: {_reason(error)}")
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(errno.ENOENT, f"it is not there: {_reason(error)}")
    if status is not None:
        is_passing = status >= 500 or status in _TRANSIENT_STATUS
        return None if is_passing else OSError(errno.EINVAL, _reason(error))
    if isinstance(error, OSError) or _is_of_network(names, error):
        return None
    return OSError(errno.EINVAL, f"{type(error).__name__}: {_reason(error)}")


def _is_of_network(names: set[str], error: Exception) -> bool:
    signs = ("Timeout", "Connect", "Closed", "Incomplete", "Payload", "Disconnect", "ParserError")
    library = type(error).__module__.partition(".")[0]
    is_of_library = library in (
        "botocore",
        "aiobotocore",
        "aiohttp",
        "asyncio",
        "requests",
        "azure",
    )
    return is_of_library and any(sign in name for name in names for sign in signs)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error of botocore, gcsfs or Azure, each of which keeps it elsewhere."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        metadata = response.get("ResponseMetadata")
        found = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
        return found if isinstance(found, int) else None
    for name in ("status_code", "code", "status"):
        found = getattr(error, name, None)
        if isinstance(found, int) and 100 <= found < 600:
            return found
    return None


def _reason(error: BaseException) -> str:
    """What went wrong, in one line that holds no credentials."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    elif isinstance(error, TimeoutError):
        text = "no answer in time"
    else:
        text = " ".join(str(argument) for argument in error.args) or type(error).__name__
    return redacted(" ".join(text.split()))[:_MAX_REASON_LENGTH].rstrip(". ")
