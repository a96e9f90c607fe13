"""Read a request's body piece by piece, with its cap enforced while reading and its bytes counted while held."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

from service.exchange import BodyLimit
from service.patience import Patience
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


class Held:
    """The bytes of one body, counted until the block ends."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget, self._count = budget, 0

    def __enter__(self) -> Held:
        """Nothing is held yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give all back."""
        self._budget.give(self._count)

    def grow(self, size: int) -> None:
        """Hold `size` bytes from now on, if it is more than before. Raises Problem (503)."""
        if size > self._count:
            self._budget.take(size - self._count)
            self._count = size


async def read_body(
    request: Request, limit: BodyLimit, held: Held, patience: Patience, pause_s: float, deadline: float
) -> bytes:
    """The whole body, refused past the limit: by its Content-Length before it is read, else while it is read.

    Args:
        request: whose body is read.
        limit: its most bytes.
        held: counts them.
        patience: ends the wait for the next piece: after `pause_s`, or at the deadline.
        pause_s: the longest wait for the next piece.
        deadline: of the request, monotonic.

    Raises:
        Problem: 400, 408, 413, 503 or 504.
        ClientDisconnect: the client left.
    """
    declared = _content_length(request)
    if declared is not None:
        if declared > limit.maximum:
            await _discard(request)
            raise _closing(too_large(limit.name, limit.maximum, declared, limit.hint, header="Content-Length"))
        # A body that names its length is counted whole at once, so that many slow ones cannot pass the budget together.
        held.grow(declared)
    pieces: list[bytes] = []
    size, more = 0, True
    _expect_next(patience, pause_s, deadline)
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        if not piece:
            continue
        size += len(piece)
        if size > limit.maximum:
            pieces.clear()
            patience.unbounded()
            await _discard(request)
            raise _closing(too_large(limit.name, limit.maximum, None, limit.hint))
        if declared is None or size > declared:
            held.grow(size)
        pieces.append(piece)
        if more:
            _expect_next(patience, pause_s, deadline)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _content_length(request: Request) -> int | None:
    value = request.scope["condflow.record"].headers.get(b"content-length")
    if value is None:
        return None
    if not (value.isdigit() and len(value) < 19):
        raise _closing(malformed("Content-Length is not a number"))
    return int(value)


def _expect_next(patience: Patience, pause_s: float, deadline: float) -> None:
    next_piece = monotonic() + pause_s
    if next_piece < deadline:
        patience.until(next_piece, partial(_slow, pause_s))
    else:
        patience.until(deadline, _late)


def _slow(pause_s: float) -> Problem:
    return _closing(Problem(408, "slow-body", f"no piece of the body came for {pause_s:g} s"))


def _late() -> Problem:
    return _closing(deadline_passed("parse"))


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
