"""The driver of a device: calls that overlap, and what is left when it is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from inference.engine import Arrays, EngineLost, EngineOutOfMemory
from inference.loaded import Loaded
from service.scheduling.driver import Driver
from tests.service.scheduling.driving import FAR, Gate, Rows, drive, entered


def test_a_lost_device_is_remembered() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        with pytest.raises(EngineLost):
            await driver.run(model, Rows(666, 1), FAR)
        assert driver.lost

    drive(test, Gate(poison=666, error=EngineLost))


def test_chunks_are_accepted_in_order_though_a_second_try_comes_late() -> None:
    """Two calls are out; one of them runs out of memory, so its rows come back after those of the other."""

    class Small(Gate):
        device = "cuda:0"
        once = threading.Lock()

        def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
            if self.once.acquire(blocking=False):
                raise EngineOutOfMemory("full")
            return super().run(operation, inputs)

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        work = Rows(0, 40)
        await driver.run(model, work, FAR)
        work.check()
        assert {rows for _, rows in gate.calls} >= {8, 4}

    drive(test, Small(), depth=2)


@pytest.mark.parametrize(("device", "out"), [("cpu", 1), ("cuda:0", 2)])
def test_the_next_call_is_prepared_only_while_a_device_computes(device: str, out: int) -> None:
    """It follows the engine of the version that computes, whatever device the service was started with."""

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.device = device
        works = [Rows(10.0 * place, 8) for place in range(3)]
        tasks = [asyncio.create_task(driver.run(model, work, FAR)) for work in works]
        await entered(gate)
        for _ in range(10):  # turns of the loop, of which one would do
            await asyncio.sleep(0)
        assert len(driver._scheduler.in_flight) == out
        gate.open.set()
        await asyncio.gather(*tasks)
        for work in works:
            work.check()

    drive(test, depth=2)


@pytest.mark.parametrize(("device", "together"), [("cpu", 1), ("cuda:0", 2)])
def test_calls_of_a_device_overlap_and_those_of_the_host_do_not(device: str, together: int) -> None:
    """On a device each of the first two calls waits until both are in the engine; on the host that would never be."""

    class Meeting(Gate):
        inside = most = come = 0
        lock = threading.Lock()
        both = threading.Barrier(together, timeout=60)

        def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
                self.come += 1
                awaited = self.come <= 2
            if awaited:
                self.both.wait()
            answer = super().run(operation, inputs)
            with self.lock:
                self.inside -= 1
            return answer

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.device = device
        gate.open.set()
        works = [Rows(1000.0 * place, 40) for place in range(5)]
        await asyncio.gather(*(driver.run(model, work, FAR) for work in works))
        for work in works:
            work.check()
        assert isinstance(gate, Meeting) and gate.most == together

    drive(test, Meeting(), depth=2)
