"""Admission by time: what the queue would make late is turned away while it costs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from model_store.store import Store
from tests.inference import handmade
from tests.service.harness import Running, running
from tests.service.slow import slow_down
from tests.service.versions import publish


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    publish(Store.open(tmp_path / "models"), "m", handmade.unconditional())
    with running(tmp_path / "models", load_wait_s=10.0) as started:
        yield started


def ask(service: Running, milliseconds: int) -> httpx.Response:
    headers = {"x-request-timeout-ms": str(milliseconds)}
    return httpx.post(service.url + "/loglik", json={"model": "m", "x": [[0.5]]}, headers=headers, timeout=90)


def test_a_request_that_the_queue_would_make_late_is_turned_away(service: Running) -> None:
    """A row is said to take 20 seconds. One is in the engine: another would be done in 40 at best."""
    service.client.post("/loglik", json={"model": "m", "x": [[0.5]]}).raise_for_status()
    slow = slow_down(service, "m")
    loaded = service.parts.registry._entries[("m", 1)].loaded
    for _ in range(3000):
        service.parts.driver.learn(loaded, "score", 1, 20.0)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(ask, service, 55_000)
        assert slow.entered.wait(60)
        refused = ask(service, 45_000)
        slow.hold.set()
        assert first.result().status_code == 200
    assert refused.status_code == 503
    assert refused.json()["type"].endswith("overloaded")
    assert int(refused.headers["retry-after"]) >= 20
    assert set(refused.json()) == {"type", "title", "status", "detail"}
    assert re.fullmatch(r"the queue is [0-9.]+ s long for this request", refused.json()["detail"])
    names = ["date", "retry-after", "content-length", "content-type", "x-request-id", "server-timing"]
    assert list(refused.headers) == [*names, "x-content-type-options", "cache-control", "referrer-policy"]
    assert refused.headers["content-type"] == "application/problem+json"
