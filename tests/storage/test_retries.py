"""What is tried again, how often, and with which pauses."""

from __future__ import annotations

import errno
import time
from types import SimpleNamespace

import pytest

from axion_stage3.storage import retries
from axion_stage3.storage.retries import N_ATTEMPTS, RETRIES_USED_UP, with_retries


class StatusError(Exception):
    """An HTTP status, kept where gcsfs and Azure keep it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


def boto_error(status: int) -> OSError:
    """What s3fs makes of an error of botocore."""
    cause = Exception("An error occurred")
    cause.response = {"ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    error = OSError(errno.EIO, "translated")
    error.__cause__ = cause
    return error


class NoCredentialsError(Exception):
    pass


class ReadTimeoutError(Exception):
    pass


ReadTimeoutError.__module__ = "botocore.exceptions"


class Request:
    """Fails as often as it has errors, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.n_calls = 0

    def __call__(self) -> str:
        self.n_calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=taken.append))
    return taken


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        OSError(errno.EBUSY, "slow down"),
        boto_error(500),
        boto_error(503),
        StatusError(429),
        StatusError(408),
        StatusError(502),
        ReadTimeoutError("nothing came"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(error: Exception, pauses: list[float]) -> None:
    request = Request(error, error)
    assert with_retries(request) == "done"
    assert (request.n_calls, len(pauses)) == (3, 2)


@pytest.mark.parametrize(
    ("error", "number", "reason"),
    [
        (FileNotFoundError("key"), errno.ENOENT, "not there"),
        (PermissionError("no"), errno.EACCES, "access is denied"),
        (boto_error(403), errno.EACCES, "access is denied"),
        (boto_error(404), errno.ENOENT, "not there"),
        (StatusError(401), errno.EACCES, "access is denied"),
        (boto_error(400), errno.EINVAL, "translated"),
        (StatusError(412), errno.EINVAL, "status 412"),
        (NoCredentialsError("none"), errno.EACCES, "no usable credentials"),
        (ValueError("odd"), errno.EINVAL, "ValueError: odd"),
    ],
    ids=str,
)
def test_what_will_not_pass_is_not(
    error: Exception, number: int, reason: str, pauses: list[float]
) -> None:
    request = Request(error, error)
    with pytest.raises(OSError, match=reason) as caught:
        with_retries(request)
    assert (caught.value.errno, request.n_calls, pauses) == (number, 1, [])


def test_attempts_are_used_up(pauses: list[float]) -> None:
    request = Request(
        *[TimeoutError(f"no answer from http://u:pw@host/?sig={i}") for i in range(99)]
    )
    with pytest.raises(OSError, match=f"no success in {N_ATTEMPTS} attempts") as caught:
        with_retries(request)
    assert caught.value.errno == RETRIES_USED_UP
    assert request.n_calls == N_ATTEMPTS
    assert "pw" not in str(caught.value)
    assert "sig" not in str(caught.value)
    longest = [0.25, 0.5, 1.0, 2.0, 4.0]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert len(set(pauses)) == len(pauses)


def test_keyboard_interrupts_are_not_held_up() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with_retries(interrupted)
    assert time.monotonic() - began < 1
