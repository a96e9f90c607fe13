"""The short way of a request that came whole: the same layers as the app's, without ASGI between them.

What its head means is read once for all requests with the same head, to the byte, as those of one client are: who may
ask, what is asked, which media types. A head that is refused, or that needs more than one piece of answer, goes the
app's way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from service.connection import Connection
from service.exchange import Exchange, FieldsExchange
from service.gate import Gate
from service.keys import KeyRing
from service.metrics import Metrics, RequestRecord
from service.middleware import UNSENT, new_id, offered_id
from service.operations.base import Operation
from service.operations.known import OPERATIONS
from service.pipeline import Pipeline
from service.problems import Problem, internal

Field = tuple[bytes, bytes]

_log = logging.getLogger("condflow.service")
_CONNECTED = (b"connection", b"keep-alive")
_SPECIAL = frozenset((b"connection", b"expect", b"transfer-encoding", b"upgrade"))
_MOST_KNOWN = 256


@dataclass(frozen=True)
class Known:
    """What a head means. It holds while `ring` are the keys in force."""

    request_id: str | None
    operation: Operation
    exchange: Exchange
    scope: Scope
    record: RequestRecord
    ring: KeyRing


class Client(Protocol):
    """Who waits for the answer."""

    def write(self, response: Response, record: RequestRecord) -> None:
        """Take the whole answer."""
        ...

    def end(self) -> None:
        """Nothing is done for the request any more."""
        ...


class Lane:
    """Answers whole requests to the operations."""

    def __init__(self, gate: Gate, pipeline: Pipeline, metrics: Metrics) -> None:
        self._gate, self._pipeline, self._metrics = gate, pipeline, metrics
        self._operations = {f"/{name}".encode(): operation for name, operation in OPERATIONS.items()}
        self._known: dict[bytes, tuple[Known, int]] = {}

    def remember(self, head: bytes, known: Known, length: int) -> None:
        """That these bytes, the empty line with them, are such a head, and how long the body is behind it.

        A head with a request's own id does not come again.
        """
        if known.request_id is None:
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[head] = known, length

    def recall(self, head: bytes, length: int) -> Known | None:
        """What such bytes mean with so long a body behind them; None where that is not known."""
        known, expected = self._known.get(head, (None, -1))
        if known is None or expected != length:
            return None
        if known.ring is not self._gate.keys.ring:
            self._known.clear()
            return None
        return known

    def read(self, target: bytes, fields: list[Field]) -> Known | None:
        """What the head of a POST in HTTP/1.1 means; None where it goes the app's way."""
        special = [(name, value.lower()) for name, value in fields if name in _SPECIAL]
        if target not in self._operations or special not in ([], [_CONNECTED]):
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
        return None if exchange.streams else Known(offered_id(fields), operation, exchange, scope, record, ring)

    async def answer(self, known: Known, body: bytes, connection: Connection, client: Client) -> None:
        """Answer one request, whose body is no longer than its exchange allows."""
        record = RequestRecord(known.request_id or new_id(), known.record.headers)
        record.tenant = known.record.tenant
        status = UNSENT
        try:
            try:
                response = await self._pipeline.answer_whole(known.operation, known.exchange, body, record, connection)
            except Problem as problem:
                response = problem.response(known.scope)
            except ClientDisconnect:
                raise
            except Exception:
                _log.exception("request %s failed", record.request_id)
                response = internal(record.request_id).response(known.scope)
            client.write(response, record)
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
            client.end()
