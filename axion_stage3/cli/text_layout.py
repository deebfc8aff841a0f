"""What the reports of all commands have in common: their width, wrapping, colours."""

from __future__ import annotations

import textwrap
from typing import Final

from axion_stage3.exporting.wording import printable

WIDTH: Final = 80
"""Columns of a report."""

SEVERITY_COLOURS: Final = {"info": "blue", "warning": "yellow", "error": "red"}


def indented(text: str, first: int, rest: int | None = None) -> list[str]:
    """Wrap a text at words, in lines of at most 80 columns.

    What has no break, such as a path, stays whole so that it can be copied.

    Args:
        text: The text; its control characters are made visible.
        first: Spaces before the first line.
        rest: Spaces before the other lines; as many if left out.
    """
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * (first if rest is None else rest),
        break_long_words=False,
        break_on_hyphens=False,
    )
