"""How long a request is worked on: until its time is over, or its client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

from service.connection import connection_of
from service.problems import Problem


class Patience:
    """A block that is left early: by the Problem of its time limit, or by ClientDisconnect.

    Its task is cancelled where it waits, as by `asyncio.timeout`. A server that tells of lost connections
    (`service.connection`) costs nothing while all is well; under another one `watch` listens in a task.

    Args:
        request: whose client may leave.
    """

    _timer: asyncio.TimerHandle | None = None
    _watch: asyncio.Task[None] | None = None
    _end: Exception | None = None

    def __init__(self, request: Request) -> None:
        self._request = request
        self._connection = connection_of(request.scope)

    def __enter__(self) -> Patience:
        """Begin. Raises ClientDisconnect where the client is gone already."""
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        if self._connection is not None:
            if self._connection.lost:
                raise ClientDisconnect
            self._connection.when_lost = self._gone
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening; a cancellation of our own becomes what it stands for."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.when_lost = None
        if self._watch is not None:
            self._watch.cancel()
        end, self._end = self._end, None
        if end is not None and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            try:
                raise end from None
            finally:
                del end  # else its traceback would hold it, and all that the request held, until garbage is looked for

    def until(self, when: float, refusal: Callable[[], Problem]) -> None:
        """From now on the time is over at `when`, monotonic, and then `refusal()` is raised."""
        self._refusal = refusal
        if self._timer is None or when < self._rings:
            self._set(when)
        self._when = when  # a timer that rings earlier is not stopped, which costs: it is set again when it rings

    def unbounded(self) -> None:
        """From now on there is no limit."""
        self._when = inf

    def watch(self) -> None:
        """Listen for the client's leaving, now that its body is read."""
        if self._connection is None:
            self._watch = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone()

    def _gone(self) -> None:
        self._cancel(ClientDisconnect())

    def _set(self, rings: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = rings
        self._timer = asyncio.get_running_loop().call_later(max(0.0, rings - monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._when <= self._rings:
            self._cancel(self._refusal())
        elif self._when < inf:
            self._set(self._when)

    def _cancel(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._task.cancel()
