"""Admission: requests in progress and rows in the queue are counted, and what is too much is told when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from service.problems import unavailable

_FIRST_RATE = 10_000.0
_MEMORY = 0.9

State = Literal["serving", "lingering", "draining"]


class Admission:
    """Counts what is in progress. Overload answers 503 with the seconds that the queue will take.

    `state`: `serving`; `lingering` after SIGTERM, unready but still answering; `draining`, refusing new requests.
    """

    def __init__(self, max_requests: int, max_rows: int, drain_s: float) -> None:
        self.max_requests = max_requests
        self.max_rows = max_rows
        self.drain_s = drain_s
        self.requests = 0
        self.rows = 0
        self.rows_per_second = _FIRST_RATE
        self.state: State = "serving"

    def measured(self, rows: int, seconds: float) -> None:
        """Learn the engine's rate: a running mean over its calls."""
        if seconds > 0:
            self.rows_per_second = _MEMORY * self.rows_per_second + (1 - _MEMORY) * rows / seconds

    def retry_after(self, rows: int = 0) -> float:
        """Seconds until the rows in progress, and `rows` more, are computed at the measured rate."""
        return (self.rows + rows) / self.rows_per_second

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one place among the requests in progress. Raises Problem (503)."""
        if self.state == "draining":
            raise unavailable("draining", "the service is shutting down", self.drain_s)
        if self.requests >= self.max_requests:
            raise unavailable("overloaded", f"{self.requests} requests are in progress", self.retry_after())
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def work(self, rows: int) -> Iterator[None]:
        """Hold `rows` rows of the queue; a request is admitted to an empty queue whatever its size. Raises Problem."""
        if self.rows and self.rows + rows > self.max_rows:
            over = self.rows + rows - self.max_rows
            raise unavailable("overloaded", f"{self.rows} rows are queued", over / self.rows_per_second)
        self.rows += rows
        try:
            yield
        finally:
            self.rows -= rows
