"""uvicorn's HTTP protocol with a bound on the size of a request's head and on the time it may take to arrive."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.connection import Connection

HEAD_BYTES = 65_536
HEAD_SECONDS = 20.0


class BoundedHead(HttpToolsProtocol):
    """Closes connections whose request line and headers are too long, or do not come."""

    _head_bytes = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._connection = Connection(transport.abort)
        self._extensions = self._connection.extensions
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell the request in progress."""
        self._stop_clock()
        super().connection_lost(exc)
        self._connection.end()

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head is complete."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._timer is None:
                self._timer = self.loop.call_later(HEAD_SECONDS, self._too_late)
        try:
            super().data_received(data)
        except Exception:  # a target that is no URL, or not ASCII: the parser's callbacks raise through it
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_clock()
        self._in_head = False
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are a head again."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def _too_late(self) -> None:
        self._timer = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
