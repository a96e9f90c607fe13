"""What tests of the driver run: works whose rows are told apart, and an engine that can be held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from inference.engine import Arrays, Engine, EngineError
from inference.loaded import Loaded
from service.scheduling.driver import Driver
from service.scheduling.scheduler import Pace
from tests.inference import handmade

FAR = 1e18


class Rows:
    """A work of `rows` rows with value `value`; keeps what it gets back."""

    operation: Any = "encode"

    def __init__(self, value: float, rows: int) -> None:
        self.value, self.rows = value, rows
        self.chunks: list[tuple[int, int]] = []
        self.out = np.full(rows, np.nan, np.float32)

    def inputs(self, start: int, stop: int) -> Arrays:
        return {"x": (self.value + np.arange(start, stop, dtype=np.float32))[:, None]}

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        assert start == (self.chunks[-1][1] if self.chunks else 0)
        self.chunks.append((start, stop))
        self.out[start:stop] = outputs["z"][:, 0]

    def check(self) -> None:
        """The model is x = 1 + 2 z."""
        np.testing.assert_allclose(self.out, (self.value + np.arange(self.rows) - 1) / 2, rtol=1e-6)


class Gate(Engine):
    """An engine that can be held, counts its calls, and fails where a row is `poison`."""

    device = "cpu"
    draws = False

    def __init__(self, poison: float = FAR, error: type[EngineError] = EngineError) -> None:
        self.engine = handmade.unconditional().load().engine
        self.open = threading.Event()
        self.entered = threading.Event()
        self.calls: list[tuple[str, int]] = []
        self.poison, self.error = poison, error

    def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
        self.entered.set()
        assert self.open.wait(60)
        self.calls.append((operation, len(inputs["x"])))
        if (inputs["x"] == self.poison).any():
            raise self.error("poisoned")
        return self.engine.run(operation, inputs)

    def close(self) -> None:
        self.engine.close()


def loaded(gate: Gate) -> Loaded:
    version = handmade.unconditional().load()
    return Loaded(version.manifest, version.digest, gate)


def drive(test: Callable[[Driver, Gate, Loaded], Awaitable[None]], gate: Gate | None = None, depth: int = 1) -> None:
    async def run() -> None:
        engine = gate or Gate()
        driver = Driver(Pace(short=60.0, long=60.0, most_rows=8, depth=depth))  # rows bound calls, not this machine
        try:
            await test(driver, engine, loaded(engine))
        finally:
            engine.open.set()
            await driver.close()

    asyncio.run(run())


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 60)
