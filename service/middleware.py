"""The outermost layer of the app, pure ASGI: request id, timing, safe headers, counting, and the last resort."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics, RequestRecord
from service.problems import Problem

_log = logging.getLogger("condflow.service")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNSENT = 499


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
        record = scope["condflow.record"] = RequestRecord(_request_id(scope))
        status = _UNSENT

        async def stamp(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = record.request_id
                headers["Server-Timing"] = _timing(record)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("Referrer-Policy", "no-referrer")
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
            self.metrics.finish(record, status)
            if record.lease is not None:
                record.lease.release()


def _request_id(scope: Scope) -> str:
    offered = Headers(scope=scope).getlist("x-request-id")
    if len(offered) == 1 and _REQUEST_ID.fullmatch(offered[0]):
        return offered[0]
    return secrets.token_hex(16)


def _timing(record: RequestRecord) -> str:
    seconds: dict[str, float] = {"queue": 0.0, "compute": 0.0}
    seconds.update({str(stage): value for stage, value in record.seconds.items()})
    seconds["total"] = perf_counter() - record.started
    return ", ".join(f"{name};dur={1000 * value:.3f}" for name, value in seconds.items())
