"""Seconds per call: by CUDA events for work that stays on the card, by the host's clock for calls that end on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from inference.gpu.card import device_seconds

WARM_UPS = 3


def on_device(call: Callable[[], object], device: torch.device, rounds: int = 9, budget_s: float = 0.05) -> float:
    """Median over rounds of seconds per call of work that the device does asynchronously.

    On a card each round lies between two events; elsewhere the host's clock is right.
    """
    for _ in range(WARM_UPS):
        call()
    seconds = device_seconds if device.type == "cuda" else _by_clock
    repeats = max(1, min(100, int(budget_s / (seconds(call, 1) + 1e-9))))
    return float(np.median([seconds(call, repeats) for _ in range(rounds)]))


def latencies(calls: Mapping[str, Callable[[], object]], count: int) -> dict[str, np.ndarray]:
    """Seconds of `count` single calls of each, which take turns; every call must end with its answer on the host."""
    for call in calls.values():
        for _ in range(WARM_UPS):
            call()
    taken = {name: np.empty(count) for name in calls}
    for turn in range(count):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name][turn] = time.perf_counter() - start
    return taken


def _by_clock(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def median_call(call: Callable[[], object], budget_s: float = 0.4, most: int = 200) -> float:
    """Median seconds of single calls that end on the host: at least five, else as many as fit into the budget."""
    start = time.perf_counter()
    for _ in range(WARM_UPS):
        call()
    count = int(budget_s * WARM_UPS / (time.perf_counter() - start + 1e-9))
    return float(np.median(latencies({"": call}, max(5, min(most, count)))[""]))
