"""One soak: a long first life for leaks and drift, then lives that end by SIGTERM and by `kill -9`."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.clients import World, asker, attacker, leaver, operator
from benchmarks.soak.diary import Diary, Restart
from benchmarks.soak.subject import MEASURED, QUESTIONS, SETTINGS, fill
from model_store.store import Store
from tests.support.service_process import PATIENCE_S, ServiceProcess, Vitals, until_at_rest
from tests.support.wire import Wire

FIRST_LIFE = 0.7  # of the time
LIFE_S = 12.0
REPORT_S = 5.0


@dataclass(frozen=True)
class Soak:
    """What a run leaves: `calm` before the load and `rest` after the first life, both with nobody asking."""

    diary: Diary
    first_life_s: float
    calm: Vitals
    rest: Vitals
    at_rest: bool
    exit_code: int


def soak(folder: Path, seconds: float) -> Soak:
    """Run it over a new store in `folder`."""
    store = fill(folder / "models")
    service = _start(folder / "models")
    try:
        return asyncio.run(_Run(store, folder / "models", service, seconds).whole())
    finally:
        for process in _STARTED:
            if process.process.poll() is None:
                process.process.kill()
            process.outlive()


_STARTED: list[ServiceProcess] = []


def _start(path: Path, port: int = 0) -> ServiceProcess:
    service = ServiceProcess(path, port=port, **SETTINGS)
    _STARTED.append(service)
    service.wait()
    return service


class _Run:
    def __init__(self, store: Store, path: Path, service: ServiceProcess, seconds: float) -> None:
        self.store, self.path, self.service, self.seconds = store, path, service, seconds
        self.world = World(service.port, Diary())
        self.chance = random.Random(0)

    async def whole(self) -> Soak:
        """Both parts, each with all clients."""
        world, first = self.world, FIRST_LIFE * self.seconds
        await world.learn()
        calm = await self._vitals_at_rest()
        world.diary.started = time.monotonic()
        await self._with_clients(self._watch(first))
        rest = await self._vitals_at_rest()
        await self._with_clients(self._lives())
        at_rest = await self._vitals_at_rest() is not None
        code = await asyncio.to_thread(self.service.end)
        assert calm is not None
        return Soak(world.diary, first, calm, rest or self.service.vitals(), rest is not None and at_rest, code)

    async def _with_clients(self, story: object) -> None:
        world = self.world
        world.over.clear()
        world.up.set()
        async with asyncio.TaskGroup() as group:
            for kind in [*QUESTIONS, MEASURED]:
                group.create_task(asker(world, kind))
            for _ in range(4):
                group.create_task(leaver(world, self.chance))
            group.create_task(attacker(world, self.chance))
            group.create_task(operator(world, self.store))
            await story  # type: ignore[misc]
            world.over.set()
            world.up.set()

    async def _watch(self, until: float) -> None:
        """Look at the process once a second, and report."""
        diary, reported = self.world.diary, 0.0
        while diary.now < until:
            with suppress(OSError):
                diary.vitals.append((diary.now, self.service.vitals()))
            if diary.now - reported >= REPORT_S:
                reported = diary.now
                print(diary.line(self.seconds))
            await asyncio.sleep(1.0)

    async def _lives(self) -> None:
        """Lives of some seconds each, ended in turn gently and by force."""
        signals = (signal.SIGTERM, signal.SIGKILL)
        while self.world.diary.now < self.seconds:
            await self._watch(min(self.world.diary.now + LIFE_S, self.seconds))
            await self._restart(signals[len(self.world.diary.restarts) % 2])

    async def _restart(self, sig: signal.Signals) -> None:
        world, port = self.world, self.service.port
        world.up.clear()
        code = await asyncio.to_thread(self.service.end, sig)
        started = time.monotonic()
        self.service = await asyncio.to_thread(_start, self.path, port)
        wire = await Wire.open(port)
        answer = await wire.ask(QUESTIONS[MEASURED])
        wire.leave()
        if answer.status != 200:
            world.diary.fail(MEASURED, f"after {sig.name}: {answer.status}")
        world.diary.restarts.append(Restart(sig.name, code, time.monotonic() - started, self.service.cpu_seconds()))
        world.lives += 1
        world.up.set()

    async def _vitals_at_rest(self) -> Vitals | None:
        """When nothing is in progress any more; None where something stays for PATIENCE_S."""
        try:
            await asyncio.to_thread(until_at_rest, self.service)
        except AssertionError as error:
            self.world.diary.failures.append(f"after {PATIENCE_S:g} s {error}")
            return None
        return self.service.vitals()
