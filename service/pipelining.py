"""uvicorn's HTTP protocol for clients that send requests one behind the other, and perhaps read none of the answers.

Answers come in the order of the requests; the refusal of what is no request comes in its turn too. Whatever a client
sends and however little it reads, its connection holds no more than:

- answers: `HIGH_WATER_LIMIT` bytes (64 KiB) and one answer. No request is begun while the transport holds more: uvicorn
  begins it, and its answer waits beside the one before it.
- requests: the bytes of one read, and what is parsed of `SLICE_BYTES` of them. Nothing is parsed while a request waits
  behind the one that is answered, and nothing is read while something is to be parsed: uvicorn reads on with every
  answer, and parses all of it, to some kilobytes for each request.

What comes behind a refusal is read for `LINGER_S` and thrown away: a connection that is closed on unread bytes is
reset, and the reset may overtake the refusal (RFC 9112, 9.6).

A client that leaves is noticed while something is read or written: one that has sent more than `SLICE_BYTES` ahead may
have one answer computed in vain.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any, Literal

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.connection import Connection
from service.cycle import CycleProtocol
from service.problems import Problem
from service.wire_refusals import no_request, on_the_wire

SLICE_BYTES = 4096
LINGER_S = 1.0
_NOTHING = memoryview(b"")


class PipeliningProtocol(CycleProtocol):
    """Begins a request when those before it are answered and their answers are being read."""

    flow: _Flow
    part: Literal["none", "head", "body"] = "none"
    """Which part of a request the parser is in."""
    _answering: RequestResponseCycle | None = None
    _held: tuple[RequestResponseCycle, ASGI3Application] | None = None
    _refusal: Problem | None = None
    _lingering: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Nothing is read yet."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._connection = Connection(transport.abort)
        self._extensions = self._connection.extensions

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, where uvicorn tells the last one; those behind it never begin."""
        if self._lingering is not None:
            self._lingering.cancel()
        self.cycle = self._answering or self.cycle
        super().connection_lost(exc)
        self._connection.end()

    @property
    def busy(self) -> bool:
        """Whether a request is not answered yet."""
        answering = self._answering is not None and not self._answering.response_complete
        return answering or self._held is not None or bool(self.pipeline)

    def data_received(self, data: bytes) -> None:
        """Parse it, or keep it until there is room for another request."""
        flow = self.flow
        left = flow.unparsed
        if not left and len(data) <= SLICE_BYTES and not self.pipeline and self._refusal is None:
            self.parse(memoryview(data))
            return
        flow.unparsed = memoryview(bytes(left) + data if left else data)
        self._parse_on()
        if flow.unparsed:
            flow.pause_reading()

    def parse(self, piece: memoryview) -> None:
        """The next bytes of requests."""
        try:
            self.feed(piece)
        except Exception as error:  # also of the parser's callbacks: a target that is no URL, or not ASCII
            self.refuse(no_request(error))

    def _parse_on(self) -> None:
        while self.flow.unparsed and not self.pipeline and self._refusal is None:
            piece, self.flow.unparsed = self.flow.unparsed[:SLICE_BYTES], self.flow.unparsed[SLICE_BYTES:]
            self.parse(piece)
        if self._refusal is not None:
            self.flow.unparsed = _NOTHING

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.part = "head"

    def on_headers_complete(self) -> None:
        """A body begins, perhaps an empty one."""
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()
        self.part = "body"
        if self.pipeline:  # uvicorn stops reading, and would not see that the client leaves
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """The next bytes are a head again."""
        super().on_message_complete()
        self.part = "none"

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin a request, or hold it until the answers before it are read."""
        if self.flow.write_paused:
            self._held = (cycle, app)
        else:
            self._answering = cycle
            super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        """The reader has taken enough."""
        super().resume_writing()
        if self._held is not None:
            held, self._held = self._held, None
            self._start_asgi_task(*held)

    def on_response_complete(self) -> None:
        """The next one's turn."""
        super().on_response_complete()
        if self.flow.unparsed and not self.transport.is_closing():
            self._parse_on()
            if not self.pipeline:
                self.flow.resume_reading()
        self._refuse()

    def refuse(self, problem: Problem) -> None:
        """Refuse what is no request, in its turn, and close. What comes after it is thrown away."""
        self._refusal = problem
        if self.part != "body":
            self._refuse()
        elif self.cycle is self._answering:  # it waits for the rest of its own body, which will not come
            self._write(problem)
            self.transport.close()
        else:
            self._forget_last()
            self._refuse()

    def _refuse(self) -> None:
        if self._refusal is None or self._lingering is not None or self.busy or self.transport.is_closing():
            return
        self._write(self._refusal)
        self.transport.write_eof()
        self._lingering = self.loop.call_later(LINGER_S, self.transport.abort)

    def _write(self, problem: Problem) -> None:
        self.transport.write(on_the_wire(problem, self.server_state.default_headers))

    def _forget_last(self) -> None:
        if self.pipeline:
            self.pipeline.popleft()
        else:
            self._held = None


class _Flow(FlowControl):
    """Reads on only when all that was read is parsed."""

    unparsed = _NOTHING

    def resume_reading(self) -> None:
        if not self.unparsed:
            super().resume_reading()
