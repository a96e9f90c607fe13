"""More models than the device has memory for: each answers, some after they came back, and none that cannot fit."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
import numpy as np
import pytest

from inference.engine import EngineOutOfMemory
from inference.loaded import Loaded
from model_store.manifest import Manifest
from model_store.store import Store
from tests.inference.handmade import numbered
from tests.service.harness import PATIENCE_S, Running, running, until
from tests.service.slow import slow_down
from tests.service.versions import damage, publish

FLOATS = 50_000
BYTES = 2 * 4 * FLOATS  # two graphs, each with the weights
EVICTIONS, RESIDENT = ("condflow_evictions_total", ()), ("condflow_resident_bytes", ())
NAMES = ("a", "b", "c")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(tmp_path / "models")
    for number, name in enumerate(NAMES):
        publish(opened, name, numbered(number, FLOATS))
    return opened


@contextmanager
def serving(store: Store, room_for: float, **settings: object) -> Iterator[Running]:
    root = store.backend.root  # type: ignore[attr-defined]
    with running(root, device_memory=int(room_for * BYTES), **settings) as service:
        yield service


def ask(service: Running, name: str, timeout_ms: int | None = None) -> httpx.Response:
    headers = {} if timeout_ms is None else {"X-Request-Timeout-Ms": str(timeout_ms)}
    body = {"model": name, "x": [[0.0]]}
    return httpx.post(f"{service.url}/encode", json=body, headers=headers, timeout=PATIENCE_S)


def check(answer: httpx.Response, name: str) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json()["latent"]["z"] == [[-NAMES.index(name)]]


def resident(service: Running) -> list[str]:
    return [model["name"] for model in service.client.get("/models").json()["models"] if model["resident"]]


def test_each_model_answers_though_not_all_fit(store: Store) -> None:
    with serving(store, 2.5) as service:
        assert service.client.get("/readyz").json()["loaded"] == {name: [1] for name in NAMES}
        assert len(resident(service)) == 2
        for name in NAMES * 3:
            check(ask(service, name), name)
            assert name in resident(service) and len(resident(service)) == 2
            assert service.metrics()[RESIDENT] == 2 * BYTES
        assert service.metrics()[EVICTIONS] >= 7
        shown = service.client.get("/models/a").json()
        assert (shown["loaded"], shown["resident"]) == ([1], [])
        assert service.client.get("/v2/models/a.encode/ready").status_code == 200


def test_the_one_used_least_recently_leaves(store: Store) -> None:
    with serving(store, 2.5) as service:
        for name in ("a", "b", "a", "c"):
            check(ask(service, name), name)
        assert resident(service) == ["a", "c"]


def test_without_a_budget_none_leaves(store: Store) -> None:
    with running(store.backend.root) as service:  # type: ignore[attr-defined]
        for name in NAMES * 2:
            check(ask(service, name), name)
        assert resident(service) == list(NAMES)
        assert (service.metrics()[EVICTIONS], service.metrics()[RESIDENT]) == (0, 3 * BYTES)


def test_two_clients_that_alternate_are_both_answered(store: Store) -> None:
    with serving(store, 1.5) as service, ThreadPoolExecutor(2) as threads:

        def client(name: str) -> None:
            for _ in range(6):
                check(ask(service, name), name)

        for done in [threads.submit(client, name) for name in ("a", "b")]:
            done.result()


def test_a_model_that_is_always_in_use_lets_another_one_in(store: Store) -> None:
    """Its requests overlap, so that it is never idle by itself."""
    with serving(store, 1.5) as service, ThreadPoolExecutor(4) as threads:
        over = Event()

        def client() -> None:
            while not over.is_set():
                check(ask(service, "a"), "a")

        clients = [threads.submit(client) for _ in range(4)]
        try:
            until(lambda: service.parts.admission.requests > 1)
            check(ask(service, "b"), "b")
            check(ask(service, "a"), "a")
        finally:
            over.set()
        for done in clients:
            done.result()


def test_where_nobody_can_leave_in_time_it_is_a_503_and_later_an_answer(store: Store) -> None:
    with serving(store, 1.5) as service, ThreadPoolExecutor(1) as threads:
        check(ask(service, "a"), "a")
        slow = slow_down(service, "a")
        long = threads.submit(ask, service, "a")
        assert slow.entered.wait(PATIENCE_S)
        refused = ask(service, "b", 2000)  # long enough for it to be asked to leave
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:condflow:problem:loading")
        assert int(refused.headers["retry-after"]) >= 1
        slow.hold.set()
        check(long.result(), "a")
        check(ask(service, "b"), "b")


def test_what_alone_is_too_large_is_refused_and_the_others_are_served(store: Store) -> None:
    publish(store, "large", numbered(9, 5 * FLOATS))
    root = store.backend.root  # type: ignore[attr-defined]
    with running(root, ready=False, device_memory=int(1.5 * BYTES)) as service:
        until(lambda: service.parts.registry.ready and not service.parts.registry.pending)
        refused = ask(service, "large")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:condflow:problem:unloadable")
        assert "CONDFLOW_DEVICE_MEMORY" in refused.json()["detail"]
        assert service.client.get("/models/large").json()["unloadable"] == [1]
        for name in NAMES:
            check(ask(service, name), name)


def test_a_device_that_is_fuller_than_its_budget_says_is_relieved(store: Store) -> None:
    """Others take of its memory too: what does not fit comes after the one used least recently has left."""
    with serving(store, 2.5) as service:
        loads = service.parts.registry._loads
        load = loads.load

        def crowded(manifest: Manifest) -> Loaded:
            if len(resident(service)) > 0:
                raise EngineOutOfMemory("the card is full")
            return load(manifest)

        loads.load = crowded
        for name in NAMES:
            check(ask(service, name), name)
        assert len(resident(service)) == 1


def test_what_a_failed_load_had_built_is_free_for_the_next_try(store: Store) -> None:
    """Also where its error is kept alive by a variable of the frame that raised it."""
    held: list[weakref.ref[np.ndarray]] = []
    freed: list[bool] = []
    with serving(store, 2.5) as service:
        loads = service.parts.registry._loads
        load = loads.load

        def crowded(manifest: Manifest) -> Loaded:
            freed.extend(built() is None for built in held)
            if len(held) == 2:
                return load(manifest)
            weights = np.zeros(FLOATS)
            held.append(weakref.ref(weights))
            failure = EngineOutOfMemory("the card is full")
            raise failure

        loads.load = crowded
        away = next(name for name in NAMES if name not in resident(service))
        assert ask(service, away).status_code == 503  # after two tries, each with one version less on the device
        loads.failures.clear()
        check(ask(service, away), away)
        assert freed and all(freed)


def test_a_new_champion_is_loaded_where_the_old_one_leaves_room(store: Store) -> None:
    with serving(store, 1.5) as service:
        publish(store, "a", numbered(0, FLOATS))
        until(lambda: ask(service, "a").json()["version"] == 2, "version 2")
        check(ask(service, "b"), "b")


def test_one_that_is_damaged_meanwhile_does_not_come_back(store: Store) -> None:
    with serving(store, 1.5) as service:
        check(ask(service, "b"), "b")
        damage(store, "a", 1, "weights.safetensors")
        refused = ask(service, "a")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:condflow:problem:unloadable")
        check(ask(service, "b"), "b")
