"""Pieces of HTML: every text goes through `escaped`, since tile names may hold anything."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from axion_stage3.exporting.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def escaped(text: object) -> str:
    """Make a text harmless between tags and inside quoted attributes.

    Control characters, among them those that turn the direction of writing, become visible.
    """
    return escape(printable(str(text)), quote=True)


def section(anchor: str, title: str, *body: str) -> str:
    """A part of the page with a heading that can be linked to; ``body`` is HTML."""
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n'
        f'<h2 id="{anchor}-title">{escaped(title)}</h2>\n' + "\n".join(body) + "\n</section>"
    )


def facts(entries: Iterable[tuple[str, str]], kind: str) -> str:
    """A list of labels and values, both plain texts."""
    pairs = "".join(
        f"<div><dt>{escaped(label)}</dt><dd>{escaped(value)}</dd></div>" for label, value in entries
    )
    return f'<dl class="{kind}">{pairs}</dl>'


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    n_texts: int,
    identifier: str = "",
) -> str:
    """A table that scrolls sideways where it is too wide, also by the keyboard.

    Args:
        headings: Plain texts.
        rows: Cells as HTML.
        caption: What the table holds, for those who do not see it.
        n_texts: The first columns, which hold texts; the others hold numbers.
        identifier: Its ``id``; none if empty.
    """
    kinds = [' class="text"' if place < n_texts else "" for place in range(len(headings))]
    head = "".join(
        f'<th scope="col"{kind}>{escaped(heading)}</th>'
        for heading, kind in zip(headings, kinds, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    name = f' id="{identifier}"' if identifier else ""
    return (
        f'<div class="scroll" role="region" aria-label="{escaped(caption)}" tabindex="0">'
        f"<table{name}><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
