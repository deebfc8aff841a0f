"""How many processor cores this process may use."""

from __future__ import annotations

import os


def n_usable_cores() -> int:
    """Count the cores that this process may run on; all of them where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
