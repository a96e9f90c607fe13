"""The outermost layer of the app, pure ASGI: request id, timing, safe headers, counting, and the last resort."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from itertools import count
from secrets import token_hex
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics, RequestRecord
from service.problems import internal
from service.rendering import Whole

_log = logging.getLogger("condflow.service")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNSENT = 499
"""What counts as the status of an answer that did not go out."""
_OURS = token_hex(8)
_counted = count(1)
_HOST_STAGES = ("parse", "encode")
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)

_USUAL = b"".join(
    (
        b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\ncontent-type: %b\r\nx-request-id: %b\r\nserver-timing: %b\r\n",
        *[b"%b: %b\r\n" % field for field in _SAFE],
        b"\r\n",
    )
)


class Edge:
    """Gives each request its record under `scope["condflow.record"]`, and counts it when it is over."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = scope["headers"]
        record = scope["condflow.record"] = RequestRecord(offered_id(headers) or new_id(), dict(reversed(headers)))
        status = UNSENT

        async def stamp(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = stamped(message.get("headers", ()), record)
            await send(message)

        try:
            await self.app(scope, receive, stamp)
        except ClientDisconnect:
            record.cancelled = True
        except Exception:
            _log.exception("request %s failed", record.request_id)
            if status == UNSENT:
                await internal(record.request_id).response(scope)(scope, receive, stamp)
        finally:
            self.metrics.finish(record, record.late_status or status)
            if record.lease is not None:
                record.lease.release()


def offered_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's own id of its request, where it is a sound one."""
    offered = [value for name, value in headers if name == b"x-request-id"]
    return offered[0].decode() if len(offered) == 1 and _REQUEST_ID.fullmatch(offered[0]) else None


def new_id() -> str:
    """An id that no other request has, of this process or of another one."""
    return f"{_OURS}{next(_counted):016x}"


def stamped(headers: Iterable[tuple[bytes, bytes]], record: RequestRecord) -> list[tuple[bytes, bytes]]:
    """The headers with ours behind them; what makes a browser careful only where the route says nothing else."""
    found = [*headers, (b"x-request-id", record.request_id.encode()), (b"server-timing", _timing(record))]
    named = dict(found)
    found += [field for field in _SAFE if field[0] not in named]
    return found


def usual_head(fields: Iterable[tuple[bytes, bytes]], response: Whole, record: RequestRecord) -> bytes:
    """The head of a whole answer, behind the server's own `fields`: that of `stamped`, written in one go."""
    return _USUAL % (
        b"".join([b"%b: %b\r\n" % field for field in fields]),
        len(response.body),
        response.media,
        record.request_id.encode(),
        _timing(record),
    )


def _timing(record: RequestRecord) -> bytes:
    taken = record.seconds
    more = [b", %b;dur=%.3f" % (stage.encode(), 1000 * taken[stage]) for stage in taken if stage in _HOST_STAGES]
    compute, total = taken.get("compute", 0.0), perf_counter() - record.started
    first = b"queue;dur=%.3f, compute;dur=%.3f" % (1000 * taken.get("queue", 0.0), 1000 * compute)
    return b"%b%b, total;dur=%.3f" % (first, b"".join(more), 1000 * total)
