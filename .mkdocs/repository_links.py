"""Links of the pages to files outside docs/ work in the repository, and are names on the site."""

from __future__ import annotations

import re
from typing import Any

LINK = re.compile(r"\[([^\]]*)\]\(\.\./([^)]*)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Write ``[text](../path)`` as the text and the path in the repository."""
    return LINK.sub(
        lambda link: (
            f"`{link[2]}`" if link[1].strip("`") == link[2] else f"{link[1]} (`{link[2]}`)"
        ),
        markdown,
    )
