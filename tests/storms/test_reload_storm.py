"""Versions that come and go under load: no request fails, and every answer is that of the version it names."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from model_store.store import Store
from tests.inference.handmade import numbered
from tests.service.versions import damage, publish
from tests.support.service_process import PATIENCE_S, ServiceProcess, service_process, until_at_rest
from tests.support.wire import Request, Wire

NAME = "storm"
BALLAST = 250_000  # float32 weights, a megabyte: a version that stays in memory is seen
SLACK_MIB = 40.0
SPARE = 3
POOLED = 8  # threads that a pool may still start; one that each reload left would make hundreds
SETTINGS = {"CONDFLOW_POLL_SECONDS": "0.02", "CONDFLOW_LOADED_VERSIONS": str(SPARE), "CONDFLOW_THREADS": "1"}


def question(version: int | None = None) -> Request:
    return Request.json("/encode", {"model": NAME, "x": [[0.0]], "version": version})


async def ask(wire: Wire, version: int | None = None) -> int:
    """The version that answered, which is the one that was asked for and whose answer it is."""
    answer = await wire.ask(question(version))
    assert answer.status == 200, answer.body
    content = answer.json()
    assert version in (None, content["version"])
    assert content["latent"]["z"] == [[-content["version"]]]
    number: int = content["version"]
    return number


Moves = Callable[[Wire], Awaitable[None]]


async def under_load(port: int, moves: Moves, pins: Callable[[], list[int]]) -> Counter[int]:
    """What answered while `moves` happened: two clients ask for the default version, two for pinned ones."""
    over = asyncio.Event()
    seen: Counter[int] = Counter()

    async def client(place: int) -> None:
        wire, turn = await Wire.open(port), 0
        while not over.is_set():
            turn += 1
            pinned = pins()[turn % len(pins())] if place % 2 else None
            seen[await ask(wire, pinned)] += 1
        wire.leave()

    async with asyncio.TaskGroup() as group:
        for place in range(4):
            group.create_task(client(place))
        wire = await Wire.open(port)
        await moves(wire)
        wire.leave()
        over.set()
    return seen


async def until_default(wire: Wire, number: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await ask(wire) != number:
            pass


def until_loaded(service: ServiceProcess, most: int) -> None:
    """Wait for the end of versions that nobody uses any more."""
    while sum(name == "condflow_model_info" for name, _ in service.metrics()) > most:
        pass


@pytest.mark.parametrize("reloads", [20, pytest.param(200, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_new_versions_under_load(tmp_path: Path, reloads: int) -> None:
    """Each is published, becomes the champion and is followed; every tenth is damaged and must never answer."""
    path = tmp_path / "models"
    store = Store.open(path)
    publish(store, NAME, numbered(1, BALLAST))
    good, bad = [1], set[int]()

    def storm(count: int) -> Moves:
        async def moves(wire: Wire) -> None:
            for turn in range(count):
                number = store.versions(NAME)[-1] + 1
                if turn % 10 == 5:
                    await asyncio.to_thread(publish, store, NAME, numbered(number, BALLAST), None)
                    damage(store, NAME, number, "weights.safetensors")
                    await asyncio.to_thread(store.set_alias, NAME, "champion", number)
                    bad.add(number)
                    number += 1
                await asyncio.to_thread(publish, store, NAME, numbered(number, BALLAST))
                await until_default(wire, number)
                good.append(number)

        return moves

    with service_process(path, **SETTINGS) as service:
        recent = lambda: good[-2 * SPARE :]  # noqa: E731 - more than stay loaded, so that pins load them again
        asyncio.run(under_load(service.port, storm(max(reloads // 4, 10)), recent))
        until_at_rest(service)
        until_loaded(service, SPARE + 1)
        before = service.vitals()
        seen = asyncio.run(under_load(service.port, storm(reloads), recent))
        until_at_rest(service)
        until_loaded(service, SPARE + 1)
        after = service.vitals()
        assert bad and not bad & set(seen)
        assert set(good[-reloads:]) <= set(seen)
        assert after.memory_mib < before.memory_mib + SLACK_MIB
        assert after.threads < before.threads + POOLED
        while service.vitals().descriptors > before.descriptors:  # each look at the store opens some for a moment
            pass
        assert "Traceback" not in service.text


@pytest.mark.parametrize("moves_count", [30, pytest.param(200, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_an_alias_moved_back_and_forth_under_load(tmp_path: Path, moves_count: int) -> None:
    path = tmp_path / "models"
    store = Store.open(path)
    for number in (1, 2):
        publish(store, NAME, numbered(number, BALLAST))

    async def moves(wire: Wire) -> None:
        for turn in range(moves_count):
            number = 1 + turn % 2
            await asyncio.to_thread(store.set_alias, NAME, "champion", number)
            await until_default(wire, number)

    with service_process(path, **SETTINGS) as service:
        seen = asyncio.run(under_load(service.port, moves, lambda: [1, 2]))
        assert set(seen) == {1, 2}
        until_at_rest(service)
