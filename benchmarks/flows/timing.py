"""Interleaved timing: contestants take turns, so that a slow minute of the machine hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int = 31, budget_s: float = 0.08
) -> dict[str, list[float]]:
    """Seconds per call in each round, the mean within it.

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
    return seconds


def quartile(seconds: Sequence[float]) -> float:
    """The lower one, over rounds: what a call takes while the machine is not disturbed."""
    return float(np.quantile(seconds, 0.25))


def ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slows a whole round down is not in it.

    >>> ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.0])
    2.0
    """
    return float(np.median(np.divide(some, others)))


def _repeats(call: Callable[[], object], budget_s: float) -> int:
    for _ in range(3):
        call()
    start = time.perf_counter()
    call()
    return max(1, min(1000, int(budget_s / (time.perf_counter() - start + 1e-9))))
