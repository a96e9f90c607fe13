"""One engine call, made in an engine thread: inputs gathered, rows computed, outputs handed to each work in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from inference.engine import Arrays, Inputs
from inference.loaded import Loaded
from inference.work import Work, joined_inputs
from service.scheduling.jobs import Batch, Chunk, Job
from service.scheduling.layout import Layout
from service.tracebacks import forget_frames

OnStart = Callable[[], None]


@dataclass
class Timing:
    """Seconds that one work waited and computed."""

    queue: float = 0.0
    compute: float = 0.0


@dataclass(eq=False)
class Asked(Job):
    """A job with its work, and the promise of its end.

    `accepted` and `early` belong to the engine threads: rows that the work has taken, and chunks that came back before
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
class Outcome:
    """What became of a call: what single works raised, what the engine did, and rows that it computed.

    Times by `perf_counter`; `seconds`: what it took of the device, beside calls that overlap it, once that is known.
    """

    faults: dict[Chunk, Exception]
    error: Exception | None
    rows: int
    started: float
    ended: float
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether all of its rows were computed, and taken."""
        return self.error is None and not self.faults


def compute(batch: Batch, layout: Layout, works: threading.Lock) -> Outcome:
    """Make one call in an engine thread, and hand each work its outputs. A work's own fault stops no other.

    `works` is held while works are asked and told: theirs is not to know how many engine threads there are.
    """
    first = asked(batch.chunks[0].job)
    try:
        first.loaded.engine.prepare(first.work.operation)  # not part of what calls cost: it is waited for once
    except Exception as failure:
        return Outcome({}, failure, 0, now := perf_counter(), now)
    started = perf_counter()
    with works:
        inputs, faults = _inputs(batch)
    error: Exception | None = None
    if inputs:
        try:
            members = [(chunk.start, arrays) for chunk, arrays in inputs.items()]
            outputs = layout.run(first.loaded.engine, first.work.operation, members)
        except Exception as failure:  # whatever it is, it must not end the service
            error = failure
            forget_frames(failure)
        else:
            with works:
                for chunk, own in zip(inputs, outputs, strict=True):
                    try:
                        _accept(asked(chunk.job), chunk, own)
                    except Exception as fault:
                        faults[chunk] = fault
    rows = sum(chunk.rows for chunk in inputs) if error is None else 0
    return Outcome(faults, error, rows, started, perf_counter())


def _inputs(batch: Batch) -> tuple[dict[Chunk, Inputs], dict[Chunk, Exception]]:
    """The inputs of each chunk; where not all can be had together, one by one, and what fails for itself."""
    try:
        together = joined_inputs([(asked(chunk.job).work, chunk.start, chunk.stop) for chunk in batch.chunks])
        return dict(zip(batch.chunks, together, strict=True)), {}
    except Exception as failure:
        if len(batch.chunks) == 1:
            return {}, {batch.chunks[0]: failure}
    inputs: dict[Chunk, Inputs] = {}
    faults: dict[Chunk, Exception] = {}
    for chunk in batch.chunks:
        try:
            inputs[chunk] = asked(chunk.job).work.inputs(chunk.start, chunk.stop)
        except Exception as fault:
            faults[chunk] = fault
    return inputs, faults


def _accept(job: Asked, chunk: Chunk, outputs: Arrays) -> None:
    """Hand chunks to the work in order: a second try comes back after what followed it."""
    job.early[chunk.start] = (chunk.stop, outputs)
    while job.accepted in job.early and not job.ended:
        stop, ready = job.early.pop(job.accepted)
        job.work.accept(job.accepted, stop, ready)
        job.accepted = stop  # not before: who sees that all are there answers with them


def asked(job: Job) -> Asked:
    """The driver submits no other jobs."""
    assert isinstance(job, Asked)
    return job
