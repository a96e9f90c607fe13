from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.serving.load import Load, run

Answering = Callable[[int], Awaitable[int]]


async def _under(load: Callable[[int], Load], answering: Answering) -> dict[str, Any]:
    """What the generator says of a server that gives request i the status `answering(i)`."""
    arrived = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while await _read_request(reader):
            arrived += 1
            status = await answering(arrived)
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 2\r\n\r\nok" % status)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await run(load(server.sockets[0].getsockname()[1]))


async def _read_request(reader: asyncio.StreamReader) -> bool:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    return len(await reader.readexactly(int(length.removeprefix(b"content-length: ")))) > 0


def test_an_open_loop_does_not_wait_for_answers() -> None:
    everyone = asyncio.Event()

    async def when_all_are_there(arrived: int) -> int:
        if arrived == 5:
            everyone.set()
        await everyone.wait()
        return 200

    def load(port: int) -> Load:
        return Load(port, "/", {}, "{}", seconds=0.05, rate=100.0, warm_s=0.0)

    assert asyncio.run(_under(load, when_all_are_there))["statuses"] == {"200": 5}


def test_refusals_are_counted_apart_and_have_no_latency() -> None:
    async def every_second(arrived: int) -> int:
        return 200 if arrived % 2 else 503

    def load(port: int) -> Load:
        return Load(port, "/", {}, "{}", seconds=0.1, rate=100.0, warm_s=0.0)

    found = asyncio.run(_under(load, every_second))
    assert found["statuses"] == {"200": 5, "503": 5}
    assert found["answers"] == 5


def test_what_never_answers_is_unanswered() -> None:
    async def never(_arrived: int) -> int:
        await asyncio.Event().wait()
        return 200

    def load(port: int) -> Load:
        return Load(port, "/", {}, "{}", seconds=0.03, rate=100.0, warm_s=0.0, grace_s=0.1)

    found = asyncio.run(_under(load, never))
    assert found["statuses"] == {"unanswered": 3}
    assert found["in_time_per_s"] == 0
