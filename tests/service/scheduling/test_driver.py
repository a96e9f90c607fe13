"""The driver with a real engine thread: merging, order, cancelling, deadlines, and members that fail by themselves."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from inference.engine import Arrays, EngineError
from inference.loaded import Loaded
from service.scheduling.calls import Asked, _accept
from service.scheduling.driver import DeadlinePassed, Driver
from service.scheduling.jobs import Chunk
from tests.service.scheduling.driving import FAR, Gate, Rows, drive, entered, loaded


def test_works_are_merged_and_answered_right() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        works = [Rows(10.0 * place, rows) for place, rows in enumerate([1, 3, 2, 9, 1])]
        gate.open.set()
        await asyncio.gather(*(driver.run(model, work, FAR) for work in works))
        for work in works:
            work.check()
        assert sum(rows for _, rows in gate.calls) == 16
        assert len(gate.calls) < 5

    drive(test)


def test_a_lone_work_fills_the_engine_call() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        work = Rows(0, 20)
        timing = await driver.run(model, work, FAR)
        work.check()
        assert [rows for _, rows in gate.calls] == [8, 8, 4]
        assert timing.compute > 0

    drive(test)


class Counted(Gate):
    """An engine that says when it has made so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.wanted, self.reached = calls, threading.Event()

    def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
        outputs = super().run(operation, inputs)
        if len(self.calls) == self.wanted:
            self.reached.set()
        return outputs


def test_a_lone_work_goes_on_while_the_loop_is_busy() -> None:
    """And what comes meanwhile shares the next call."""

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        assert isinstance(gate, Counted)
        told: list[int] = []
        driver._on_batch = lambda _loaded, _operation, rows, _seconds: told.append(rows)
        big, small = Rows(0, 100), Rows(500, 2)
        running = asyncio.create_task(driver.run(model, big, FAR))
        await entered(gate)
        gate.open.set()
        assert gate.reached.wait(60)
        await driver.run(model, small, FAR)
        small.check()
        timing = await running
        big.check()
        assert sum(told) == 102 and told == [rows for _, rows in gate.calls]
        assert timing.compute > 0

    drive(test, Counted(3))


async def small_after_big(driver: Driver, gate: Gate, first: Loaded, second: Loaded) -> None:
    """Two rows of `second` come while a hundred of `first` are in progress, and are done long before these."""
    big, small = Rows(0, 100), Rows(500, 2)
    running = asyncio.create_task(driver.run(first, big, FAR))
    await entered(gate)
    beside = asyncio.create_task(driver.run(second, small, FAR))
    await asyncio.sleep(0)
    gate.open.set()
    await beside
    assert len(big.chunks) <= 3
    small.check()
    await running
    big.check()


def test_a_small_work_waits_for_one_call_of_a_big_one() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        await small_after_big(driver, gate, model, model)

    drive(test)


def test_two_versions_share_the_engine() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        await small_after_big(driver, gate, model, loaded(gate))

    drive(test)


def test_a_poisoned_member_fails_alone() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        works = [Rows(0, 2), Rows(666, 2), Rows(20, 2)]
        gate.open.set()
        results = await asyncio.gather(*(driver.run(model, work, FAR) for work in works), return_exceptions=True)
        assert isinstance(results[1], EngineError)
        works[0].check()
        works[2].check()
        assert not driver.lost

    drive(test, Gate(poison=666))


