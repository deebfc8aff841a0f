"""Keeping credentials out of what is printed and logged."""

from __future__ import annotations

import re
from typing import Final

_USER: Final = re.compile(r"(://)[^/\s'\"]*@")
_QUERY: Final = re.compile(r"\?[^\s'\"]*")


def redacted(text: str) -> str:
    """The text without users, passwords and queries in the URLs that it holds."""
    return _QUERY.sub("?...", _USER.sub(r"\1***@", text)) if "://" in text else text
