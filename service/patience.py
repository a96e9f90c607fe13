"""How long a request is worked on: until its time is over, or its client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.alarm import Alarm
from service.connection import Connection
from service.problems import Problem


class Patience:
    """A block that is left early: by the Problem of its time limit, or by ClientDisconnect.

    Its task is cancelled where it waits, as by `asyncio.timeout`. A server that tells of lost connections
    (`service.connection`) costs nothing while all is well; under another one `watch` listens in a task.

    Args:
        connection: the client's, by which it may leave.
        receive: for `watch` under servers that tell of no connection.
    """

    _watch: asyncio.Task[None] | None = None
    _end: Exception | None = None

    def __init__(self, connection: Connection | None, receive: Receive | None = None) -> None:
        self._connection, self._receive = connection, receive
        self._alarm = Alarm() if connection is None else connection.alarm

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
        if self._connection is None:
            self._alarm.close()
        else:
            self._alarm.off()
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
        self._alarm.set(when, self._over)

    def unbounded(self) -> None:
        """From now on there is no limit."""
        self._alarm.off()

    def watch(self) -> None:
        """Listen for the client's leaving, now that its body is read."""
        if self._connection is None:
            self._watch = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        assert self._receive is not None
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone()

    def _gone(self) -> None:
        self._cancel(ClientDisconnect())

    def _over(self) -> None:
        self._cancel(self._refusal())

    def _cancel(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._task.cancel()
