"""Memory that is freed stays with the process, to be used for the next tile.

The C library gives freed memory back to the system as soon as 128 KiB lie idle at the end of its
heap, and asks for it again at the next array. For arrays the size of a tile that is several hundred
page faults a tile, each of which the kernel answers with a page that it has zeroed.
"""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 256 << 20
_LARGEST_IN_HEAP_BYTES: Final = 32 << 20
"""The most that the C library of GNU takes."""


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory; changes nothing but speed.

    Returns:
        Whether this C library can be told (that of GNU can).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return bool(
        mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    )


def give_freed_memory_back() -> None:
    """Return what lies idle to the system: once the tiles are done, other things need room."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
