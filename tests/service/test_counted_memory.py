"""What counts of the device's memory: what versions take now, and for one that comes back what its load took."""

from __future__ import annotations

from typing import Any

from model_store.store import Store
from service.registry import Registry
from tests.service.test_residency import BYTES, RESIDENT, ask, check, resident, serving, store

__all__ = ["store"]


class Elastic:
    """An engine that says how much it takes."""

    def __init__(self, registry: Registry, name: str) -> None:
        loaded = registry._entries[(name, 1)].loaded
        assert loaded is not None
        self.engine: Any = loaded.engine
        self.bytes = self.engine.bytes
        object.__setattr__(loaded, "engine", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


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
