"""What counts of the device's memory: what versions take now, and for one that comes back what its load took."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from time import monotonic

from inference.engine import EngineOutOfMemory
from inference.loaded import Loaded
from inference.loading import Placement, load_version
from model_store.manifest import Draft, Manifest
from model_store.store import Store
from service.metrics import Metrics
from service.registry import Registry
from tests.inference.exported import exported, manifest_of
from tests.service.harness import PATIENCE_S
from tests.service.standing_in import StandIn
from tests.service.test_residency import BYTES, EVICTIONS, NAMES, RESIDENT, ask, check, resident, serving, store

__all__ = ["store"]


class Elastic(StandIn):
    """An engine that is told how much it takes."""

    bytes = BYTES


def test_memory_that_an_engine_took_and_gave_back_counts_no_more(store: Store) -> None:
    with serving(store, 10) as service:
        engine = Elastic(service.parts.registry, "a")
        for times in (5, 1, 2):
            engine.bytes = times * BYTES
            assert service.metrics()[RESIDENT] == (2 + times) * BYTES
            check(ask(service, "a"), "a")
            assert service.metrics()[RESIDENT] == (2 + times) * BYTES


def test_one_that_comes_back_needs_what_its_load_took(store: Store) -> None:
    """Not what its programs took later: others would leave for them, which are not made yet."""
    with serving(store, 2.5) as service:
        check(ask(service, "a"), "a")
        Elastic(service.parts.registry, "a").bytes = 2 * BYTES
        for name in ("a", "b", "c", "b", "c"):
            check(ask(service, name), name)
        assert resident(service) == ["b", "c"] and service.metrics()[RESIDENT] == 2 * BYTES
        check(ask(service, "a"), "a")
        assert resident(service) == ["a", "c"] and service.metrics()[RESIDENT] == 2 * BYTES


def test_brought_graphs_take_nothing_of_a_card(store: Store) -> None:
    """They run on the CPU, so that no card is needed here."""
    with serving(store, 0.5, device="cuda") as service:
        for name in NAMES * 2:
            check(ask(service, name), name)
        assert (service.metrics()[RESIDENT], service.metrics()[EVICTIONS]) == (0, 0)
        assert service.client.get("/readyz").json()["loaded"] == {name: [1] for name in NAMES}


def test_brought_graphs_stay_where_the_card_is_full(store: Store) -> None:
    """Nothing is won by putting them off it. Torch's engine is on the CPU here, by the same path."""
    placement = Placement("cpu:0", most_rows=16)
    full: list[EngineOutOfMemory] = []

    def load(manifest: Manifest) -> Loaded:
        while full:
            raise full.pop()
        return load_version(manifest, partial(store.read, manifest), placement=placement)

    async def scenario() -> None:
        root: Path = store.backend.root  # type: ignore[attr-defined]
        registry = Registry(store, root, load, Metrics(), 8, PATIENCE_S, BYTES, on_device=placement.on_device)
        brought = {name: [1] for name in NAMES}

        async def hold(name: str) -> int:
            lease = await registry.lease(name, None, monotonic() + PATIENCE_S)
            lease.release()
            return lease.loaded.engine.bytes

        publish_torch(store, "first")
        await registry.refresh()
        assert registry.resident_bytes == await hold("first")
        for name in NAMES:
            await hold(name)
        publish_torch(store, "second")
        full.append(EngineOutOfMemory("the card is full"))
        await registry.refresh()
        assert registry.resident == {**brought, "second": [1]}
        assert registry.resident_bytes == await hold("second")
        full.extend(EngineOutOfMemory("the card is full") for _ in range(2))
        publish_torch(store, "third")
        await registry.refresh()
        assert registry.failures().keys() == {("third", 1)} and registry.resident == brought
        assert registry.resident_bytes == 0
        await registry.close()

    asyncio.run(scenario())


def publish_torch(store: Store, name: str) -> None:
    """A version with an architecture."""
    manifest = manifest_of("coupling-none")
    draft = Draft(**{**{field: getattr(manifest, field) for field in Draft.model_fields}, "name": name})
    store.publish(draft, exported("coupling-none")[1].files)
