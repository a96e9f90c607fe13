"""The jobs of one kind that wait, and how many rows they lack: counted as they come and go."""

from __future__ import annotations

from service.scheduling.jobs import Job


class Waiting:
    """In the order in which they came; `rows` is the sum of what they lack.

    `first_served`: whether the last call held small ones alone.

    >>> waiting = Waiting()
    >>> for rows in (3, 10, 10):
    ...     waiting.add(Job("kind", "tenant", rows, deadline=1.0))
    >>> waiting.rows, waiting.most, waiting.up_to(4)
    (23, 10, 11)
    """

    def __init__(self) -> None:
        self.jobs: dict[Job, None] = {}
        self.rows = 0
        self.first_served = False
        self._lacking: dict[int, int] = {}  # how many jobs lack so many rows

    def add(self, job: Job) -> None:
        """It waits from now on."""
        self.jobs[job] = None
        self.rows += job.left
        self._lacking[job.left] = self._lacking.get(job.left, 0) + 1

    def remove(self, job: Job) -> None:
        """It waits no more. Raises KeyError if it did not."""
        del self.jobs[job]
        self.rows -= job.left
        self._forget(job.left)

    def take(self, job: Job, rows: int) -> None:
        """Some, but not all, of a job's rows are handed out."""
        self._forget(job.left)
        job.left -= rows
        self.rows -= rows
        self._lacking[job.left] = self._lacking.get(job.left, 0) + 1

    @property
    def most(self) -> int:
        """Rows that the job lacks that lacks most."""
        return max(self._lacking)

    def up_to(self, rows: float) -> float:
        """Rows that are handed out when each job has got `rows`, or what it lacks."""
        return sum([min(left, rows) * jobs for left, jobs in self._lacking.items()])

    def _forget(self, left: int) -> None:
        if self._lacking[left] == 1:
            del self._lacking[left]
        else:
            self._lacking[left] -= 1