class Unprepared(Gate):
    """An engine that fails before its first call."""

    failures = 1

    def prepare(self, operation: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise EngineError("not yet")


def test_an_engine_that_cannot_be_prepared_fails_what_waits_for_it_alone() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        with pytest.raises(EngineError, match="not yet"):
            await driver.run(model, Rows(0, 1), FAR)
        assert not gate.calls
        later = Rows(0, 1)
        await driver.run(model, later, FAR)
        later.check()

    drive(test, Unprepared())


class Faulty(Rows):
    """A work whose inputs, or whose acceptance, fail in the engine thread."""

    def __init__(self, where: str) -> None:
        super().__init__(0, 2)
        self.where = where

    def inputs(self, start: int, stop: int) -> Arrays:
        if self.where == "inputs":
            raise MemoryError(self.where)
        return super().inputs(start, stop)

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        if self.where == "accept":
            raise MemoryError(self.where)
        super().accept(start, stop, outputs)


@pytest.mark.parametrize(("where", "computed"), [("inputs", 4), ("accept", 6)])
def test_a_work_with_a_fault_of_its_own_fails_alone(where: str, computed: int) -> None:
    """Rows for which there were no inputs are not counted as computed."""

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        counted: list[int] = []
        driver._on_batch = lambda _loaded, _operation, rows, _seconds: counted.append(rows)
        works = [Rows(0, 2), Faulty(where), Rows(20, 2)]
        gate.open.set()
        results = await asyncio.gather(*(driver.run(model, work, FAR) for work in works), return_exceptions=True)
        assert isinstance(results[1], MemoryError)
        works[0].check()
        works[2].check()
        assert sum(counted) == computed

    drive(test)


def test_a_call_for_which_there_were_no_inputs_is_not_taken_for_a_quick_one() -> None:
    """Its rows were not computed: what it took says nothing of what rows cost."""

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        expected = driver._scheduler.seconds((model.digest, "encode"), 100)
        with pytest.raises(MemoryError):
            await driver.run(model, Faulty("inputs"), FAR)
        assert driver._scheduler.seconds((model.digest, "encode"), 100) == expected

    drive(test)


def test_time_without_work_is_not_taken_for_a_slow_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what comes after a quiet time, and finds a call in progress, would be told to wait for hours."""
    clock = itertools.count(step=1000)
    monkeypatch.setattr("service.scheduling.driver.perf_counter", lambda: float(next(clock)))

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        guess = driver._stretch.factor
        for _ in range(3):
            await driver.run(model, Rows(0, 1), FAR)
        assert driver._stretch.factor == guess
        await driver.run(model, Rows(0, 9), FAR)  # two calls, of which one follows the other
        assert driver._stretch.factor > guess

    drive(test)


def test_a_cancelled_work_is_dropped_when_a_batch_is_formed() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        first = asyncio.create_task(driver.run(model, Rows(0, 1), FAR))
        await entered(gate)
        gone, stays = Rows(100, 500), Rows(200, 1)
        leaving = asyncio.create_task(driver.run(model, gone, FAR))
        staying = asyncio.create_task(driver.run(model, stays, FAR))
        await asyncio.sleep(0)
        assert driver.queue()[0] == 501
        leaving.cancel()
        await asyncio.sleep(0)
        assert driver.queue()[0] == 1
        gate.open.set()
        await asyncio.gather(first, staying)
        assert gone.chunks == []
        stays.check()
        assert sum(rows for _, rows in gate.calls) == 2
        assert driver.queue() == (0, 0.0)

    drive(test)


def test_cancelling_at_every_step_harms_no_neighbour() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        gate.open.set()
        for step in range(30):
            works = [Rows(1000.0 * place, 30) for place in range(3)]
            tasks = [asyncio.create_task(driver.run(model, work, FAR)) for work in works]
            for _ in range(step):
                await asyncio.sleep(0)
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            works[0].check()
            works[2].check()
        assert driver.queue()[0] == 0

    drive(test)


def test_a_work_past_its_deadline_is_dropped() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        first = asyncio.create_task(driver.run(model, Rows(0, 1), FAR))
        await entered(gate)
        late = Rows(100, 5)
        waiting = asyncio.create_task(driver.run(model, late, time.monotonic()))
        await asyncio.sleep(0)
        gate.open.set()
        with pytest.raises(DeadlinePassed):
            await waiting
        await first
        assert late.chunks == []

    drive(test)


def test_no_rows_need_no_engine() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        await driver.run(model, Rows(0, 0), FAR)
        assert gate.calls == []

    drive(test)


def test_closing_ends_what_waits() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        first = asyncio.create_task(driver.run(model, Rows(0, 1), FAR))
        await entered(gate)
        second = asyncio.create_task(driver.run(model, Rows(10, 1), FAR))
        await asyncio.sleep(0)
        gate.open.set()
        await driver.close()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[1], asyncio.CancelledError)

    drive(test)


def test_closing_ends_what_would_be_tried_again() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        runs = [asyncio.create_task(driver.run(model, Rows(value, 1), FAR)) for value in (0, 666)]
        await entered(gate)
        closing = asyncio.create_task(driver.close())
        await asyncio.sleep(0)
        gate.open.set()
        await closing
        results = await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), 60)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2

    drive(test, Gate(poison=666))


def test_rows_count_as_accepted_when_the_work_has_taken_them() -> None:
    """Another chunk of the job may come back meanwhile, and whoever sees that all are there answers with them."""
    seen = []

    class Watching(Rows):
        def accept(self, start: int, stop: int, outputs: Arrays) -> None:
            seen.append(job.accepted)
            super().accept(start, stop, outputs)

    job = cast(Asked, SimpleNamespace(accepted=0, early={}, ended=False, work=Watching(0.0, 12)))
    for start, stop in ((4, 12), (0, 4)):
        _accept(job, cast(Chunk, SimpleNamespace(start=start, stop=stop)), {"z": np.zeros((stop - start, 1))})
    assert seen == [0, 4] and job.accepted == 12


def test_a_failure_that_names_itself_as_its_cause_ends_the_call() -> None:
    class Own(Gate):
        def run(self, operation: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
            error = EngineError("of its own making")
            raise error from error

    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        with pytest.raises(EngineError, match="of its own making"):
            await asyncio.wait_for(driver.run(model, Rows(0, 1), FAR), 60)

    drive(test, Own())


def test_tenants_take_turns() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        works = [Rows(1000.0 * place, 40) for place in range(10)]
        one = Rows(50_000.0, 40)
        tasks = [asyncio.create_task(driver.run(model, work, FAR, "many")) for work in works]
        last = asyncio.create_task(driver.run(model, one, FAR, "one"))
        await asyncio.sleep(0)
        gate.open.set()
        await last
        one.check()
        assert sum(stop - start for work in works for start, stop in work.chunks) < 60
        await asyncio.gather(*tasks)
        for work in works:
            work.check()

    drive(test)


def test_who_must_come_again_is_told_of_what_the_host_takes_beside_the_calls() -> None:
    async def test(driver: Driver, gate: Gate, model: Loaded) -> None:
        driver.learn(model, "encode", 1000, 1.0)
        waiting = asyncio.create_task(driver.run(model, Rows(0, 10), FAR))
        await entered(gate)
        expected = driver._scheduler.backlog
        for _ in range(100):
            driver._stretch.observe(3.0, 1.0)
        assert driver.backlog == pytest.approx(3 * expected) and expected > 0
        gate.open.set()
        await waiting

    drive(test)
