"""Admission: requests in progress and rows in the queue are counted, and what is too much is told when to come back."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
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

    def request(self) -> Place:
        """Hold one place among the requests in progress. Raises Problem (503)."""
        if self.state == "draining":
            raise unavailable("draining", "the service is shutting down", self.drain_s)
        if self.requests >= self.max_requests:
            raise unavailable("overloaded", f"{self.requests} requests are in progress", self.backlog())
        return Place(self, requests=1)

    def stream(self) -> Place:
        """Hold one place among the answers that stream. Raises Problem (503)."""
        if self.streams >= self.max_streams:
            raise unavailable("overloaded", f"{self.streams} answers are being streamed", self.backlog())
        return Place(self, streams=1)

    def work(self, rows: int, *, admitted: bool = False) -> Place:
        """Hold `rows` rows of the queue; a request is admitted to an empty queue whatever its size. Raises Problem.

        `admitted`: the next rows of a stream that has begun, which are counted but not refused.
        """
        if not admitted and self.rows and self.rows + rows > self.max_rows:
            raise unavailable("overloaded", f"{self.rows} rows are queued", self.backlog())
        return Place(self, rows=rows)


class Place:
    """What is held of an admission, from now until the block ends."""

    __slots__ = ("_admission", "_requests", "_rows", "_streams")

    def __init__(self, admission: Admission, requests: int = 0, streams: int = 0, rows: int = 0) -> None:
        self._admission, self._requests, self._streams, self._rows = admission, requests, streams, rows
        admission.requests += requests
        admission.streams += streams
        admission.rows += rows

    def __enter__(self) -> None:
        """It is counted already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """And no more."""
        admission = self._admission
        admission.requests -= self._requests
        admission.streams -= self._streams
        admission.rows -= self._rows
