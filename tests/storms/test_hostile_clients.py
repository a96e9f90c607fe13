"""Clients that hold what they can and send what they like: each is shut out in time, the others are answered."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.storms.conftest import MODEL
from tests.support.service_process import PATIENCE_S, ServiceProcess, service_process, until_at_rest
from tests.support.wire import JSON, NDJSON, NPZ, Request, Wire

SLACK_MIB = 48.0  # what was in flight in small pieces stays with the allocator
TIMES = {
    "CONDFLOW_HEAD_TIMEOUT_S": "0.5",
    "CONDFLOW_BODY_TIMEOUT_S": "0.5",
    "CONDFLOW_STALL_TIMEOUT_S": "0.5",
    "CONDFLOW_THREADS": "1",
}
GOOD = Request.json("/loglik", {"model": MODEL, "x": [[0.5, 1.0]]})
MORE_THAN_THE_KERNEL_TAKES = 1_200_000
LARGE = Request.json("/sample", {"model": MODEL, "condition": 1, "num_samples": MORE_THAN_THE_KERNEL_TAKES}, NPZ)
ENDLESS = Request.json("/sample", {"model": MODEL, "condition": 1, "num_samples": 9_000_000}, NDJSON)
HALF = GOOD.head + GOOD.body[:5]
SMALL_BUFFER = 4096
Hostile = Callable[[Wire], Awaitable[None]]


async def trickle(wire: Wire) -> None:
    """A byte now and then, as long as the other side takes them."""
    while True:
        await wire.send(b"1")
        await asyncio.sleep(0.05)


async def silent(wire: Wire) -> None:
    assert await wire.rest() == b""


async def head_in_drops(wire: Wire) -> None:
    await wire.send(b"POST /loglik HTTP/1.1\r\nHost: localhost\r\nX: ")
    with pytest.raises(ConnectionError):
        await trickle(wire)


async def half_a_body(wire: Wire) -> None:
    await wire.send(HALF)
    assert (await wire.rest()).startswith(b"HTTP/1.1 408")


async def body_in_drops(wire: Wire) -> None:
    """Each drop comes in time; the deadline does not wait for the last."""
    late = Request(GOOD.path, b"1" * 10_000, {"Content-Type": JSON, "X-Request-Timeout-Ms": "500"})
    await wire.send(late.head)
    drops = asyncio.create_task(trickle(wire))
    assert (await wire.answer()).status == 504
    with pytest.raises(ConnectionError):
        await drops


async def body_after_its_answer(wire: Wire) -> None:
    refused = Request("/nowhere", b"1" * 1000)
    await wire.send(refused.head)
    assert (await wire.answer()).status == 404
    await wire.send(b"1")
    assert await wire.rest() == b""


async def garbage_behind_a_request(wire: Wire) -> None:
    await wire.send(GOOD.whole + b"\0\xff garbage \r\n\r\n" * 50)
    assert (await wire.rest())[:12] in (b"HTTP/1.1 200", b"")  # a reset may overtake the answer


async def oversized_head(wire: Wire) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (place, b"a" * 100) for place in range(1000))
    await wire.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + lines)
    assert (await wire.rest()).startswith(b"HTTP/1.1 431")


async def ask_until_taken(wire: Wire, request: Request) -> None:
    """Of many large requests at once some are told to come again."""
    while True:
        await wire.send(request.whole)
        status, headers = await wire.head()
        if status == 200:
            return
        assert status == 503 and "retry-after" in headers
        left = int(headers["content-length"])
        while left:
            left -= len(await wire.some(left))


async def unread_answer(wire: Wire) -> None:
    await ask_until_taken(wire, LARGE)


async def unread_last_answer(wire: Wire) -> None:
    last = Request(LARGE.path, LARGE.body, {**LARGE.headers, "Connection": "close"})
    await wire.send(last.whole)
    assert (await wire.head())[0] in (200, 503)


async def unread_stream(wire: Wire) -> None:
    await ask_until_taken(wire, ENDLESS)


async def unread_answers_one_behind_the_other(wire: Wire) -> None:
    await ask_until_taken(wire, LARGE)
    await wire.send(LARGE.whole * 2)


SHUT_OUT: tuple[Hostile, ...] = (
    silent,
    head_in_drops,
    half_a_body,
    body_in_drops,
    body_after_its_answer,
    garbage_behind_a_request,
    oversized_head,
)
UNREAD: tuple[Hostile, ...] = (
    unread_answer,
    unread_last_answer,
    unread_stream,
    unread_answers_one_behind_the_other,
)


@pytest.fixture
def service(store: Path) -> Iterator[ServiceProcess]:
    with service_process(store, **TIMES) as started:
        yield started


async def beside_a_neighbour(port: int, hostilities: Awaitable[object]) -> None:
    """Await them while a neighbour asks again and again, and is answered right."""
    wire = await Wire.open(port)
    expected = (await wire.ask(GOOD)).body
    task = asyncio.ensure_future(hostilities)
    while not task.done():
        answer = await wire.ask(GOOD)
        assert (answer.status, answer.body) == (200, expected)
    wire.leave()
    await task


def until_descriptors(service: ServiceProcess, count: int) -> Awaitable[None]:
    """Wait until the service holds so few; its clients have not closed theirs."""

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while service.vitals().descriptors > count:
                await asyncio.sleep(0.01)

    return wait()


async def attack(service: ServiceProcess, hostiles: tuple[Hostile, ...], each: int, most: int) -> None:
    """All at once, each so many times; return when the service has closed every connection, whatever its client did."""
    wires = [await Wire.open(service.port, SMALL_BUFFER) for _ in range(each * len(hostiles))]

    async def hostilities() -> None:
        async with asyncio.TaskGroup() as group:
            for place, wire in enumerate(wires):
                group.create_task(hostiles[place % len(hostiles)](wire))
        await until_descriptors(service, most + 1)  # the neighbour's

    try:
        await beside_a_neighbour(service.port, hostilities())
    finally:
        for wire in wires:
            wire.leave()


@pytest.mark.parametrize("each", [2, pytest.param(15, marks=pytest.mark.full)])
@pytest.mark.parametrize("hostiles", [SHUT_OUT, UNREAD], ids=["shut out", "unread"])
def test_hostile_clients_are_shut_out_in_time(
    service: ServiceProcess, hostiles: tuple[Hostile, ...], each: int
) -> None:
    calm = service.vitals()
    asyncio.run(attack(service, hostiles, each, calm.descriptors))
    until_at_rest(service)
    first = service.vitals()
    asyncio.run(attack(service, hostiles, each, calm.descriptors))
    until_at_rest(service)
    again = service.vitals()
    assert again.memory_mib < first.memory_mib + SLACK_MIB
    assert again.descriptors == calm.descriptors
    assert again.threads <= first.threads
    assert "Traceback" not in service.text


def test_answers_that_nobody_took_leave_no_memory_behind(service: ServiceProcess) -> None:
    calm = service.vitals()
    for _ in range(4):
        asyncio.run(attack(service, UNREAD, 5, calm.descriptors))
        until_at_rest(service)
    assert service.vitals().memory_mib < calm.memory_mib + SLACK_MIB


def test_a_pipelined_request_does_not_hide_that_the_client_left(service: ServiceProcess) -> None:
    async def ask_and_leave() -> None:
        wire = await Wire.open(service.port)
        await wire.send(ENDLESS.whole + GOOD.whole)
        assert (await wire.head())[0] == 200
        assert service.gauge("streams_in_progress") == 1
        wire.leave()

    asyncio.run(ask_and_leave())
    until_at_rest(service)
    cancelled = {labels: value for (name, labels), value in service.metrics().items() if "cancelled_total" in name}
    assert sum(cancelled.values()) == 1


def test_pipelined_requests_are_answered_in_order(service: ServiceProcess) -> None:
    places = range(200)

    async def ask_all() -> list[float]:
        wire = await Wire.open(service.port)
        asked = [
            Request.json("/encode", {"model": MODEL, "x": [float(place), 0.0], "condition": 0}) for place in places
        ]
        sending = asyncio.create_task(wire.send(b"".join(request.whole for request in asked)))
        found: list[float] = [(await wire.answer()).json()["latent"]["z"][0][0] for _ in asked]
        await sending
        wire.leave()
        return found

    found = asyncio.run(ask_all())
    assert found == sorted(found) and len(set(found)) == len(places)


def test_more_connections_than_descriptors_are_survived(service: ServiceProcess) -> None:
    """Idle connections take every descriptor; when they are gone, the service answers as before."""
    pid = service.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (service.vitals().descriptors + 10, hard))

    async def crowd() -> None:
        wires = [await Wire.open(service.port) for _ in range(60)]
        await asyncio.gather(*(wire.rest() for wire in wires))  # each waits for its turn and is shut out at last
        answer = await (await Wire.open(service.port)).ask(GOOD)
        assert answer.status == 200

    asyncio.run(crowd())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert service.end() == 0
