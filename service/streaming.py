"""An answer that goes out line by line while it is computed, no faster than its reader takes it.

A line is computed when the one before it was handed to the socket, and handed to it when the socket has room: one line
waits there and one is ready, whatever the length of the answer. A reader that takes nothing for `stall_s` is cut off.
What fails after the first line is told in the last one: `{"complete": false, "error": <problem document>}`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from time import monotonic

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.codecs.media import NDJSON
from service.connection import connection_of
from service.metrics import RequestRecord
from service.patience import Patience
from service.problems import Problem, deadline_passed, internal, scrub

_log = logging.getLogger("condflow.service")


class Stream(Response):
    """Lines that come one by one.

    Args:
        first: the lines that are there already.
        lines: the further ones.
        held: what is held until the end, whatever comes.
        record: of the request.
        deadline: of the whole answer, monotonic.
        stall_s: the longest wait for the reader.
    """

    def __init__(
        self,
        first: bytes,
        lines: AsyncGenerator[bytes, None],
        held: AsyncExitStack,
        record: RequestRecord,
        deadline: float,
        stall_s: float,
    ) -> None:
        super().__init__(media_type=NDJSON)
        del self.headers["content-length"]
        self._first, self._lines, self._held = first, lines, held
        self._record, self._deadline, self._stall_s = record, deadline, stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all lines, unless the reader leaves or stalls."""
        try:
            with Patience(connection_of(scope), receive) as patience:
                patience.watch()
                if not await self._send(send):
                    self._record.cancelled = True
                    await _cut_off(scope)
        except ClientDisconnect:
            self._record.cancelled = True
        finally:
            await self._held.aclose()

    async def _send(self, send: Send) -> bool:
        """Whether the reader took everything."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            line: bytes | None = self._first
            while line is not None:
                async with asyncio.timeout(self._stall_s):
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                line = await self._next()
            async with asyncio.timeout(self._stall_s):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return False
        return True

    async def _next(self) -> bytes | None:
        """The next line; None after the last one, or after the one that tells what failed."""
        try:
            try:
                async with asyncio.timeout(self._deadline - monotonic()):
                    return await anext(self._lines, None)
            except TimeoutError:
                raise deadline_passed(self._record.stage) from None
        except Problem as problem:
            return self._failed(problem)
        except Exception:
            _log.exception("request %s failed after its first line", self._record.request_id)
            return self._failed(internal(self._record.request_id))

    def _failed(self, problem: Problem) -> bytes:
        self._record.late_status, self._record.reason = problem.status, problem.reason
        return orjson.dumps(scrub({"complete": False, "error": problem.document()}), option=orjson.OPT_APPEND_NEWLINE)


async def _cut_off(scope: Scope) -> None:
    """End the connection, and wait until that is told."""
    connection = connection_of(scope)
    if connection is not None:
        connection.abort()
        await asyncio.get_running_loop().create_future()
