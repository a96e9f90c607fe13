"""The scheduler under any sequence of events: nothing is lost, done twice, mixed up or starved."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inference.engine import EngineError, EngineLost, EngineOutOfMemory
from service.scheduling.cost import Cost
from service.scheduling.jobs import Batch, Job, Kind
from service.scheduling.scheduler import Pace, Scheduler

ERRORS = st.sampled_from([EngineError("fault"), EngineOutOfMemory("full"), EngineLost("gone")])
_places = st.integers(0, 10**6)


class Machine(RuleBasedStateMachine):
    """Jobs come and go, calls end in any order, well or badly, and the clock jumps."""

    @initialize(depth=st.integers(1, 3), per_row=st.floats(1e-6, 2e-2), most=st.integers(1, 500))
    def begin(self, depth: int, per_row: float, most: int) -> None:
        self.costs: dict[Kind, Cost] = {}
        self.per_row = per_row
        pace = Pace(most_rows=most, depth=depth)
        self.scheduler = Scheduler(pace, lambda kind: self.costs.setdefault(kind, Cost(per_row, 1e-4)))
        self.out: list[Batch] = []
        self.rows: dict[Job, set[int]] = {}
        self.failed: set[Job] = set()
        self.left: set[Job] = set()
        self.now = 0.0

    @rule(
        rows=st.integers(1, 300),
        tenant=st.sampled_from("abc"),
        kind=st.integers(0, 2),
        patience=st.floats(0, 50),
        alone=st.floats(0, 60),
    )
    def submit(self, rows: int, tenant: str, kind: int, patience: float, alone: float) -> None:
        job = Job(kind, tenant, rows, self.now + patience, self.now + patience - alone)
        self.rows[job] = set()
        self.scheduler.submit(job)

    @precondition(lambda self: self.rows)
    @rule(place=_places)
    def leave(self, place: int) -> None:
        job = list(self.rows)[place % len(self.rows)]
        self.scheduler.leave(job)
        if not self.answered(job):
            self.left.add(job)

    @rule(seconds=st.floats(-5, 20))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        for job in self.scheduler.expired(self.now):
            assert job.left
            assert job.deadline <= self.now or (job.start_by <= self.now and job.next_row == 0)
            self.left.add(job)
        assert not any(job.hopeless(self.now) for job in self.scheduler.waiting())

    @rule()
    def pull(self) -> None:
        waiting = bool(list(self.scheduler.waiting()))
        batch = self.scheduler.pull()
        if batch is None:
            assert not waiting or len(self.out) == self.scheduler.pace.depth
            return
        assert batch.chunks and all(chunk.rows > 0 for chunk in batch.chunks)
        assert {chunk.job.kind for chunk in batch.chunks} == {batch.kind}
        assert batch.rows <= self.scheduler.pace.most_rows
        assert not any(chunk.job.ended for chunk in batch.chunks)
        assert batch.rows == 1 or self.per_row * batch.rows <= self.scheduler.pace.long * 1.001
        self.out.append(batch)
        assert len(self.out) <= self.scheduler.pace.depth

    @precondition(lambda self: self.out)
    @rule(place=_places, seconds=st.floats(-1e-3, 1e-1))
    def finish(self, place: int, seconds: float) -> None:
        batch = self.out.pop(place % len(self.out))
        self.scheduler.finished(batch, seconds)
        self.costs[batch.kind] = Cost(self.per_row, 1e-4)
        for chunk in batch.chunks:
            done = self.rows[chunk.job]
            fresh = set(range(chunk.start, chunk.stop))
            assert not done & fresh, "rows were done twice"
            done |= fresh

    @precondition(lambda self: self.out)
    @rule(place=_places, error=ERRORS)
    def fail(self, place: int, error: EngineError) -> None:
        batch = self.out.pop(place % len(self.out))
        for chunk in self.scheduler.failed(batch, error):
            assert chunk in batch.chunks
            self.scheduler.leave(chunk.job)
            self.failed.add(chunk.job)

    @invariant()
    def no_job_waits_that_has_ended(self) -> None:
        if hasattr(self, "scheduler"):
            waiting = list(self.scheduler.waiting())
            assert not any(job.ended or not job.left for job in waiting)
            if not self.out:
                rows = sum(job.left for job in waiting)
                assert -1e-9 < self.scheduler.backlog - rows * self.per_row < rows * 1e-4 + 1e-9
            for kind in {job.kind for job in waiting}:
                left = [job.left for job in waiting if job.kind == kind]
                kept = self.scheduler._kinds[kind]
                assert (kept.rows, kept.most) == (sum(left), max(left))
                assert kept.up_to(7.5) == sum(min(rows, 7.5) for rows in left)

    def answered(self, job: Job) -> bool:
        return len(self.rows[job]) == job.rows

    def teardown(self) -> None:
        """Whatever happened, what is left is computed, within a bounded number of calls."""
        if not hasattr(self, "scheduler"):
            return
        while self.out:
            self.finish(0, 1e-3)
        calls = 0
        bound = 100 + sum(job.rows for job in self.rows) * 4
        while batch := self.scheduler.pull():
            self.out.append(batch)
            self.finish(0, 1e-3)
            calls += 1
            assert calls < bound
        assert self.scheduler.idle
        for job in self.rows:
            assert self.answered(job) or job in self.failed or job in self.left


TestScheduler = Machine.TestCase
TestScheduler.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
