"""Interleaved timing: contestants take turns, so that a slow minute of the machine hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int = 31, budget_s: float = 0.08
) -> dict[str, float]:
    """Seconds per call: the lower quartile over rounds of the mean within a round.

    Each round gives every contestant a turn of about `budget_s` seconds, in rotating order.
    """
    repeats = {name: _repeats(call, budget_s) for name, call in calls.items()}
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            call, n = calls[name], repeats[name]
            start = time.perf_counter()
            for _ in range(n):
                call()
            seconds[name].append((time.perf_counter() - start) / n)
    return {name: float(np.quantile(values, 0.25)) for name, values in seconds.items()}


def _repeats(call: Callable[[], object], budget_s: float) -> int:
    for _ in range(3):
        call()
    start = time.perf_counter()
    call()
    return max(1, min(1000, int(budget_s / (time.perf_counter() - start + 1e-9))))
