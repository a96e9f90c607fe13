"""A device with memory for so many rows: requests are cut to what fits, and only those that cannot be answer 503."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inference.engine import Arrays, EngineOutOfMemory
from inference.loaded import Loaded
from service.scheduling.driver import Driver
from tests.service.harness import PATIENCE_S, Running, running, until
from tests.service.scheduling.driving import FAR, Gate, Rows, drive

SETTINGS = {"call_ms": 60_000.0, "short_call_ms": 60_000.0}  # calls are cut by memory, not by time
OUT = ("condflow_out_of_memory_total", (("model", "plain"), ("operation", "score"), ("version", "1")))


class SmallDevice:
    """An engine whose inputs must fit into `bytes`; calls wait until it is open."""

    def __init__(self, engine: Any, size: int) -> None:
        self.engine, self.size = engine, size
        self.open, self.entered = threading.Event(), threading.Event()

    def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        needed = sum(np.asarray(array, np.float32).nbytes for array in inputs.values())
        if needed > self.size:
            raise EngineOutOfMemory(f"{needed} bytes wanted, {self.size} are there")
        return self.engine.run(operation, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def shrink(service: Running, rows: int) -> SmallDevice:
    """Let the device of model `plain` have memory for so many rows of x, of one float each."""
    loaded = service.parts.registry._entries[("plain", 1)].loaded
    assert loaded is not None
    device = SmallDevice(loaded.engine, 4 * rows)
    object.__setattr__(loaded, "engine", device)
    return device


def ask(service: Running, rows: int) -> httpx.Response:
    body = {"model": "plain", "x": np.linspace(-3, 3, rows)[:, None].tolist()}
    return httpx.post(f"{service.url}/loglik", json=body, timeout=PATIENCE_S)


def test_a_request_that_does_not_fit_at_once_is_computed_in_halves(store_path: Path) -> None:
    with running(store_path, **SETTINGS) as service:
        expected = ask(service, 1000).json()
        shrink(service, 600).open.set()
        assert ask(service, 1000).json() == expected
        assert service.metrics()[OUT] == 1
        assert ask(service, 1000).json() == expected
        assert service.metrics()[OUT] == 1  # the next one starts from what fitted


def test_what_fails_again_is_a_503_and_its_neighbours_are_answered(store_path: Path) -> None:
    """A large request and small ones share an engine call; memory suffices for the small ones alone."""
    with running(store_path, **SETTINGS) as service, ThreadPoolExecutor(6) as threads:
        expected = ask(service, 3).json()
        device = shrink(service, 64)
        first = threads.submit(ask, service, 1)
        assert device.entered.wait(PATIENCE_S)
        large = threads.submit(ask, service, 1000)
        small = [threads.submit(ask, service, 3) for _ in range(4)]
        until(lambda: service.parts.driver.queue()[0] == 1012, "all of them in the queue")
        device.open.set()
        refused = large.result()
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:condflow:problem:overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert first.result().status_code == 200
        for answer in small:
            assert (answer.result().status_code, answer.result().json()) == (200, expected)


def test_what_a_failed_call_held_is_free_for_the_one_behind_it() -> None:
    """Two calls are out; the second begins as soon as the first has failed."""

    class Holding(Gate):
        device = "cuda:0"
        held: list[weakref.ref[np.ndarray]] = []
        freed: list[bool] = []

        def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
            self.freed += [reference() is None for reference in self.held]
            if not self.held:
                staged = np.array(inputs["x"])
                self.held.append(weakref.ref(staged))
                raise EngineOutOfMemory("full")
            return super().run(operation, inputs)

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        work = Rows(0, 16)
        await driver.run(model, work, FAR)
        work.check()
        assert isinstance(gate, Holding) and gate.freed[0]

    drive(test, Holding(), depth=2)


@pytest.mark.parametrize("rows", [1000, 5000])
def test_the_budget_of_rows_comes_down_to_what_fits(store_path: Path, rows: int) -> None:
    """A client that heeds Retry-After is answered in the end."""
    with running(store_path, **SETTINGS) as service:
        expected = ask(service, rows).json()
        shrink(service, 64).open.set()
        answers = [ask(service, rows) for _ in range(6)]
        assert answers[0].status_code == 503
        assert (answers[-1].status_code, answers[-1].json()) == (200, expected)
