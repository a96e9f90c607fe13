"""A request's block ends when its time is over or its client has left, and is otherwise left alone."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.connection import Connection
from service.patience import Patience
from service.problems import Problem, deadline_passed

FAR = 1e6


def late() -> Problem:
    return deadline_passed("queue")


def until_gone(gone: asyncio.Event) -> Receive:
    """What a server says of a client that leaves at that event."""

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()

    asyncio.run(bounded())


def test_its_time_is_over() -> None:
    async def test() -> None:
        with pytest.raises(Problem) as refused, Patience(Connection(lambda: None)) as patience:
            patience.until(monotonic() + FAR, lambda: Problem(500, "wrong", "the limit before it"))
            patience.until(monotonic(), late)
            await asyncio.Event().wait()
        assert refused.value.status == 504

    run(test)


def test_its_connection_is_lost() -> None:
    async def test() -> None:
        connection = Connection(lambda: None)
        asyncio.get_running_loop().call_soon(connection.end)
        with pytest.raises(ClientDisconnect), Patience(connection):
            await asyncio.Event().wait()
        with pytest.raises(ClientDisconnect), Patience(connection):
            raise AssertionError("its client is gone before it begins")

    run(test)


def test_its_server_says_that_the_client_left() -> None:
    """Without the extension the server is listened to, from when the body is read."""

    async def test() -> None:
        gone = asyncio.Event()
        with pytest.raises(ClientDisconnect), Patience(None, until_gone(gone)) as patience:
            patience.watch()
            gone.set()
            await asyncio.Event().wait()

    run(test)


def test_what_ends_in_time_ends_well_and_nothing_is_left() -> None:
    async def test() -> None:
        connection = Connection(lambda: None)
        for patience in (Patience(connection), Patience(None, until_gone(asyncio.Event()))):
            with patience:
                patience.until(monotonic() + FAR, late)
                patience.watch()
                await asyncio.sleep(0)
        connection.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test)


def test_a_cancellation_from_outside_stays_one() -> None:
    async def test() -> None:
        started = asyncio.Event()

        async def waiting() -> None:
            with Patience(Connection(lambda: None)) as patience:
                patience.until(monotonic() + FAR, late)
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(waiting())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)


def test_what_a_request_held_is_freed_with_it() -> None:
    """Garbage is looked for rarely: the end must not hold, by its traceback, what the request held."""

    class Body:
        """Something that can be watched."""

    async def waiting(seen: list[weakref.ref[Body]]) -> None:
        body = Body()
        seen.append(weakref.ref(body))
        with Patience(Connection(lambda: None)) as patience:
            patience.until(monotonic(), late)
            await asyncio.Event().wait()

    async def test() -> None:
        seen: list[weakref.ref[Body]] = []
        try:
            await waiting(seen)
        except Problem as problem:
            assert problem.status == 504
        await asyncio.sleep(0)  # the step that was cancelled is over
        assert seen[0]() is None

    gc.disable()
    try:
        run(test)
    finally:
        gc.enable()
