"""uvicorn's HTTP protocol with bounds on what a client may hold: the size of a head, and the time it may take to send
a head, to send a body that nobody waits for, or to take an answer that is complete."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.connection import Connection
from service.settings import Settings

HEAD_BYTES = 65_536


def bounded_protocol(settings: Settings) -> type[BoundedProtocol]:
    """The protocol class with the times of `settings`."""
    times = {"head_seconds": settings.head_timeout_s, "stall_seconds": settings.stall_timeout_s}
    return type("BoundedProtocol", (BoundedProtocol,), times)


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request does not come, or whose answer is not taken."""

    head_seconds: float
    stall_seconds: float
    _head_bytes = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._connection = Connection(transport.abort)
        self._extensions = self._connection.extensions
        self._cycles: list[RequestResponseCycle] = []
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, and tell every request that is in progress: uvicorn tells the last pipelined one alone."""
        self._stop_clock()
        if self._stall is not None:
            self._stall.cancel()
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)
        self._connection.end()

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head is complete."""
        if self._in_head:
            self._head_bytes += len(data)
        try:
            super().data_received(data)
        except Exception:  # a target that is no URL, or not ASCII: the parser's callbacks raise through it
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_head and self._head_bytes and not self.transport.is_closing():
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("The request's head is too long.")
            else:
                self._start_clock()

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._timer is not None:
            self._stop_clock()
        self._in_head = False
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()
        self._cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        """The next bytes are a head again."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0
        if self._timer is not None:
            self._stop_clock()

    def on_response_complete(self) -> None:
        """Wait for the reader, and for the rest of a body that was answered before it was there; neither for ever."""
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        super().on_response_complete()
        if not self._in_head:
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
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
