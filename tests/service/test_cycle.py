"""Our cycle writes what uvicorn's writes, to the byte, and a whole answer at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.cycle import Cycle

DATE = [(b"date", b"Sun, 22 Nov 2026 21:40:31 GMT")]


class Wire:
    """A transport that keeps what is written, by call."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.writes.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def answer(
    kind: type[RequestResponseCycle], messages: list[dict[str, Any]], method: str, keep_alive: bool
) -> tuple[Wire, RequestResponseCycle, list[str], str | None]:
    """What became of an answer: its wire, its cycle, how often it was complete, and what was wrong with it."""
    wire: Any = Wire()
    scope: Any = {"type": "http", "method": method}
    completed: list[str] = []

    async def run() -> tuple[RequestResponseCycle, str | None]:
        cycle = kind(
            scope=scope,
            transport=wire,
            flow=FlowControl(wire),
            logger=logging.getLogger(),
            access_logger=logging.getLogger(),
            access_log=False,
            default_headers=DATE,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=lambda: completed.append("complete"),
        )
        try:
            for message in messages:
                await cycle.send(message)  # type: ignore[arg-type]
        except RuntimeError:
            return cycle, "refused"
        return cycle, None

    cycle, wrong = asyncio.run(run())
    return wire, cycle, completed, wrong


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(piece: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, "more_body": more}


HEADERS = st.sampled_from(
    [
        (b"Content-Type", b"text/plain"),
        (b"retry-after", b"2\t"),
        (b"connection", b"close"),
        (b"Connection", b"Upgrade, Close"),
        (b"connection", b"keep-alive"),
        (b"transfer-encoding", b"Chunked"),
        (b"content-length", b"4"),
        (b"content-length", b"0"),
        (b"x-bad", b"a\r\nset-cookie: b"),
        (b"x-bad", b"a\x00"),
        (b"x-bad", b"\x7f"),
        (b"x bad", b"a"),
        (b"x:bad", b"a"),
    ]
)
PIECES = st.sampled_from([b"", b"1", b"12", b"1234", b"12345"])
MESSAGES = st.one_of(
    st.builds(start, st.sampled_from([200, 204, 304, 503])),
    st.builds(body, PIECES, st.booleans()),
    st.just({"type": "http.response.trailers"}),
)


@given(
    st.sampled_from([200, 204, 304, 404, 503]),
    st.lists(HEADERS, max_size=3),
    st.lists(PIECES, min_size=1, max_size=4),
    st.lists(MESSAGES, max_size=1),
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.booleans(),
)
def test_the_bytes_are_those_of_uvicorn(
    status: int,
    headers: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    besides: list[dict[str, Any]],
    method: str,
    keep_alive: bool,
) -> None:
    messages = [start(status, *headers), *(body(piece, True) for piece in pieces[:-1]), body(pieces[-1]), *besides]
    theirs, their_cycle, their_completed, their_fault = answer(RequestResponseCycle, messages, method, keep_alive)
    ours, our_cycle, our_completed, our_fault = answer(Cycle, messages, method, keep_alive)
    assert our_fault == their_fault
    assert our_completed == their_completed and our_cycle.response_complete == their_cycle.response_complete
    assert our_cycle.response_started == their_cycle.response_started
    if our_completed:
        assert b"".join(ours.writes) == b"".join(theirs.writes)
        assert ours.closed == theirs.closed


def test_a_whole_answer_is_written_at_once_and_a_piece_that_follows_by_itself() -> None:
    whole, *_ = answer(Cycle, [start(200, (b"content-length", b"2")), body(b"ab")], "POST", True)
    assert len(whole.writes) == 1 and whole.writes[0].endswith(b"\r\n\r\nab")
    parts, *_ = answer(Cycle, [start(200), body(b"ab", True), body(b"c", True), body(b"")], "POST", True)
    assert [piece.rpartition(b"\r\n\r\n")[2] for piece in parts.writes] == [b"2\r\nab\r\n", b"1\r\nc\r\n", b""]


@pytest.mark.parametrize("first", [body(b"too early"), {"type": "websocket.send"}])
def test_an_answer_begins_with_its_head(first: dict[str, Any]) -> None:
    wire, _, completed, fault = answer(Cycle, [first], "POST", True)
    assert (wire.writes, completed, fault) == ([], [], "refused")
