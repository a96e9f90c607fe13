"""uvicorn's cycle of a request and its answer, with the answer's head written together with what follows it.

A head of its own costs a system call, and wakes a client that has nothing to do yet. The bytes are those that uvicorn
writes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import lru_cache
from time import monotonic
from typing import Any
from urllib.parse import unquote

import httptools
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.alarm import Alarm
from service.upgrades import OneProtocol

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = bytes(set(range(32)) - {9} | {127})
_BODILESS = (204, 304)
CLOSE = (b"connection", b"close")


class CycleProtocol(OneProtocol):
    """Answers by a `Cycle`."""

    _idle: Alarm

    def connection_made(self, transport: Any) -> None:
        """Nothing is asked yet."""
        super().connection_made(transport)
        self._idle = Alarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will be asked."""
        self._idle.close()
        super().connection_lost(exc)

    def _unset_keepalive_if_required(self) -> None:
        self._idle.off()

    def on_response_complete(self) -> None:
        """As uvicorn has it, but that the wait for the next request costs no timer of its own."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle.set(monotonic() + self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_headers_complete(self) -> None:
        """Begin the request, or let it wait for those before it."""
        parser, scope, before = self.parser, self.scope, self.cycle
        if parser.should_upgrade() and self._should_upgrade():
            return
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + url.path
        scope["query_string"] = url.query or b""
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    _head = b""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Write a part of the answer, or do nothing for a client that has left.

        Raises:
            RuntimeError: it is no part of this answer, or the parts before it say something else.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            self._head = self._begin(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"no place in this answer for a message {kind!r}")

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The head, which decides how the end of the body is told."""
        fields, closes = [*self.default_headers, *headers], False
        for name, value in fields:
            name = name.lower()
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                closes, self.keep_alive = True, False
        if not self.keep_alive and not closes:
            fields.append(CLOSE)
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            fields.append((b"transfer-encoding", b"chunked"))
        return head(status, fields)

    def _go_on(self, body: bytes, more: bool) -> None:
        """Write a piece of the body, behind the head if that is still to be written."""
        pieces, self._head = [self._head], b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            pieces += (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
            pieces += () if more else (b"0\r\n\r\n",)
        else:
            self.expected_content_length -= len(body)
            pieces.append(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("the body is not as long as its Content-Length")
        self.transport.writelines(pieces)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer, with the empty line that ends it. Raises RuntimeError for a field that would break it."""
    lines = [STATUS_LINE[status], *[_begun(name) + value + b"\r\n" for name, value in fields]]
    text = b"".join(lines)
    if len(text) - len(text.translate(None, _CONTROLS)) != 2 * len(lines):
        raise RuntimeError("a header's value must not have control characters")
    return text + b"\r\n"


@lru_cache(maxsize=256)
def _begun(name: bytes) -> bytes:
    """The line of a header as it begins."""
    name = name.lower()
    if not _TOKEN.fullmatch(name):
        raise RuntimeError("a header's name must be a token")
    return name + b": "
