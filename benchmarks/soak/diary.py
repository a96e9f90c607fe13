"""What happened: requests by kind and outcome, latencies in time, and what the process held."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tests.support.service_process import Vitals

Outcome = Literal["answered", "refused", "shed", "left", "interrupted", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("answered", "refused", "shed", "left", "interrupted", "failed")


@dataclass(frozen=True)
class Restart:
    """A signal, the exit code, and until the first answer of the new process: seconds, and those it computed."""

    signal: str
    code: int
    seconds: float
    cpu_seconds: float


@dataclass
class Diary:
    """`refused`: a bad body, by a 4xx. `shed`: 503 or 504. `left`: cancelled by us. `interrupted`: by our signal.

    `failed` is everything else: another 5xx, a wrong answer, half of one, a connection that ends by itself.
    """

    outcomes: defaultdict[str, Counter[Outcome]] = field(default_factory=lambda: defaultdict(Counter))
    latencies: list[tuple[float, float]] = field(default_factory=list)
    vitals: list[tuple[float, Vitals]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    moves: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started

    def add(self, kind: str, outcome: Outcome) -> None:
        """Count one request."""
        self.outcomes[kind][outcome] += 1

    def fail(self, kind: str, why: str) -> None:
        """Count one failure and keep what it was."""
        self.add(kind, "failed")
        self.failures.append(f"{self.now:.1f} s, {kind}: {why}"[:300])

    def total(self, outcome: Outcome | None = None) -> int:
        """Requests of all kinds."""
        return sum(sum(counts.values()) if outcome is None else counts[outcome] for counts in self.outcomes.values())

    def line(self, seconds: float) -> str:
        """Where it stands."""
        memory = f"{self.vitals[-1][1].memory_mib:.0f} MiB" if self.vitals else ""
        recent = [latency for at, latency in self.latencies if at > self.now - 30]
        p99 = f"p99 {1e3 * p99_of(recent):.0f} ms" if recent else ""
        counts = f"{self.total()} requests, {self.total('failed')} failed, {len(self.restarts)} restarts"
        return f"{self.now:6.0f} of {seconds:.0f} s: {counts}, {memory}, {p99}"


def p99_of(latencies: Sequence[float]) -> float:
    """Of one third of a life, say; NaN where there is nothing.

    >>> p99_of([0.1] * 99 + [9.0])
    0.1
    """
    return float(np.quantile(latencies, 0.99, method="lower")) if latencies else float("nan")


def thirds(points: Sequence[tuple[float, float]], end: float) -> tuple[list[float], list[float]]:
    """Values of the first and of the last third of [0, end].

    >>> thirds([(0, 1.0), (5, 2.0), (9, 3.0), (20, 4.0)], 9)
    ([1.0], [3.0])
    """
    return [y for at, y in points if at < end / 3], [y for at, y in points if 2 * end / 3 < at <= end]
