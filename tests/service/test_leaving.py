"""A version that leaves may be long in closing: nobody else waits for that, and it is over before the service is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from inference.engine import EngineOutOfMemory
from inference.loaded import Loaded
from inference.loading import load_version
from model_store.manifest import Manifest
from model_store.store import Store
from service.metrics import Metrics
from service.registry import Registry
from tests.inference.handmade import numbered
from tests.service.harness import PATIENCE_S, running, until
from tests.service.standing_in import StandIn
from tests.service.test_residency import BYTES, EVICTIONS, FLOATS, NAMES, RESIDENT, ask, check, resident, serving, store
from tests.service.versions import publish

__all__ = ["store"]


class Reluctant(StandIn):
    """An engine that closes when it is let."""

    def __init__(self, registry: Registry, name: str) -> None:
        super().__init__(registry, name)
        self.entered, self.leave = threading.Event(), threading.Event()
        self.closes = 0

    def close(self) -> None:
        self.closes += 1
        self.entered.set()
        assert self.leave.wait(PATIENCE_S)
        self.engine.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_others_are_answered_while_one_makes_room(store: Store, threads: ThreadPoolExecutor) -> None:
    with serving(store, 2.5) as service:
        for name in ("a", "b"):
            check(ask(service, name), name)
        going = Reluctant(service.parts.registry, "a")
        evictions = service.metrics()[EVICTIONS]
        new = threads.submit(ask, service, "c")
        assert going.entered.wait(PATIENCE_S)
        try:
            assert service.client.get("/livez", timeout=5).status_code == 200
            check(ask(service, "b"), "b")
            assert resident(service) == ["a", "b"] and service.metrics()[RESIDENT] == 2 * BYTES
            back = threads.submit(ask, service, "a")
            until(lambda: len(service.parts.registry._loads._tasks) == 2, "its next request")
            assert not (new.done() or back.done())
        finally:
            going.leave.set()
        check(new.result(), "c")
        check(back.result(), "a")
        assert going.closes == 1 and service.metrics()[EVICTIONS] == evictions + 2


def test_a_load_that_found_the_device_full_goes_on_when_one_is_closed(
    store: Store, threads: ThreadPoolExecutor
) -> None:
    full = iter([EngineOutOfMemory("the card is full")])
    with running(store.backend.root) as service:  # type: ignore[attr-defined]
        for name in NAMES:
            check(ask(service, name), name)
        going = Reluctant(service.parts.registry, "a")
        loads = service.parts.registry._loads
        load = loads.load

        def crowded(manifest: Manifest) -> Loaded:
            for error in full:
                raise error
            return load(manifest)

        loads.load = crowded
        publish(store, "b", numbered(1, FLOATS))
        assert going.entered.wait(PATIENCE_S)
        try:
            back = threads.submit(ask, service, "a")
            until(lambda: len(loads._tasks) == 2, "its next request")
            assert ask(service, "b").json()["version"] == 1
        finally:
            going.leave.set()
        check(back.result(), "a")
        until(lambda: ask(service, "b").json()["version"] == 2, "version 2")
        assert going.closes == 1 and service.metrics()[RESIDENT] == 4 * BYTES


def test_others_are_answered_while_a_retired_one_closes(store: Store) -> None:
    with running(store.backend.root) as service:  # type: ignore[attr-defined]
        check(ask(service, "a"), "a")
        going = Reluctant(service.parts.registry, "a")
        store.delete("a", 1, force=True)
        assert going.entered.wait(PATIENCE_S)
        try:
            check(ask(service, "b"), "b")
            assert ask(service, "a").status_code == 404
            assert service.metrics()[RESIDENT] == 3 * BYTES
        finally:
            going.leave.set()
        until(lambda: service.metrics()[RESIDENT] == 2 * BYTES, "the end of it")
        assert going.closes == 1
        assert not any(("model", "a") in labels for _, labels in service.metrics())


def test_one_that_is_deleted_while_it_makes_room_is_closed_once(store: Store, threads: ThreadPoolExecutor) -> None:
    with serving(store, 2.5) as service:
        for name in ("a", "b"):
            check(ask(service, name), name)
        going = Reluctant(service.parts.registry, "a")
        new = threads.submit(ask, service, "c")
        assert going.entered.wait(PATIENCE_S)
        try:
            store.delete("a", 1, force=True)
            until(lambda: ask(service, "a").status_code == 404, "its retirement")
        finally:
            going.leave.set()
        check(new.result(), "c")
        assert going.closes == 1
        assert not any(("model", "a") in labels for _, labels in service.metrics())


def test_the_end_waits_for_all_of_them(store: Store) -> None:
    def load(manifest: Manifest) -> Loaded:
        return load_version(manifest, partial(store.read, manifest))

    async def scenario() -> None:
        root: Path = store.backend.root  # type: ignore[attr-defined]
        registry = Registry(store, root, load, Metrics(), 8, PATIENCE_S)
        await registry.refresh()
        retired, served, held = (Reluctant(registry, name) for name in NAMES)
        lease = await registry.lease("c", None, monotonic() + PATIENCE_S)
        store.delete("a", 1, force=True)
        await registry.refresh()
        assert await asyncio.to_thread(retired.entered.wait, PATIENCE_S)
        ending = asyncio.create_task(registry.close())
        for engine in (served, held):
            assert await asyncio.to_thread(engine.entered.wait, PATIENCE_S)
            engine.leave.set()
        await asyncio.sleep(0)
        assert not ending.done()
        retired.leave.set()
        await ending
        lease.release()
        assert [engine.closes for engine in (retired, served, held)] == [1, 1, 1]
        assert registry.resident_bytes == 0

    asyncio.run(scenario())
