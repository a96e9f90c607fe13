"""The protocol's part in the short way: a request that came whole, in one read, goes down the lane.

Whether it does is seen when what was read is parsed: one whose body goes on in another read or behind a slice of it
(`service.pipelining`), or that waits behind another one, goes the app's way.
"""

from __future__ import annotations

from asyncio import Task
from typing import Any

from starlette.responses import Response

from service.cycle import CLOSE, head
from service.lane import Known, Lane
from service.metrics import RequestRecord
from service.middleware import stamped, usual_head
from service.pipelining import PipeliningProtocol
from service.rendering import Whole

_END = b"\r\n\r\n"


class WholeProtocol(PipeliningProtocol):
    """Answers whole requests by the lane, where they may begin at once."""

    lane: Lane
    _known: Known | None = None
    """What the head means of a request whose body is being parsed; None for one that goes the app's way."""
    _read = b""
    """What is being parsed, where that is the beginning of a request."""

    def data_received(self, data: bytes) -> None:
        """A request whose head is known by its bytes needs no parser."""
        if self.part == "none" and self._free:
            behind = data.find(_END) + len(_END)
            known = self.lane.recall(data[:behind], len(data) - behind)
            if known is not None:
                self.begin(known, data[behind:])
                return
            self._read = data
        super().data_received(data)
        self._read = b""

    def on_message_begin(self) -> None:
        """A head begins; the scope is made when it is known that the app needs one."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.part = "head"

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Look whether the lane is free, and wants it."""
        parser = self.parser
        persists = parser.get_http_version() == "1.1" and parser.should_keep_alive()
        if self._free and persists and parser.get_method() == b"POST":
            self._known = self.lane.read(self.url, self.headers)
        if self._known is None:
            self._open()
        else:
            self._pieces: list[bytes] = []
            self.part = "body"

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._known is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        known = self._known
        if known is not None:
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            if len(body) <= known.exchange.limit.maximum:
                head = self._read[: -len(body)]
                if head.find(_END) + len(_END) == len(head):  # nothing else was read
                    self.lane.remember(head, known, len(body))
                self._known = None
                self.part = "none"
                self.begin(known, body)
                return
            self._go_the_long_way()
        super().on_message_complete()

    def parse(self, piece: memoryview) -> None:
        """The next bytes of requests; a body that is not complete with them goes the app's way."""
        super().parse(piece)
        if self._known is not None and self._refusal is None:
            self._go_the_long_way()
        self._known = None

    @property
    def _free(self) -> bool:
        """Whether a request may begin at once."""
        idle = self.cycle is None or self.cycle.response_complete
        return idle and not self.flow.write_paused and not self.flow.unparsed and self._refusal is None

    def begin(self, known: Known, body: bytes) -> None:
        """Answer a whole request."""
        self._unset_keepalive_if_required()
        cycle = WholeCycle(self)
        self.cycle = self._answering = cycle  # type: ignore[assignment]
        cycle.task = self.loop.create_task(self.lane.answer(known, body, self._connection, cycle))
        self.tasks.add(cycle.task)

    def _go_the_long_way(self) -> None:
        self._known = None
        self._open()
        for piece in self._pieces:
            super().on_body(piece)

    def _open(self) -> None:
        """Begin the request as the app takes it: its head is complete."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        self.headers = self.scope["headers"] = headers
        super().on_headers_complete()


class _Nobody:
    """Who waits for a piece of a request that is whole."""

    def set(self) -> None:
        """There is none."""


class WholeCycle:
    """A request that came whole, and its answer: what uvicorn and those behind it in line look at."""

    message_event = _Nobody()
    response_complete = False
    disconnected = False
    keep_alive = True
    task: Task[None]

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, response: Response, record: RequestRecord) -> None:
        """The whole answer, unless the client has left."""
        protocol = self._protocol
        if self.disconnected:
            return
        begin = protocol.server_state.default_headers
        if self.keep_alive and type(response) is Whole:
            start = usual_head(begin, response, record)
        else:
            ends = () if self.keep_alive else (CLOSE,)
            start = head(response.status_code, (*begin, *stamped(response.raw_headers, record), *ends))
        protocol.transport.write(start + response.body)
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()

    def end(self) -> None:
        """The server need not wait for it any more, where it shuts down."""
        self._protocol.tasks.discard(self.task)
