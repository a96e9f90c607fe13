"""The short way of a request that came whole: the same layers as the app's, without ASGI between them.

What its head means is read once for all requests with the same head, as those of one client are: who may ask, what is
asked, which media types. Only what differs from one to the next is left out of that: the length of the body, and the
request's id. A head that is refused, or that needs more than one piece of answer, goes the app's way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from service.connection import Connection
from service.exchange import Exchange, FieldsExchange
from service.gate import Gate
from service.keys import KeyRing
from service.metrics import Metrics, RequestRecord
from service.middleware import UNSENT, request_id, stamped
from service.operations.base import Operation
from service.operations.known import OPERATIONS
from service.pipeline import Pipeline
from service.problems import Problem, internal

Field = tuple[bytes, bytes]
Write = Callable[[int, list[Field], bytes | memoryview], None]

_log = logging.getLogger("condflow.service")
_VARYING = frozenset((b"content-length", b"x-request-id"))
_CONNECTED = (b"connection", b"keep-alive")
_SPECIAL = frozenset((b"connection", b"expect", b"transfer-encoding", b"upgrade"))
_MOST_KNOWN = 256


@dataclass(frozen=True)
class Known:
    """What a head means. It holds while `ring` are the keys in force."""

    operation: Operation
    exchange: Exchange
    scope: Scope
    record: RequestRecord
    ring: KeyRing


class Lane:
    """Answers whole requests to the operations."""

    def __init__(self, gate: Gate, pipeline: Pipeline, metrics: Metrics) -> None:
        self._gate, self._pipeline, self._metrics = gate, pipeline, metrics
        self._operations = {f"/{name}".encode(): operation for name, operation in OPERATIONS.items()}
        self._known: dict[tuple[bytes, tuple[Field, ...]], Known | None] = {}

    def known(self, target: bytes, fields: Sequence[Field]) -> Known | None:
        """What the head of a POST in HTTP/1.1 means; None where it goes the app's way."""
        if target not in self._operations:
            return None
        key = target, tuple([field for field in fields if field[0] not in _VARYING])
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._read(target, list(fields))
        known = self._known[key]
        if known is not None and known.ring is not self._gate.keys.ring:
            self._known.clear()
            return None
        return known

    def _read(self, target: bytes, fields: list[Field]) -> Known | None:
        if any(field[0] in _SPECIAL and (field[0], field[1].lower()) != _CONNECTED for field in fields):
            return None
        record = RequestRecord("", dict(reversed(fields)))
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": target.decode("ascii"),
            "query_string": b"",
            "headers": fields,
            "condflow.record": record,
        }
        operation, ring = self._operations[target], self._gate.keys.ring
        try:
            self._gate.check(scope)
            exchange = FieldsExchange(operation, Request(scope), self._pipeline.limits)
        except Problem:
            return None
        return None if exchange.streams else Known(operation, exchange, scope, record, ring)

    async def answer(
        self, known: Known, fields: Sequence[Field], body: bytes, connection: Connection, write: Write
    ) -> None:
        """Answer one request, whose body is no longer than its exchange allows, by one call of `write`."""
        record = RequestRecord(request_id(fields), known.record.headers)
        record.tenant = known.record.tenant
        status = UNSENT
        try:
            response = await self._response(known, record, body, connection)
            write(response.status_code, stamped(response.raw_headers, record), response.body)
            status = response.status_code
        except ClientDisconnect:
            record.cancelled = True
        except Exception:  # of writing
            _log.exception("request %s was not answered", record.request_id)
            connection.abort()
        finally:
            self._metrics.finish(record, status)
            if record.lease is not None:
                record.lease.release()

    async def _response(self, known: Known, record: RequestRecord, body: bytes, connection: Connection) -> Response:
        try:
            return await self._pipeline.answer_whole(known.operation, known.exchange, body, record, connection)
        except Problem as problem:
            return problem.response(known.scope)
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("request %s failed", record.request_id)
            return internal(record.request_id).response(known.scope)
