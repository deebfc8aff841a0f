"""Texts from files made fit to be shown: tile names are whatever somebody called a file."""

from __future__ import annotations

import math


def printable(text: str) -> str:
    """Make a text harmless on a terminal: control characters become visible escapes."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def shortened(text: str, n_letters: int) -> str:
    """Cut a text in its middle, so that both ends of a tile's name stay to be read.

    Args:
        text: The text.
        n_letters: Most letters of the result, at least 3.
    """
    if len(text) <= n_letters:
        return text
    n_end = max((n_letters - 1) // 2, 1)
    return f"{text[: n_letters - 1 - n_end]}…{text[-n_end:]}"


def counted(number: int, noun: str) -> str:
    """``1 tile``, ``1,200 tiles``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def decimal(value: float | None) -> str:
    """A number with four decimals, in powers of ten if that would show nothing, ``-`` for none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.1e}" if 0 < abs(value) < 0.00005 else f"{value:.4f}"
