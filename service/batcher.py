"""A plain batching loop: works of one (version, operation) share engine calls, and big ones take turns.

The seam is `Batcher.run(loaded, work, deadline)`; a scheduler may take this place without the rest knowing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Protocol

import numpy as np

from inference.engine import Arrays, EngineLost
from inference.loaded import Loaded
from inference.work import Work


class DeadlinePassed(Exception):
    """The work was still waiting when its deadline passed."""


@dataclass
class Timing:
    """Seconds that one work waited and computed."""

    queue: float = 0.0
    compute: float = 0.0


class Batcher(Protocol):
    """Runs works beside their neighbours."""

    async def run(self, loaded: Loaded, work: Work, deadline: float) -> Timing:
        """Run all rows of `work`; return when its last chunk was accepted.

        Cancelling the call drops what has not started. Raises DeadlinePassed, EngineError, or what the work raises.
        """
        ...

    @property
    def lost(self) -> bool:
        """Whether the device is gone for good."""
        ...

    def queue(self) -> tuple[int, float]:
        """Rows that wait, and the age of the oldest in seconds."""
        ...

    async def close(self) -> None:
        """Stop after the engine call in progress."""
        ...


@dataclass
class _Job:
    loaded: Loaded
    work: Work
    deadline: float
    done: asyncio.Future[Timing]
    arrived: float = field(default_factory=monotonic)
    next_row: int = 0
    timing: Timing = field(default_factory=Timing)
    waiting_since: float = field(default_factory=perf_counter)

    @property
    def key(self) -> tuple[int, str]:
        return id(self.loaded), self.work.operation

    @property
    def left(self) -> int:
        return self.work.rows - self.next_row


@dataclass(frozen=True)
class _Chunk:
    job: _Job
    start: int
    stop: int


OnBatch = Callable[[Loaded, str, int, float], None]


class LoopBatcher:
    """One engine thread. Each call takes a chunk from every work of one (version, operation), in arrival order.

    Args:
        batch_rows: most rows of one engine call.
        chunk_rows: most rows a work may take while others of its kind wait; what is left over is shared out after.
        on_batch: called with (loaded, operation, rows, seconds) after each engine call.
    """

    def __init__(self, batch_rows: int, chunk_rows: int, on_batch: OnBatch = lambda *_: None) -> None:
        self._batch_rows = batch_rows
        self._chunk_rows = min(chunk_rows, batch_rows)
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._engine = ThreadPoolExecutor(1, "condflow-engine")
        self._loop: asyncio.Task[None] | None = None
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the device is gone for good."""
        return self._lost

    def queue(self) -> tuple[int, float]:
        """Rows that wait, and the age of the oldest in seconds."""
        waiting = [job for job in self._jobs if not job.done.done()]
        oldest = min((job.arrived for job in waiting), default=monotonic())
        return sum(job.left for job in waiting), monotonic() - oldest

    async def run(self, loaded: Loaded, work: Work, deadline: float) -> Timing:
        """Run all rows of `work`; see `Batcher.run`."""
        if work.rows == 0:
            return Timing()
        if self._loop is None:
            self._loop = asyncio.create_task(self._serve(), name="condflow-batcher")
        job = _Job(loaded, work, deadline, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._wake.set()
        return await job.done

    async def close(self) -> None:
        """Stop after the engine call in progress; what waits is cancelled."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        for job in self._jobs:
            job.done.cancel()
        await asyncio.to_thread(self._engine.shutdown)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            chunks = self._form()
            if not chunks:
                self._wake.clear()
                await self._wake.wait()
                continue
            started = perf_counter()
            for chunk in chunks:
                chunk.job.timing.queue += started - chunk.job.waiting_since
            failures = await loop.run_in_executor(self._engine, self._compute, chunks)
            ended = perf_counter()
            for chunk, failure in zip(chunks, failures, strict=True):
                self._settle(chunk, failure, ended - started, ended)
            first, rows = chunks[0].job, sum(chunk.stop - chunk.start for chunk in chunks)
            self._on_batch(first.loaded, first.work.operation, rows, ended - started)

    def _form(self) -> list[_Chunk]:
        """The next batch: the oldest turn decides the kind; clients that left and late works are dropped here."""
        now = monotonic()
        for job in self._jobs:
            if job.deadline <= now and not job.done.done():
                job.done.set_exception(DeadlinePassed())
        self._jobs = deque(job for job in self._jobs if not job.done.done())
        if not self._jobs:
            return []
        kind = [job for job in self._jobs if job.key == self._jobs[0].key]
        room, shares = self._batch_rows, [0] * len(kind)
        for most in (self._chunk_rows, self._batch_rows):
            for place, job in enumerate(kind):
                share = min(job.left - shares[place], most, room)
                shares[place] += share
                room -= share
        taken = [(job, share) for job, share in zip(kind, shares, strict=True) if share]
        for job, _ in taken:  # the turn is over: to the back
            self._jobs.remove(job)
            self._jobs.append(job)
        return [_Chunk(job, job.next_row, job.next_row + share) for job, share in taken]

    def _settle(self, chunk: _Chunk, failure: Exception | None, seconds: float, now: float) -> None:
        job = chunk.job
        job.timing.compute += seconds
        job.next_row = chunk.stop
        job.waiting_since = now
        if isinstance(failure, EngineLost):
            self._lost = True
        if job.done.done():
            return
        if failure is not None:
            job.done.set_exception(failure)
        elif job.left == 0:
            job.done.set_result(job.timing)

    def _compute(self, chunks: list[_Chunk]) -> list[Exception | None]:
        """Run one batch in the engine thread; one that fails is retried member by member."""
        members: dict[int, Arrays] = {}
        failures: list[Exception | None] = [None] * len(chunks)
        for place, chunk in enumerate(chunks):
            # A work's own fault must not stop its neighbours, so each is asked under its own guard.
            try:
                members[place] = chunk.job.work.inputs(chunk.start, chunk.stop)
            except Exception as error:
                failures[place] = error
        for place, outputs in self._call(chunks[0].job, members).items():
            if isinstance(outputs, Exception):
                failures[place] = outputs
                continue
            try:
                chunks[place].job.work.accept(chunks[place].start, chunks[place].stop, outputs)
            except Exception as error:
                failures[place] = error
        return failures

    def _call(self, job: _Job, members: dict[int, Arrays]) -> dict[int, Arrays | Exception]:
        if not members:
            return {}
        try:
            outputs = job.loaded.engine.run(job.work.operation, _merge(list(members.values())))
        except Exception as error:
            if len(members) == 1 or isinstance(error, EngineLost):
                return dict.fromkeys(members, error)
            return {place: self._call(job, {place: member})[place] for place, member in members.items()}
        answers: dict[int, Arrays | Exception] = {}
        start = 0
        for place, member in members.items():
            stop = start + len(next(iter(member.values())))
            answers[place] = {name: array[start:stop] for name, array in outputs.items()}
            start = stop
        return answers


def _merge(members: list[Arrays]) -> Arrays:
    if len(members) == 1:
        return members[0]
    return {name: np.concatenate([member[name] for member in members]) for name in members[0]}
