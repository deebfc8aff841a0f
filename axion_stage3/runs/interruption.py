"""SIGINT and SIGTERM: the first asks the run to stop, the second stops it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_EXIT_BASE: Final = 128

ECHO_SECONDS: Final = 0.1


class Interruption:
    """Context manager in which signals set an event instead of raising.

    - First SIGINT or SIGTERM: ``event`` is set. The run drops or finishes its batch in flight,
      closes its journal and manifest, and ends with ``exit_code`` (130 or 143).
    - Second signal of either kind: the process ends at once with that exit code. Nothing is
      cleaned up, and nothing needs to be: outputs are whole or absent, the journal is written
      without a buffer, and the next run takes the lease over and sweeps temporary files. A signal
      within ``ECHO_SECONDS`` of the first is its echo (a terminal and a wrapper such as ``timeout``
      both pass it on) and does not count.

    The former handlers come back when the context is left, in whatever way. A signal that was
    ignored (``nohup``) stays ignored. Outside the main thread Python allows no handlers: then the
    context does nothing, and ``event`` may still be set by the caller.

    Attributes:
        event: Set when the run is to stop. Only other threads may wait on it: Python runs handlers
            in the main thread, where one that waits would hold the lock that setting needs. The
            main thread asks ``is_requested``.
        signal_number: The signal that came first, None if none came.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal_number: int | None = None
        self._first = 0.0
        self._former: dict[signal.Signals, Any] = {}

    @property
    def is_requested(self) -> bool:
        """Whether the run is to stop."""
        return self.event.is_set()

    @property
    def exit_code(self) -> int:
        """130 after SIGINT (or a stop without a signal), 143 after SIGTERM."""
        return _SIGNAL_EXIT_BASE + (self.signal_number or signal.SIGINT)

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        try:
            for number in _SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._former[number] = signal.signal(number, self._on_signal)
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal_number is not None:
            if now - self._first < ECHO_SECONDS:
                return
            os._exit(self.exit_code)
        self.signal_number, self._first = number, now
        self.event.set()

    def _restore(self) -> None:
        # One at a time, forgetting each only when it is back: an exception that a restored handler
        # raises between two steps leaves nothing behind that a second call would not put right.
        while self._former:
            number, former = next(iter(self._former.items()))
            signal.signal(number, former)
            self._former.pop(number, None)
