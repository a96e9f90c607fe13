"""Read a request's body piece by piece, with its cap enforced while reading and its bytes counted while held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from starlette.requests import ClientDisconnect, Request

from service.problems import Problem, deadline_passed, malformed, too_large, unavailable

_DRAIN_BYTES = 64 * 1024 * 1024
_DRAIN_SECONDS = 2.0


class ByteBudget:
    """Bytes of bodies held at once, over all requests."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0

    def take(self, count: int) -> None:
        """Count `count` more bytes as held. Raises Problem (503) past the budget."""
        if self.held + count > self.total:
            raise unavailable("overloaded", "too many bytes of request bodies are held at the moment", 1.0)
        self.held += count

    def give(self, count: int) -> None:
        """Count them as released."""
        self.held -= count


@asynccontextmanager
async def read_body(
    request: Request, limit: str, maximum: int, hint: str, budget: ByteBudget, pause_s: float, deadline: float
) -> AsyncIterator[bytes]:
    """The whole body, refused past `maximum` bytes: by its Content-Length before it is read, else while it is read.

    Args:
        request: whose body is read.
        limit: the name of the limit, for the refusal.
        maximum: bytes.
        hint: what to do instead, for the refusal.
        budget: counts the bytes until the context ends.
        pause_s: the longest wait for the next piece.
        deadline: of the request, monotonic.
    """
    declared = _content_length(request)
    if declared is not None and declared > maximum:
        await _discard(request)
        raise _closing(too_large(limit, maximum, declared, hint))
    # A body that names its length is counted whole at once, so that many slow ones cannot pass the budget together.
    held = declared or 0
    budget.take(held)
    try:
        pieces: list[bytes] = []
        size = 0
        stream = request.stream()
        while True:
            piece = await _next_piece(stream, pause_s, deadline)
            if piece is None:
                break
            size += len(piece)
            if size > maximum:
                pieces.clear()
                await _discard(request)
                raise _closing(too_large(limit, maximum, None, hint))
            if size > held:
                budget.take(size - held)
                held = size
            pieces.append(piece)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        yield body
    finally:
        budget.give(held)


def _content_length(request: Request) -> int | None:
    value = request.headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise _closing(malformed("Content-Length is not a number"))
    return int(value)


async def _next_piece(stream: AsyncIterator[bytes], pause_s: float, deadline: float) -> bytes | None:
    remaining = deadline - monotonic()
    try:
        async with asyncio.timeout(max(0.0, min(pause_s, remaining))):
            async for piece in stream:
                if piece:
                    return piece
            return None
    except TimeoutError:
        if pause_s < remaining:
            raise _closing(Problem(408, "slow-body", f"no piece of the body came for {pause_s:g} s")) from None
        raise _closing(deadline_passed("parse")) from None


async def _discard(request: Request) -> None:
    """Read a little of what is refused, so that a client that is still writing gets to read the answer."""
    if "expect" in request.headers:
        return
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            message = await request.receive()
            while message["type"] == "http.request" and message.get("more_body") and left > 0:
                left -= len(message.get("body", b""))
                message = await request.receive()
    except (TimeoutError, ClientDisconnect):
        return


def _closing(problem: Problem) -> Problem:
    problem.headers["Connection"] = "close"
    return problem
