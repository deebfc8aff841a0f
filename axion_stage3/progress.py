"""How long work says how far it is, without knowing who shows it."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Advancing(Protocol):
    """Something that counts what is done."""

    def advance(self, n_tiles: int = 1) -> None:
        """Count tiles that are done."""


class Progress(Protocol):
    """Shows how far the work is."""

    def __call__(self, description: str, total: int) -> AbstractContextManager[Advancing]:
        """Begin a part of the work with ``total`` tiles."""


@contextmanager
def no_progress(description: str, total: int) -> Iterator[Advancing]:
    """Show nothing."""
    del description, total
    yield _Silent()


class _Silent:
    def advance(self, n_tiles: int = 1) -> None:
        del n_tiles
