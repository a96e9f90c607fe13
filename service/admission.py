"""Admission: requests in progress and rows in the queue are counted, and what is too much is told when to come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from service.problems import unavailable

State = Literal["serving", "lingering", "draining"]


class Admission:
    """Counts what is in progress. Overload answers 503 with the seconds that the queue will take: `backlog()`.

    `state`: `serving`; `lingering` after SIGTERM, unready but still answering; `draining`, refusing new requests.
    """

    def __init__(
        self, max_requests: int, max_rows: int, drain_s: float, backlog: Callable[[], float], max_streams: int = 64
    ) -> None:
        self.max_requests = max_requests
        self.max_streams = max_streams
        self.streams = 0
        self.max_rows = max_rows
        self.drain_s = drain_s
        self.backlog = backlog
        self.requests = 0
        self.rows = 0
        self.state: State = "serving"

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one place among the requests in progress. Raises Problem (503)."""
        if self.state == "draining":
            raise unavailable("draining", "the service is shutting down", self.drain_s)
        if self.requests >= self.max_requests:
            raise unavailable("overloaded", f"{self.requests} requests are in progress", self.backlog())
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Hold one place among the answers that stream. Raises Problem (503)."""
        if self.streams >= self.max_streams:
            raise unavailable("overloaded", f"{self.streams} answers are being streamed", self.backlog())
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    @contextmanager
    def work(self, rows: int, *, admitted: bool = False) -> Iterator[None]:
        """Hold `rows` rows of the queue; a request is admitted to an empty queue whatever its size. Raises Problem.

        `admitted`: the next rows of a stream that has begun, which are counted but not refused.
        """
        if not admitted and self.rows and self.rows + rows > self.max_rows:
            raise unavailable("overloaded", f"{self.rows} rows are queued", self.backlog())
        self.rows += rows
        try:
            yield
        finally:
            self.rows -= rows
