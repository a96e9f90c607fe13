"""How many cores of the host this process may use."""

from __future__ import annotations

import os


def own_cores() -> int:
    """Those of its affinity, where the system has one; else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
