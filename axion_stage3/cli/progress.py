"""How far a command is through its tiles."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable


class TileProgress:
    """A Rich bar with tiles/s and the time left, or, without a terminal, one line at the end.

    Use as a context manager and call `advance` for every tile.

    Args:
        description: What is being done.
        total: Number of tiles.
        note: Writes the line at the end.
        has_bar: Whether a live bar is drawn.
    """

    def __init__(
        self, description: str, total: int, note: Callable[[str], None], *, has_bar: bool
    ) -> None:
        self._note = note
        self._description = description
        self._total = total
        self._n_done = 0
        self._started = time.monotonic()
        self._bar = _make_bar() if has_bar else None
        self._task = self._bar.add_task(description, total=total) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            # A terminal that has gone away must not replace the error that is under way.
            with contextlib.suppress(OSError):
                self._bar.stop()
            return
        seconds = time.monotonic() - self._started
        pace = self._n_done / seconds if seconds > 0 else 0.0
        self._note(
            f"{self._description}: {self._n_done}/{self._total} "
            f"[{_clock(seconds)}, {pace:.2f} tiles/s]"
        )

    def advance(self, n_tiles: int = 1) -> None:
        """Count tiles that are finished, whatever became of them."""
        self._n_done += n_tiles
        if self._bar and self._task is not None:
            self._bar.advance(self._task, n_tiles)


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        # The mean of the run: Rich's own speed leaps where several tiles end at once.
        pace = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{pace:.2f} tiles/s")


def _make_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}: {task.percentage:>3.0f}%"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        _Pace(),
        console=Console(stderr=True),
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
