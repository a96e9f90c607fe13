"""The service's HTTP protocol: `service.whole` with bounds on the size of a head, and on the time it may take to
send a head, to send a body that nobody waits for, or to take an answer that is complete."""

from __future__ import annotations

import asyncio
from typing import Any

from service.lane import Known, Lane
from service.settings import Settings
from service.whole import WholeProtocol
from service.wire_refusals import long_head

HEAD_BYTES = 65_536


def bounded_protocol(settings: Settings, lane: Lane) -> type[BoundedProtocol]:
    """The protocol class with the times of `settings`, for the app that `lane` belongs to."""
    own = {"lane": lane, "head_seconds": settings.head_timeout_s, "stall_seconds": settings.stall_timeout_s}
    return type("BoundedProtocol", (BoundedProtocol,), own)


class BoundedProtocol(WholeProtocol):
    """Closes connections whose request does not come, or whose answer is not taken."""

    head_seconds: float
    stall_seconds: float
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_clock()
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(exc)

    def parse(self, piece: memoryview) -> None:
        """Count what comes before the head is complete."""
        if self.part != "body":
            self._head_bytes += len(piece)
        super().parse(piece)
        if self.part == "body":
            return
        if self._head_bytes > HEAD_BYTES:
            self.refuse(long_head(self.url if self.part == "head" else b"", HEAD_BYTES))
        elif self.part == "head" or self._head_bytes:  # only a head that did not come at once needs a clock
            self._start_clock()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_clock()
        super().on_headers_complete()

    def begin(self, known: Known, body: bytes) -> None:
        """A whole request is there."""
        self._head_bytes = 0
        self._stop_clock()
        super().begin(known, body)

    def on_message_complete(self) -> None:
        """The next head may take its time again."""
        super().on_message_complete()
        self._head_bytes = 0
        self._stop_clock()

    def on_response_complete(self) -> None:
        """Wait for the reader, and for the rest of a request that was begun; neither for ever."""
        super().on_response_complete()
        self._stop_clock()
        if self.part != "none":
            self._start_clock()
        if self._stall is not None:
            self._stall.cancel()
        self._watch_reader()

    def _watch_reader(self) -> None:
        self._stall = None
        if left := self.transport.get_write_buffer_size():
            self._stall = self.loop.call_later(self.stall_seconds, self._check_reader, left)

    def _check_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch_reader()
        else:
            self.transport.abort()

    def _start_clock(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._too_late)

    def _too_late(self) -> None:
        """Close, unless a request before this one is still answered: then the clock starts again after it."""
        self._timer = None
        if not self.busy and not self.transport.is_closing():
            self.transport.close()

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
