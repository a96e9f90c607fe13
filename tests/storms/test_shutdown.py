"""The end of the service under load: gently, nothing accepted is lost; by force, nothing stored is."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from model_store.store import Store
from model_store.verify import verify
from service.keys import SCOPES, new_key
from tests.inference import handmade
from tests.service.versions import publish
from tests.storms.conftest import MODEL
from tests.support.service_process import ServiceProcess, service_process
from tests.support.wire import JSON, NDJSON, NPZ, Request, Wire

FIXED = {"CONDFLOW_FIXED_ROWS": "64", "CONDFLOW_THREADS": "1"}  # the same to the bit
PATIENT = {f"CONDFLOW_{name}": "240" for name in ("DRAIN_S", "HEAD_TIMEOUT_S", "BODY_TIMEOUT_S")}  # on a busy machine
RESTART_S = 5.0
SMALL = Request.json("/loglik", {"model": MODEL, "x": [[0.5, 1.0]]})


def draw(count: int, accept: str, seed: int) -> Request:
    return Request.json("/sample", {"model": MODEL, "condition": 1, "num_samples": count, "seed": seed}, accept)


KINDS = (SMALL, draw(3, JSON, 1), draw(300_000, NPZ, 2), draw(300_000, NDJSON, 3))


async def answer(port: int, request: Request = SMALL) -> bytes:
    """What a request is answered with on a connection of its own."""
    wire = await Wire.open(port)
    found = await wire.ask(request)
    wire.leave()
    assert found.status == 200, found.body
    return found.body


async def until_accepted(service: ServiceProcess, count: int) -> None:
    """Return when the service has read so many requests: they are answered or in progress."""
    while True:
        samples = await asyncio.to_thread(service.metrics)
        operations = ("sample", "loglik")
        counted = {labels: value for (name, labels), value in samples.items() if name == "condflow_requests_total"}
        answered = sum(value for labels, value in counted.items() if dict(labels)["operation"] in operations)
        held = samples[("condflow_requests_in_progress", ())] + samples[("condflow_streams_in_progress", ())]
        if answered + held >= count:
            return


@pytest.mark.parametrize("each", [3, pytest.param(25, marks=pytest.mark.full)])
def test_sigterm_under_load_loses_nothing_that_was_accepted(store: Path, each: int) -> None:
    """All kinds of requests are in progress when the signal comes, half-sent ones too; each gets its whole answer."""

    async def story(service: ServiceProcess) -> int:
        expected = [await answer(service.port, request) for request in KINDS]
        wires = [await Wire.open(service.port) for _ in range(each * len(KINDS))]
        halves = [await Wire.open(service.port) for _ in range(each)]
        for wire in halves:
            await wire.send(SMALL.head + SMALL.body[:9])
        answers = [asyncio.create_task(wire.ask(KINDS[place % len(KINDS)])) for place, wire in enumerate(wires)]
        await until_accepted(service, len(KINDS) + len(answers) + len(halves))
        assert not all(task.done() for task in answers)
        service.process.send_signal(signal.SIGTERM)
        for wire in halves:
            await wire.send(SMALL.body[9:])
        for place, found in enumerate(await asyncio.gather(*answers)):
            assert (found.status, found.body) == (200, expected[place % len(KINDS)])
        for wire in halves:
            assert (await wire.answer()).body == expected[0]
        return await asyncio.to_thread(service.outlive)

    with service_process(store, **FIXED, **PATIENT) as service:
        assert asyncio.run(story(service)) == 0
        assert "Traceback" not in service.text


async def until_shut_out(port: int, expected: bytes, outcomes: Counter[str]) -> None:
    """Ask again and again on one connection until it is closed: each answer is whole and right, or there is none."""
    wire = await Wire.open(port)
    while True:
        try:
            await wire.send(SMALL.whole)
            first = await wire.some(1)
        except ConnectionError:
            first = b""
        if not first:
            outcomes["closed"] += 1
            return
        found = await wire.answer(first)
        assert (found.status, found.body) == (200, expected)
        outcomes["answered"] += 1


def test_clients_that_go_on_asking_get_whole_answers_to_the_end(store: Path) -> None:
    """While it lingers it is unready, and answers; then connections end between two answers."""

    async def story(service: ServiceProcess) -> int:
        expected = await answer(service.port)
        outcomes: Counter[str] = Counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(until_shut_out(service.port, expected, outcomes))
            service.process.send_signal(signal.SIGTERM)
            async with httpx.AsyncClient(base_url=service.url) as client:
                while (await client.get("/readyz")).status_code == 200:
                    pass
            before = outcomes["answered"]
            while outcomes["answered"] <= before + 8:
                await asyncio.sleep(0)
        assert outcomes["closed"] == 8
        return await asyncio.to_thread(service.outlive)

    with service_process(store, CONDFLOW_LINGER_S="3", **FIXED) as service:
        assert asyncio.run(story(service)) == 0


async def kill(service: ServiceProcess, bearer: dict[str, str], question: Request) -> bytes:
    """`kill -9` while clients ask and an operator moves an alias; what the question was answered with before."""
    over = asyncio.Event()

    async def load(place: int) -> None:
        async with httpx.AsyncClient(base_url=service.url, headers=bearer) as client:
            while not over.is_set():
                with suppress(httpx.HTTPError):
                    await client.post("/sample", json={"model": MODEL, "condition": 1, "num_samples": 5000})
                    await client.put(f"/models/{MODEL}/aliases/candidate", json={"version": 1 + place % 2})

    async with asyncio.TaskGroup() as group:
        for place in range(3):
            group.create_task(load(place))
        expected = await answer(service.port, question)
        for _ in range(20):
            assert await answer(service.port, question) == expected
        assert await asyncio.to_thread(service.end, signal.SIGKILL) == -signal.SIGKILL
        over.set()
    return expected


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
def test_killed_under_load_the_same_versions_are_served_again(store: Path, kills: int) -> None:
    """Started again on the same port it says what it said before, after less than RESTART_S of computing."""
    publish(Store.open(store), MODEL, handmade.labels(), metrics={"again": 1.0})
    text, key = new_key("root", frozenset(SCOPES))
    bearer = {"Authorization": f"Bearer {text}"}
    question = Request(SMALL.path, SMALL.body, {**SMALL.headers, **bearer})
    port = 0
    for _ in range(kills):
        with service_process(store, port=port, CONDFLOW_KEYS=key.line, **FIXED) as service:
            port = service.port
            expected = asyncio.run(kill(service, bearer, question))
        with service_process(store, port=port, CONDFLOW_KEYS=key.line, **FIXED) as service:
            assert asyncio.run(answer(port, question)) == expected
            assert service.cpu_seconds() < RESTART_S
            assert service.end() == 0
    opened = Store.open(store)
    assert [verify(opened, MODEL, number).findings for number in opened.versions(MODEL)] == [(), ()]
