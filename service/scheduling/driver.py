"""The scheduler's driver: an event loop that pulls engine calls, and one engine thread that makes them.

Calls go to the thread through a queue, and come back as one callback each: executors and futures would cost more than
forming a call does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic, perf_counter

from inference.engine import Arrays, EngineLost, Inputs
from inference.loaded import Loaded
from inference.work import Work, joined_inputs
from model_store.signature import Operation
from service.scheduling.cost import Cost, Stretch
from service.scheduling.jobs import Batch, Chunk, Job, Kind
from service.scheduling.layout import Dense, Layout
from service.scheduling.scheduler import Pace, Scheduler

CAUTION = 2.0  # what is admitted should be done in half its time: the queue stays long enough, and answers in time
OnStart = Callable[[], None]
OnBatch = Callable[[Loaded, Operation, int, float], None]


class DeadlinePassed(Exception):
    """The work was still waiting when its deadline passed."""


class TooLate(Exception):
    """The work had not begun when there was no time left for it; `wait`: seconds that the queue takes."""

    def __init__(self, wait: float) -> None:
        super().__init__("the queue left no time")
        self.wait = wait


@dataclass
class Timing:
    """Seconds that one work waited and computed."""

    queue: float = 0.0
    compute: float = 0.0


@dataclass(eq=False)
class _Asked(Job):
    """A job with its work, and the promise of its end.

    `accepted` and `early` belong to the engine thread: rows that the work has taken, and chunks that came back before
    the ones in front of them.
    """

    loaded: Loaded = field(kw_only=True)
    work: Work = field(kw_only=True)
    done: asyncio.Future[Timing] = field(kw_only=True)
    on_start: OnStart = field(kw_only=True)
    timing: Timing = field(default_factory=Timing)
    arrived: float = field(kw_only=True)
    since: float = field(default_factory=perf_counter)
    accepted: int = 0
    early: dict[int, tuple[int, Arrays]] = field(default_factory=dict)


@dataclass
class _Outcome:
    """What became of a call: what single works raised, and what the engine did. `started` by `perf_counter`."""

    faults: dict[Chunk, Exception]
    error: Exception | None
    started: float
    seconds: float


class Driver:
    """Runs works beside their neighbours, cut and ordered by the scheduler.

    Args:
        pace: how long and how many engine calls may be.
        on_batch: called with (loaded, operation, rows, seconds) after each engine call.
        layout: how the rows of a call lie in it.
    """

    def __init__(self, pace: Pace, on_batch: OnBatch = lambda *_: None, layout: Layout | None = None) -> None:
        self._layout = layout or Dense()
        self._costs: defaultdict[Kind, Cost] = defaultdict(Cost)
        self._devices: dict[Kind, str] = {}
        self._scheduler = Scheduler(pace, self._costs.__getitem__, lambda kind: self._devices[kind] != "cpu")
        self._on_batch = on_batch
        self._calls: SimpleQueue[Batch | None] = SimpleQueue()
        self._engine: threading.Thread | None = None
        self._pulling = False
        self._closed = False
        self._lost = False
        self._stretch = Stretch()
        self._followed: float | None = None

    @property
    def lost(self) -> bool:
        """Whether the device is gone for good."""
        return self._lost

    def queue(self) -> tuple[int, float]:
        """Rows that wait, and the age of the oldest in seconds."""
        waiting = [_asked(job) for job in self._scheduler.waiting()]
        now = monotonic()
        return sum(job.left for job in waiting), now - min((job.arrived for job in waiting), default=now)

    @property
    def backlog(self) -> float:
        """Seconds until all that waits is done."""
        return self._scheduler.backlog

    def excess(self, loaded: Loaded, operation: Operation, rows: int, left: float) -> float:
        """Seconds to wait before so many new rows could be done in the `left` ones, as things stand; 0 for none.

        What would take longer even if it were alone is not kept waiting: its cost may be a wrong guess.
        """
        if self._scheduler.idle:
            return 0.0
        kind = _kind(loaded, operation)
        alone, delay = self._scheduler.seconds(kind, rows), self._scheduler.delay(kind, rows)
        delay *= CAUTION * self._stretch.factor
        return delay - alone if alone < left < delay else 0.0

    def learn(self, loaded: Loaded, operation: Operation, rows: int, seconds: float) -> None:
        """Tell what a call took that was made elsewhere, at warm-up."""
        self._costs[_kind(loaded, operation)].observe(rows, seconds)

    async def run(
        self, loaded: Loaded, work: Work, deadline: float, tenant: str = "", on_start: OnStart = lambda: None
    ) -> Timing:
        """Run all rows of `work`; return when its last chunk was accepted. `on_start`: its first rows left the queue.

        Cancelling the call drops what has not started. Raises DeadlinePassed, EngineError, or what the work raises.
        """
        if work.rows == 0:
            return Timing()
        if self._lost:
            raise EngineLost("the device is gone")
        loop = asyncio.get_running_loop()
        if self._engine is None:
            self._engine = threading.Thread(target=self._make_calls, args=(loop,), name="condflow-engine", daemon=True)
            self._engine.start()
        done = loop.create_future()
        kind = _kind(loaded, work.operation)
        self._devices[kind] = loaded.engine.device
        alone, arrived = self._stretch.factor * self._scheduler.seconds(kind, work.rows), monotonic()
        job = _Asked(
            kind,
            tenant,
            work.rows,
            deadline,
            deadline - alone if alone < deadline - arrived else deadline,
            loaded=loaded,
            work=work,
            done=done,
            on_start=on_start,
            arrived=arrived,
        )
        self._scheduler.submit(job)
        self._pull_soon()
        try:
            return await done
        finally:
            self._scheduler.leave(job)

    async def close(self) -> None:
        """Stop after the engine call in progress; what waits is cancelled."""
        self._closed = True
        for job in list(self._scheduler.waiting()):
            _asked(job).done.cancel()
        if self._engine is not None:
            self._calls.put(None)
            await asyncio.to_thread(self._engine.join)

    def _pull_soon(self) -> None:
        """Pull after two turns of the loop: it has then read and submitted all that is there, and one call takes it.

        A busy loop makes the engine wait, which costs nothing as the loop is the slower one; an idle one turns at once.
        """
        if not self._pulling:
            self._pulling = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._pull)

    def _pull(self) -> None:
        """Hand out as many calls as may be."""
        self._pulling = False
        if self._closed:
            return
        for job in self._scheduler.expired(now := monotonic()):
            _end(job, DeadlinePassed() if now >= job.deadline else TooLate(self.backlog))
        while (batch := self._scheduler.pull()) is not None:
            for chunk in batch.chunks:
                if not chunk.start:
                    _asked(chunk.job).on_start()
            self._calls.put(batch)

    def _make_calls(self, loop: asyncio.AbstractEventLoop) -> None:
        """The engine thread: one call after the other."""
        while (batch := self._calls.get()) is not None:
            loop.call_soon_threadsafe(self._settle, batch, _compute(batch, self._layout))

    def _settle(self, batch: Batch, outcome: _Outcome) -> None:
        """Tell the scheduler, hand out the next call, then end what is done."""
        jobs = [_asked(chunk.job) for chunk in batch.chunks]
        for job in jobs:
            job.timing.queue += max(outcome.started - job.since, 0.0)
            job.timing.compute += outcome.seconds
            job.since = outcome.started + outcome.seconds
        for chunk, fault in outcome.faults.items():
            self._fail(chunk.job, fault)
        if outcome.error is None:
            self._scheduler.finished(batch, outcome.seconds)
            self._learn_stretch(outcome)
            self._on_batch(jobs[0].loaded, jobs[0].work.operation, batch.rows, outcome.seconds)
        else:
            self._lost = self._lost or isinstance(outcome.error, EngineLost)
            for chunk in self._scheduler.failed(batch, outcome.error):
                self._fail(chunk.job, outcome.error)
        self._pull_soon()
        for job in jobs:
            if job.accepted == job.rows and not job.done.done():
                job.done.set_result(job.timing)

    def _learn_stretch(self, outcome: _Outcome) -> None:
        """From calls that found something waiting when the one before them ended."""
        ended = perf_counter()
        if self._followed is not None:
            self._stretch.observe(ended - self._followed, outcome.seconds)
        self._followed = ended if self._scheduler.backlog else None

    def _fail(self, job: Job, error: Exception) -> None:
        self._scheduler.leave(job)
        _end(job, error)


def _kind(loaded: Loaded, operation: Operation) -> Kind:
    """By digest: it outlives the version, so that one which is loaded again starts with what was learnt."""
    return loaded.digest, operation


def _compute(batch: Batch, layout: Layout) -> _Outcome:
    """Make one call in the engine thread, and hand each work its outputs. A work's own fault stops no other."""
    first = _asked(batch.chunks[0].job)
    try:
        first.loaded.engine.prepare(first.work.operation)  # not part of what calls cost: it is waited for once
    except Exception as failure:
        return _Outcome({}, failure, perf_counter(), 0.0)
    started = perf_counter()
    inputs, faults = _inputs(batch)
    error: Exception | None = None
    if inputs:
        try:
            members = [(chunk.start, arrays) for chunk, arrays in inputs.items()]
            outputs = layout.run(first.loaded.engine, first.work.operation, members)
        except Exception as failure:  # whatever it is, it must not end the service
            error = failure
        else:
            for chunk, own in zip(inputs, outputs, strict=True):
                try:
                    _accept(_asked(chunk.job), chunk, own)
                except Exception as fault:
                    faults[chunk] = fault
    return _Outcome(faults, error, started, perf_counter() - started)


