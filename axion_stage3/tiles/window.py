"""A rectangle of pixels, of a tile or of a whole scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar


class _Pixels(Protocol):
    """An array or a tensor, (..., y, x)."""

    def __getitem__(self, key: Any, /) -> Any: ...


P = TypeVar("P", bound=_Pixels)


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle: rows and columns from a first one to before a last one.

    Attributes:
        top: First row.
        bottom: The row after the last one.
        left: First column.
        right: The column after the last one.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, pixels: P) -> P:
        """Return the window's part of an array or tensor (..., y, x), as a view."""
        part: P = pixels[..., self.top : self.bottom, self.left : self.right]
        return part
