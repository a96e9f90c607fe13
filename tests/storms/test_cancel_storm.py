"""Clients that leave at any moment: nothing of them stays, and their neighbours are answered to the bit."""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from model_store.store import Store
from tests.storms.conftest import MODEL
from tests.support.leaving import MOMENTS, leave
from tests.support.service_process import ServiceProcess, service_process, until_at_rest
from tests.support.wire import JSON, NDJSON, NPZ, Request, Wire

CLIENTS = 24
SLACK_MIB = 24.0
FIXED = {"CONDFLOW_FIXED_ROWS": "64", "CONDFLOW_THREADS": "1"}


def npz(rows: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.random.default_rng(rows).normal(size=(rows, 2)).astype(np.float32))
    return buffer.getvalue()


def sample(count: int, accept: str, **more: object) -> Request:
    return Request.json("/sample", {"model": MODEL, "condition": 1, "num_samples": count, "seed": 7, **more}, accept)


def score(path: str, rows: int) -> Request:
    return Request(f"{path}?model={MODEL}", npz(rows), {"Content-Type": NPZ, "Accept": NPZ})


NEIGHBOURS = (sample(5, NPZ), score("/loglik", 2), score("/infer-condition", 3))
REQUESTS = (
    *NEIGHBOURS,
    sample(5000, JSON),
    sample(20_000, NPZ),
    sample(20_000, JSON, summary=["mean", "quantiles"]),
    score("/loglik", 5000),
    score("/infer-condition", 500),
)
STREAM = sample(1_000_000, NDJSON)


async def storm(port: int, count: int, seed: int) -> Counter[str]:
    """So many requests that are cancelled, beside neighbours whose every answer must be the first one's."""
    left: Counter[str] = Counter()
    chance, turns = random.Random(seed), iter(range(count))
    alone = await Wire.open(port)
    expected = [(await alone.ask(request)).body for request in NEIGHBOURS]
    alone.leave()
    over = asyncio.Event()

    async def client() -> None:
        for _ in turns:
            left[await leave(port, chance, REQUESTS, STREAM)] += 1

    async def neighbour() -> int:
        wire, answers = await Wire.open(port), 0
        while not over.is_set():
            for request, body in zip(NEIGHBOURS, expected, strict=True):
                answer = await wire.ask(request)
                assert answer.status == 200, answer.body
                assert answer.body == body
                answers += 1
        wire.leave()
        return answers

    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(neighbour()) for _ in range(2)]
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(client())
        over.set()
    assert all(task.result() > 3 for task in beside)
    return left


def until_nothing_is_leased(service: ServiceProcess, store: Path) -> None:
    """A version's series go when it is deleted and the last request that held it is over: waits for that."""
    Store.open(store).delete(MODEL, 1, force=True)
    while any(dict(labels).get("model") == MODEL for _, labels in service.metrics()):
        pass


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_cancelled_requests_leave_nothing_behind(store: Path, count: int) -> None:
    with service_process(store, **FIXED, CONDFLOW_POLL_SECONDS="0.1") as service:
        asyncio.run(storm(service.port, max(count // 10, 100), seed=1))  # every allocator's first growth
        until_at_rest(service)
        before = service.vitals()
        left = asyncio.run(storm(service.port, count, seed=2))
        assert set(left) >= set(MOMENTS)
        until_at_rest(service)
        after = service.vitals()
        assert after.memory_mib < before.memory_mib + SLACK_MIB
        assert (after.descriptors, after.threads) == (before.descriptors, before.threads)
        until_nothing_is_leased(service, store)
        assert service.end() == 0
        assert "Traceback" not in service.text
