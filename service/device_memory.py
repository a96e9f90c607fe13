"""How much of the device's memory the versions on it may take together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

SHARE = 0.8  # of a card's free memory: the rest is for the rows that are computed


def memory_budget(setting: int | Literal["none"] | None, device: str, free: Callable[[str], int]) -> int | None:
    """Bytes, or None for no limit; where nothing is set, a share of what `free(device)` says, on the CPU no limit.

    >>> memory_budget(None, "cuda:0", lambda device: 1000), memory_budget(None, "cpu", lambda device: 1000)
    (800, None)
    >>> memory_budget(10, "cuda:0", lambda device: 1000), memory_budget("none", "cuda:0", lambda device: 1000)
    (10, None)
    """
    if setting is None:
        return None if device == "cpu" else int(SHARE * free(device))
    return None if setting == "none" else int(setting)
