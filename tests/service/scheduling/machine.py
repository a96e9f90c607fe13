"""A world for the scheduler without threads: a clock that is moved by hand, and an engine of a known cost."""

from __future__ import annotations

from service.scheduling.cost import Cost
from service.scheduling.jobs import Batch, Job, Kind
from service.scheduling.scheduler import Pace, Scheduler

PER_ROW = 10e-6
PER_CALL = 100e-6
FAR = 1e9


class World:
    """Pulls calls and ends them; keeps what each job was given, and how long the engine was busy."""

    def __init__(self, pace: Pace | None = None, per_call: float = PER_CALL) -> None:
        self.now = 0.0
        self.per_call = per_call
        self.scheduler = Scheduler(pace or Pace(), self.cost)
        self.costs: dict[Kind, Cost] = {}
        self.done: dict[Job, list[tuple[int, int]]] = {}
        self.took: dict[str, float] = {}

    def cost(self, kind: Kind) -> Cost:
        """Known from the start, and right."""
        return self.costs.setdefault(kind, Cost(PER_ROW, self.per_call))

    def submit(
        self, rows: int, tenant: str = "", kind: Kind = "model", deadline: float = FAR, start_by: float = FAR
    ) -> Job:
        """A new job."""
        job = Job(kind, tenant, rows, deadline, start_by)
        self.done[job] = []
        self.scheduler.submit(job)
        return job

    def step(self) -> Batch | None:
        """One call, pulled and finished."""
        batch = self.scheduler.pull()
        if batch is not None:
            self.finish(batch)
        return batch

    def finish(self, batch: Batch) -> None:
        """It takes what it costs."""
        seconds = PER_ROW * batch.rows + self.per_call
        self.now += seconds
        self.scheduler.finished(batch, seconds)
        for chunk in batch.chunks:
            self.done[chunk.job].append((chunk.start, chunk.stop))
            share = seconds * chunk.rows / batch.rows
            self.took[chunk.job.tenant] = self.took.get(chunk.job.tenant, 0.0) + share

    def complete(self, job: Job) -> bool:
        """Whether each of its rows was done once."""
        at = 0
        for start, stop in sorted(self.done[job]):
            if start != at:
                return False
            at = stop
        return at == job.rows
