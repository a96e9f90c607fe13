"""The outermost layer of the app, pure ASGI: request id, timing, safe headers, counting, and the last resort."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics, RequestRecord
from service.problems import Problem

_log = logging.getLogger("condflow.service")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_UNSENT = 499
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Edge:
    """Gives each request its record under `scope["condflow.record"]`, and counts it when it is over."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = scope["condflow.record"] = RequestRecord(_request_id(scope).decode())
        status = _UNSENT

        async def stamp(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _stamped(message.get("headers", ()), record)
            await send(message)

        try:
            await self.app(scope, receive, stamp)
        except ClientDisconnect:
            record.cancelled = True
        except Exception:
            _log.exception("request %s failed", record.request_id)
            if status == _UNSENT:
                problem = Problem(500, "internal", f"an error inside the service; request id {record.request_id}")
                await problem.response(scope)(scope, receive, stamp)
        finally:
            self.metrics.finish(record, record.late_status or status)
            if record.lease is not None:
                record.lease.release()


def _request_id(scope: Scope) -> bytes:
    offered = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(offered) == 1 and _REQUEST_ID.fullmatch(offered[0]):
        return bytes(offered[0])
    return secrets.token_hex(16).encode()


def _stamped(headers: Iterable[tuple[bytes, bytes]], record: RequestRecord) -> list[tuple[bytes, bytes]]:
    """The headers with ours behind them; what makes a browser careful only where the route says nothing else."""
    found = list(headers)
    named = {name for name, _ in found}
    found.append((b"x-request-id", record.request_id.encode()))
    found.append((b"server-timing", _timing(record)))
    found.extend(pair for pair in _SAFE if pair[0] not in named)
    return found


def _timing(record: RequestRecord) -> bytes:
    seconds: dict[str, float] = {"queue": 0.0, "compute": 0.0}
    seconds.update(record.seconds)  # type: ignore[arg-type]
    seconds["total"] = perf_counter() - record.started
    return ", ".join([f"{name};dur={1000 * value:.3f}" for name, value in seconds.items()]).encode()
