"""What is to be computed: a job's rows, the chunks they are cut into, and the engine calls made of chunks."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from math import inf

Kind = Hashable
"""What may share an engine call: one version and one operation."""


@dataclass(eq=False)
class Job:
    """`rows` rows of one kind, asked for by `tenant` (an API key), to be done by `deadline`.

    Once it is past `start_by` there is no sense in starting it.
    """

    kind: Kind
    tenant: str
    rows: int
    deadline: float
    start_by: float = inf
    ended: bool = False

    def __post_init__(self) -> None:
        self.left = self.rows  # not handed out yet

    @property
    def next_row(self) -> int:
        """The first row that is not handed out yet."""
        return self.rows - self.left

    def hopeless(self, now: float) -> bool:
        """Whether it cannot be done in time any more."""
        return now >= self.deadline or (now >= self.start_by and not self.next_row)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows [start, stop) of a job."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Batch:
    """One engine call: chunks of one kind. `halved`: a smaller second try after the device ran out of memory."""

    kind: Kind
    chunks: tuple[Chunk, ...]
    halved: bool = False

    @cached_property
    def rows(self) -> int:
        """Of all chunks."""
        return sum(chunk.rows for chunk in self.chunks)


def pieces(chunks: tuple[Chunk, ...], most: int) -> list[tuple[Chunk, ...]]:
    """The same rows in order, at most so many in one piece."""
    cut: list[list[Chunk]] = [[]]
    room = most
    for chunk in chunks:
        start = chunk.start
        while start < chunk.stop:
            if not room:
                cut.append([])
                room = most
            stop = min(chunk.stop, start + room)
            cut[-1].append(Chunk(chunk.job, start, stop))
            room -= stop - start
            start = stop
    return [tuple(piece) for piece in cut]
