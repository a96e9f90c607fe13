"""How much memory attacks take beyond their own size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class HasBody(Protocol):
    """An attack of any protocol."""

    @property
    def body(self) -> bytes: ...


AttackT = TypeVar("AttackT", bound=HasBody)


def largest_excess(attacks: Iterable[AttackT], send: Callable[[AttackT], object]) -> int:
    """The largest peak, over all attacks, of Python's own allocations (numpy's too) beyond 20 times the body."""
    largest = 0
    tracemalloc.start()
    try:
        for attack in attacks:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            send(attack)
            _, peak = tracemalloc.get_traced_memory()
            largest = max(largest, peak - before - 20 * len(attack.body))
    finally:
        tracemalloc.stop()
    return largest
