"""The scheduler as a pure state machine: no clock, no thread and no engine of its own.

Jobs come (`submit`), leave (`leave`) or run late (`expired`); `pull` forms the next engine call; its end is told by
`finished` or `failed`. A driver brings time and an engine; a test brings whatever it likes.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from inference.engine import EngineLost, EngineOutOfMemory
from service.scheduling.cost import Cost
from service.scheduling.jobs import Batch, Chunk, Job, Kind, pieces
from service.scheduling.sharing import share
from service.scheduling.small_jobs import MUCH, go_first, rows_beside
from service.scheduling.turns import Turns
from service.scheduling.waiting import Waiting

LATELY = 0.1  # seconds of engine time after which a smaller job is forgotten
REGAIN = 64  # full calls after which a budget of rows that memory halved has about doubled again


@dataclass(frozen=True)
class Pace:
    """Seconds of an engine call while a smaller job waits (`short`), and else (`long`); rows of a call at most;
    `depth`: calls handed out at once where the next ones are prepared while a device computes."""

    short: float = 0.0025
    long: float = 0.010
    most_rows: int = 65_536
    depth: int = 1


@dataclass
class Scheduler:
    """Deficit round robin over tenants and over the jobs of each; engine calls cut by what they cost.

    Whoever's turn it is leads, and decides the kind of the call. Tenants with jobs of that kind share its rows max-min
    fairly, those in debt only what the others leave; of a tenant's jobs the smallest goes first. So any number of rows
    asked for by one tenant slows another down by no more than one tenant more. A job leads for the first time within
    `2 n m (long + quantum)` seconds of engine time, and the calls in flight, where n tenants wait and its own has m
    jobs (`quantum` = `short`; where a single row, or twice what any call costs, takes longer than `long`, that counts),
    and a short call more for each time that few much smaller jobs go first.

    `prefetches`: whether calls of a kind leave the host free, so that the next one is formed before they end.
    """

    pace: Pace = field(default_factory=Pace)
    cost: Callable[[Kind], Cost] = field(default_factory=lambda: defaultdict[Kind, Cost](Cost).__getitem__)
    prefetches: Callable[[Kind], bool] = lambda kind: True

    def __post_init__(self) -> None:
        self.in_flight: dict[Batch, float] = {}
        self._tenants: Turns[str] = Turns(self.pace.short, self.pace.long)
        self._jobs: dict[str, Turns[Job]] = {}
        self._kinds: dict[Kind, Waiting] = {}
        self._again: deque[Batch] = deque()
        self._most_rows: dict[Kind, int] = {}
        self._earliest = inf
        self._computed = 0.0
        self._short_until = 0.0

    # --- jobs ---------------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """It waits from now on."""
        if job.tenant not in self._jobs:
            self._jobs[job.tenant] = Turns(self.pace.short, self.pace.long)
            self._tenants.add(job.tenant)
        self._jobs[job.tenant].add(job)
        if job.kind not in self._kinds:
            self._kinds[job.kind] = Waiting()
        self._kinds[job.kind].add(job)
        self._earliest = min(self._earliest, job.deadline, job.start_by)

    def leave(self, job: Job) -> None:
        """The client left, or the job has its answer: nothing more is handed out."""
        job.ended = True
        if job.left:
            self._stop_waiting(job)

    def expired(self, now: float) -> list[Job]:
        """Jobs that still wait though they cannot be done in time any more; they leave."""
        if now < self._earliest:
            return []
        late = [job for job in self.waiting() if job.hopeless(now)]
        for job in late:
            self.leave(job)
        ends = (job.deadline if job.next_row else min(job.deadline, job.start_by) for job in self.waiting())
        self._earliest = min(ends, default=inf)
        return late

    def abandon(self) -> list[Job]:
        """Every job with rows to hand out, or to try again, leaves."""
        again = (chunk.job for batch in self._again for chunk in batch.chunks if not chunk.job.ended)
        jobs = list(dict.fromkeys((*self.waiting(), *again)))
        for job in jobs:
            self.leave(job)
        return jobs

    def waiting(self) -> Iterable[Job]:
        """Jobs with rows to hand out."""
        return (job for waiting in self._kinds.values() for job in waiting.jobs)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to hand out, and nothing is out."""
        return not (self._kinds or self._again or self.in_flight)

    def seconds(self, kind: Kind, rows: int | float) -> float:
        """What so many rows of a kind take, in calls as long as they are made now."""
        cost = self.cost(kind)
        pace = self.pace.short if self._computed < self._short_until else self.pace.long
        room = min(cost.rows(pace), self._cap(kind))
        return cost.per_row * rows + cost.per_call * (rows / room if rows > room else 1.0)

    def delay(self, kind: Kind, rows: int) -> float:
        """Seconds until so many new rows would be done: every job ahead gets as much as these, or what it needs."""
        own = rows * self.cost(kind).per_row
        seconds, together = sum(self.in_flight.values()), float(rows)
        for other, waiting in self._kinds.items():
            if other == kind:
                together += waiting.up_to(rows)
            else:
                seconds += self.seconds(other, waiting.up_to(own / self.cost(other).per_row))
        return seconds + self.seconds(kind, together)

    @property
    def backlog(self) -> float:
        """Seconds that all rows waiting, and the calls that are out, will take."""
        waiting = [self.seconds(kind, waiting.rows) for kind, waiting in self._kinds.items()]
        return sum(self.in_flight.values()) + sum(waiting)

    # --- engine calls -------------------------------------------------------------------------------------------

    def pull(self) -> Batch | None:
        """The next engine call, or None: nothing waits, or as many calls are out as may be."""
        depth = self.pace.depth if all(self.prefetches(batch.kind) for batch in self.in_flight) else 1
        if len(self.in_flight) >= depth:
            return None
        batch = self._second_try() or self._form()
        if batch is not None:
            seconds = self.cost(batch.kind).seconds(batch.rows)
            self.in_flight[batch] = seconds
            self._charge(batch, seconds)
        return batch

    def alone(self, batch: Batch) -> bool:
        """Whether this call and all that waits are of one job, much smaller ones have not come lately, and no call is
        out but this, which keeps the host busy: whoever made it may make the next one before anybody is asked."""
        job, waiting = batch.chunks[0].job, self._kinds.get(batch.kind)
        return (
            waiting is not None
            and len(self._kinds) == len(waiting.jobs) == len(self.in_flight) == len(batch.chunks) == 1
            and job in waiting.jobs
            and not self._again
            and self._short_until <= self._computed
            and not self.prefetches(batch.kind)
        )

    def finished(self, batch: Batch, seconds: float, *, whole: bool = True) -> None:
        """The call succeeded, in so many seconds; where not the `whole` of it was computed they say nothing of rows."""
        expected = self.in_flight.pop(batch)
        self._charge(batch, seconds - expected)
        self._computed += max(seconds, 0.0)
        if not whole:
            return
        self.cost(batch.kind).observe(batch.rows, seconds)
        cap = self._most_rows.get(batch.kind)
        if cap is not None and batch.rows >= cap:  # there may be memory again: take a little more next time
            self._most_rows[batch.kind] = cap + max(1, cap // REGAIN)

    def failed(self, batch: Batch, error: Exception) -> list[Chunk]:
        """The call failed: the chunks that fail with it. The others will be pulled again, before anything else.

        A call of several chunks is tried again in halves, so that one bad chunk fails alone. Where memory ran out, the
        kind's budget of rows is halved and they are tried once more in pieces of that size; in a piece that fails again
        each chunk is judged for itself, so that a small job does not fail with a large one. A lost device fails all.
        """
        del self.in_flight[batch]
        alive = tuple(chunk for chunk in batch.chunks if not chunk.job.ended)
        if isinstance(error, EngineLost) or not alive:
            return list(alive)
        if isinstance(error, EngineOutOfMemory):
            most = self._most_rows[batch.kind] = min(self._cap(batch.kind), max(1, batch.rows // 2))
        if isinstance(error, EngineOutOfMemory) and not batch.halved and batch.rows > 1:
            tries = [Batch(batch.kind, piece, halved=True) for piece in pieces(alive, most)]
        elif len(alive) == 1:
            return list(alive)
        else:
            middle = len(alive) // 2
            tries = [Batch(batch.kind, half, batch.halved) for half in (alive[:middle], alive[middle:])]
        self._again.extendleft(reversed(tries))
        return []

    # --- inside -------------------------------------------------------------------------------------------------

    def _second_try(self) -> Batch | None:
        while self._again:
            batch = self._again.popleft()
            alive = tuple(chunk for chunk in batch.chunks if not chunk.job.ended)
            if alive:
                return Batch(batch.kind, alive, batch.halved)
        return None

    def _form(self) -> Batch | None:
        if not self._kinds:
            return None
        leader = self._jobs[self._tenants.next()].next()
        kind = leader.kind
        waiting, cost, cap = self._kinds[kind], self.cost(kind), self._cap(kind)
        shares: dict[Job, int] = {}
        first: list[Job] = []
        room = min(cost.rows(self.pace.short), cap)
        if waiting.rows > room:
            first = go_first(waiting, cost, self.pace.short, room, lambda job: self._tenants.in_credit(job.tenant))
            room = int(min(cost.rows(self._length(kind)), rows_beside(waiting, cost, self.pace.short), cap))
        waiting.first_served = bool(first)
        if first or waiting.rows <= room:
            shares = {job: job.left for job in first or waiting.jobs}
        elif len(waiting.jobs) == 1:
            shares = {leader: min(leader.left, room)}
        else:
            for in_credit in (True, False):
                group = [job for job in waiting.jobs if self._tenants.in_credit(job.tenant) == in_credit]
                room -= share(group, room, leader, shares)
        chunks = []
        for job, rows in shares.items():
            start = job.next_row
            chunks.append(Chunk(job, start, start + rows))
            if rows == job.left:
                self._stop_waiting(job)
                job.left = 0
            else:
                waiting.take(job, rows)
        return Batch(kind, tuple(chunks))

    def _length(self, kind: Kind) -> float:
        """Seconds of a call: short while a job waits, or lately did, that is much smaller than what the biggest lacks.

        A job of which little is left is not a small one. Small jobs come one after the other: the next one should not
        find a long call before it.
        """
        biggest = self._kinds[kind].most * self.cost(kind).per_row
        if biggest <= self.pace.short:
            return self.pace.long
        if any(job.rows * self.cost(job.kind).per_row * MUCH < biggest for job in self.waiting()):
            self._short_until = self._computed + LATELY
        return self.pace.short if self._computed < self._short_until else self.pace.long

    def _cap(self, kind: Kind) -> int:
        most = self.pace.most_rows
        return min(self._most_rows.get(kind, most), most) if self._most_rows else most

    def _charge(self, batch: Batch, seconds: float) -> None:
        """Charge the tenants for their rows of a call, and of their jobs those that wait for more."""
        each = seconds / batch.rows
        taken: dict[str, int] = {}
        for chunk in batch.chunks:
            job, rows = chunk.job, chunk.stop - chunk.start
            taken[job.tenant] = taken.get(job.tenant, 0) + rows
            if job.left and job.tenant in self._jobs:
                self._jobs[job.tenant].charge(job, each * rows)
        for tenant, rows in taken.items():
            self._tenants.charge(tenant, each * rows)

    def _stop_waiting(self, job: Job) -> None:
        waiting = self._kinds.get(job.kind)
        if waiting is None or job not in waiting.jobs:
            return
        waiting.remove(job)
        if not waiting.jobs:
            del self._kinds[job.kind]
        turns = self._jobs[job.tenant]
        turns.remove(job)
        if not turns:
            del self._jobs[job.tenant]
            self._tenants.remove(job.tenant)
