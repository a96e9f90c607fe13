"""The scheduler's driver: an event loop that pulls engine calls, and engine threads that make them.

There is one thread where the host computes, and one for each call in flight where a device does: the inputs of the next
call are made and copied meanwhile. Calls go to them through a queue, and come back as one callback each: executors and
futures would cost more than forming a call does. While a large work is alone on the host, its thread forms the next
call itself: a turn of the loop between two calls would cost a thirtieth of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic, perf_counter

from inference.engine import EngineLost, EngineOutOfMemory
from inference.loaded import Loaded
from inference.work import Work
from model_store.signature import Operation
from service.cores import own_cores
from service.scheduling.calls import Asked, OnStart, Outcome, Timing, asked, compute
from service.scheduling.cost import Busy, Cost, Stretch
from service.scheduling.gathering import Gathering
from service.scheduling.jobs import Batch, Job, Kind
from service.scheduling.layout import Dense, Layout
from service.scheduling.scheduler import Pace, Scheduler

SERIES_S = 0.1  # seconds after which the loop is told of the calls that an engine thread made by itself
CAUTION = 2.0  # what is admitted should be done in half its time: the queue stays long enough, and answers in time
OnBatch = Callable[[Loaded, Operation, int, float], None]
Call = tuple[Batch, Outcome]
OnShortage = Callable[[Loaded, Operation], None]


class DeadlinePassed(Exception):
    """The work was still waiting when its deadline passed."""


class TooLate(Exception):
    """There is no time left for the work, which has not begun; `wait`: seconds that the queue takes."""

    def __init__(self, wait: float, message: str = "the queue left no time for this request") -> None:
        super().__init__(message)
        self.wait = wait


class Driver:
    """Runs works beside their neighbours, cut and ordered by the scheduler.

    Args:
        pace: how long and how many engine calls may be.
        on_batch: called with (loaded, operation, rows, seconds) after each engine call, of the rows that it computed.
        layout: how the rows of a call lie in it.
        on_shortage: called with (loaded, operation) after each engine call for which there was no memory.
        cores: of the host that the process may use; by default it asks.

    Attributes:
        when_lost: called once, when the device is gone for good.
    """

    when_lost: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        pace: Pace,
        on_batch: OnBatch = lambda *_: None,
        layout: Layout | None = None,
        on_shortage: OnShortage = lambda *_: None,
        cores: int | None = None,
    ) -> None:
        self._layout, self._depth, self._cores = layout or Dense(), pace.depth, cores or own_cores()
        self._costs: defaultdict[Kind, Cost] = defaultdict(Cost)
        self._devices: dict[Kind, str] = {}
        self._scheduler = Scheduler(pace, self._costs.__getitem__, lambda kind: self._devices[kind] != "cpu")
        self._on_batch, self._on_shortage = on_batch, on_shortage
        self._calls: SimpleQueue[Batch | None] = SimpleQueue()
        self._engines: list[threading.Thread] = []
        self._works = threading.Lock()
        self._state = threading.RLock()  # of the scheduler, and of what is learnt of calls
        self._busy = Busy()
        self._gathering = Gathering(self._pull)
        self._closed = False
        self._lost = False
        self._stretch = Stretch()
        self._followed: float | None = None
        self._at_most = (
            0.0  # seconds of all that waits: as it was at the last pull, and each one's that came since alone
        )

    @property
    def lost(self) -> bool:
        """Whether the device is gone for good."""
        return self._lost

    def queue(self) -> tuple[int, float]:
        """Rows that wait, and the age of the oldest in seconds."""
        with self._state:
            waiting = [asked(job) for job in self._scheduler.waiting()]
        now = monotonic()
        return sum(job.left for job in waiting), now - min((job.arrived for job in waiting), default=now)

    @property
    def backlog(self) -> float:
        """Seconds until all that waits is done, as things stand."""
        with self._state:
            return self._stretch.factor * self._scheduler.backlog

    def learn(self, loaded: Loaded, operation: Operation, rows: int, seconds: float) -> None:
        """Tell what a call took that was made elsewhere, at warm-up."""
        self._costs[_kind(loaded, operation)].observe(rows, seconds)

    async def run(
        self,
        loaded: Loaded,
        work: Work,
        deadline: float,
        tenant: str = "",
        on_start: OnStart = lambda: None,
        *,
        refusable: bool = False,
    ) -> Timing:
        """Run all rows of `work`; return when its last chunk was accepted. `on_start`: its first rows left the queue.

        Cancelling the call drops what has not started. `refusable`: what the queue will not let be done in time is
        refused now, rather than computed for nobody.

        Raises DeadlinePassed, TooLate, EngineError, or what the work raises.
        """
        if work.rows == 0:
            return Timing()
        if self._lost:
            raise EngineLost("the device is gone")
        loop = asyncio.get_running_loop()
        self._start_engines(loop, 1 if loaded.engine.device == "cpu" else self._depth)
        done = loop.create_future()
        kind = _kind(loaded, work.operation)
        self._devices[kind] = device = loaded.engine.device
        self._gathering.shares_core = self._cores == 1 and device == "cpu"
        arrived = monotonic()
        with self._state:
            alone, stretch = self._scheduler.seconds(kind, work.rows), self._stretch.factor
            if refusable and CAUTION * stretch * (self._at_most + alone) > deadline - arrived:
                self._refuse_late(kind, work.rows, alone, deadline - arrived)
            job = Asked(
                kind,
                tenant,
                work.rows,
                deadline,
                deadline - stretch * alone if stretch * alone < deadline - arrived else deadline,
                loaded=loaded,
                work=work,
                done=done,
                on_start=on_start,
                arrived=arrived,
            )
            self._scheduler.submit(job)
            self._at_most += alone
        self._gathering.came()
        try:
            return await done
        finally:
            self._leave(job)

    def _refuse_late(self, kind: Kind, rows: int, alone: float, left: float) -> None:
        """Raise TooLate where so many new rows cannot be done in the `left` seconds, as things stand.

        What would take longer even if it were alone is not kept waiting: its cost may be a wrong guess.
        """
        if self._scheduler.idle:
            return
        delay = CAUTION * self._stretch.factor * self._scheduler.delay(kind, rows)
        if alone < left < delay:
            wait = delay - alone
            raise TooLate(wait, f"the queue is {wait:.1f} s long for this request")

    def lose(self) -> None:
        """The device is gone for good: all that waits fails now, and so does whatever comes."""
        if not self._lost:
            self._lost = True
            for job in self._abandon():
                _end(job, EngineLost("the device is gone"))
            self.when_lost()

    async def close(self) -> None:
        """Stop after the engine call in progress; what waits is cancelled."""
        self._closed = True
        with self._state:
            waiting = list(self._scheduler.waiting())
        for job in waiting:
            asked(job).done.cancel()
        for _ in self._engines:
            self._calls.put(None)
        for engine in self._engines:
            await asyncio.to_thread(engine.join)
        for job in self._abandon():  # whose call failed meanwhile, and will not be tried again
            asked(job).done.cancel()

    def _pull(self) -> None:
        """Hand out as many calls as may be."""
        if self._closed:
            return
        with self._state:
            for job in self._scheduler.expired(now := monotonic()):
                _end(job, DeadlinePassed() if now >= job.deadline else TooLate(self.backlog))
            while (batch := self._scheduler.pull()) is not None:
                for chunk in batch.chunks:
                    if not chunk.start:
                        asked(chunk.job).on_start()
                self._calls.put(batch)
            self._at_most = self._scheduler.backlog

    def _start_engines(self, loop: asyncio.AbstractEventLoop, wanted: int) -> None:
        """As many threads as calls may be in flight."""
        while len(self._engines) < wanted:
            engine = threading.Thread(target=self._make_calls, args=(loop,), name="condflow-engine", daemon=True)
            self._engines.append(engine)
            engine.start()

    def _make_calls(self, loop: asyncio.AbstractEventLoop) -> None:
        """An engine thread: one call after the other, and those that it forms itself in a series."""
        while (batch := self._calls.get()) is not None:
            series: list[Call] = []
            while batch is not None:
                series.append((batch, compute(batch, self._layout, self._works)))
                batch = self._follow(series)
            loop.call_soon_threadsafe(self._settle, series)

    def _follow(self, series: list[Call]) -> Batch | None:
        """In an engine thread: the next call, where there is no choice which and the last one ended no job."""
        batch, outcome = series[-1]
        if self._closed or not outcome.whole or outcome.ended - series[0][1].started > SERIES_S:
            return None
        with self._state:
            if not self._scheduler.alone(batch) or batch.chunks[0].job.hopeless(monotonic()):
                return None
            self._finish(batch, outcome)
            return self._scheduler.pull()

    def _settle(self, series: list[Call]) -> None:
        """Tell the scheduler of the last call, hand out the next one, then end what is done."""
        batch, outcome = series[-1]
        jobs = [asked(chunk.job) for chunk in batch.chunks]
        loaded, operation = jobs[0].loaded, jobs[0].work.operation
        with self._state:
            for chunk, fault in outcome.faults.items():
                self._fail(chunk.job, fault)
            self._finish(batch, outcome)
        for call in series:
            _keep_time(*call)
            if call[1].rows:
                self._on_batch(loaded, operation, call[1].rows, call[1].seconds)
        if isinstance(outcome.error, EngineOutOfMemory):
            self._on_shortage(loaded, operation)
        elif isinstance(outcome.error, EngineLost):
            self.lose()
        self._gathering.pull_soon()
        for job in jobs:
            if job.accepted == job.rows and not job.done.done():
                job.done.set_result(job.timing)

    def _finish(self, batch: Batch, outcome: Outcome) -> None:
        """Tell the scheduler what became of a call, and learn from what it took."""
        expected = self._scheduler.in_flight[batch]
        outcome.seconds = self._busy.seconds(outcome.started, outcome.ended)
        if outcome.error is None:
            self._scheduler.finished(batch, outcome.seconds, whole=outcome.whole)
        else:
            for chunk in self._scheduler.failed(batch, outcome.error):
                self._fail(chunk.job, outcome.error)
        ended = perf_counter()
        if outcome.whole and self._followed is not None:  # it found something waiting when the one before it ended
            self._stretch.observe(ended - self._followed, expected)
        self._followed = ended if self._scheduler.backlog else None

    def _fail(self, job: Job, error: Exception) -> None:
        self._leave(job)
        _end(job, error)

    def _leave(self, job: Job) -> None:
        with self._state:
            self._scheduler.leave(job)

    def _abandon(self) -> list[Job]:
        with self._state:
            return self._scheduler.abandon()


def _kind(loaded: Loaded, operation: Operation) -> Kind:
    """By digest: it outlives the version, so that one which is loaded again starts with what was learnt."""
    return loaded.digest, operation


def _keep_time(batch: Batch, outcome: Outcome) -> None:
    """Add a call to what its jobs waited and computed."""
    for chunk in batch.chunks:
        job = asked(chunk.job)
        job.timing.queue += max(outcome.started - job.since, 0.0)
        job.timing.compute += outcome.ended - outcome.started
        job.since = outcome.ended


def _end(job: Job, error: Exception) -> None:
    done = asked(job).done
    if not done.done():
        done.set_exception(error)