def _inputs(batch: Batch) -> tuple[dict[Chunk, Inputs], dict[Chunk, Exception]]:
    """The inputs of each chunk; where not all can be had together, one by one, and what fails for itself."""
    try:
        together = joined_inputs([(_asked(chunk.job).work, chunk.start, chunk.stop) for chunk in batch.chunks])
        return dict(zip(batch.chunks, together, strict=True)), {}
    except Exception as failure:
        if len(batch.chunks) == 1:
            return {}, {batch.chunks[0]: failure}
    inputs: dict[Chunk, Inputs] = {}
    faults: dict[Chunk, Exception] = {}
    for chunk in batch.chunks:
        try:
            inputs[chunk] = _asked(chunk.job).work.inputs(chunk.start, chunk.stop)
        except Exception as fault:
            faults[chunk] = fault
    return inputs, faults


def _accept(job: _Asked, chunk: Chunk, outputs: Arrays) -> None:
    """Hand chunks to the work in order: a second try comes back after what followed it."""
    job.early[chunk.start] = (chunk.stop, outputs)
    while job.accepted in job.early and not job.ended:
        start = job.accepted
        job.accepted, ready = job.early.pop(start)
        job.work.accept(start, job.accepted, ready)


def _end(job: Job, error: Exception) -> None:
    done = _asked(job).done
    if not done.done():
        done.set_exception(error)


def _asked(job: Job) -> _Asked:
    assert isinstance(job, _Asked)
    return job
