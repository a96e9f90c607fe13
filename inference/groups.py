"""Work whose rows come in groups: every row of data meets every noise draw (and every candidate condition).

Rows are laid out group by group, so at most one group is unfinished between two chunks. A finished group is reduced
whole: answers do not depend on how the work was cut, and memory stays at one group beside the chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from inference.conditions import Conditions
from inference.engine import Arrays
from inference.noise import SCORING, sources
from model_store.signature import Operation, Part

Reduce = Callable[[int, Arrays], None]


class Groups:
    """Gathers rows into groups of `size` and hands finished groups `(n, size, ...)` to `reduce(first, groups)`."""

    def __init__(self, size: int, reduce: Reduce) -> None:
        self._size = size
        self._reduce = reduce
        self._done = 0
        self._filled = 0
        self._unfinished: Arrays = {}

    def accept(self, values: Mapping[str, np.ndarray]) -> None:
        """Take the next rows, in order."""
        count = len(next(iter(values.values())))
        start = 0
        if self._filled:
            start = self._keep(values, 0, count)
        if self._filled == self._size:
            self._finish({name: array[None] for name, array in self._unfinished.items()}, 1)
            self._filled = 0
        whole = (count - start) // self._size
        if whole:
            stop = start + whole * self._size
            shape = (whole, self._size)
            self._finish({name: a[start:stop].reshape(*shape, *a.shape[1:]) for name, a in values.items()}, whole)
            start = stop
        if start < count:
            self._keep(values, start, count)

    def _keep(self, values: Mapping[str, np.ndarray], start: int, count: int) -> int:
        taken = min(self._size - self._filled, count - start)
        for name, array in values.items():
            if name not in self._unfinished:
                self._unfinished[name] = np.empty((self._size, *array.shape[1:]), dtype=array.dtype)
            self._unfinished[name][self._filled : self._filled + taken] = array[start : start + taken]
        self._filled += taken
        return start + taken

    def _finish(self, groups: Arrays, count: int) -> None:
        self._reduce(self._done, groups)
        self._done += count


class ScoringNoise:
    """The noise of `draws` scoring draws; the same for every row of data, keyed by (seed, part, draw, element)."""

    def __init__(self, parts: tuple[Part, ...], seed: int, draws: int) -> None:
        self._parts = parts
        self._sources = sources(seed, SCORING, parts)
        self._draws = draws

    def take(self, start: int, stop: int) -> Arrays:
        """Noise of work rows [start, stop), whose draw is the row modulo the number of draws."""
        first, count = start % self._draws, min(stop - start, self._draws)
        runs = [(0, first, min(first + count, self._draws))]
        if first + count > self._draws:
            runs.append((0, 0, first + count - self._draws))
        place = np.arange(stop - start) % self._draws
        return {p.name: s.draw_runs(runs)[place] for p, s in zip(self._parts, self._sources, strict=True)}


class DrawsWork:
    """Every row of the data under `draws` noise draws: row r of the work is draw `r % draws` of its group.

    Args:
        operation: `score`, `infer` or `encode`.
        given: what the operation takes of the data, by its input's name; rows first.
        noise: the scoring noise.
        conditions: None where the operation takes none; else one that is broadcast or as many as rows, or with
            `candidates` a set that every row meets in turn.
        draws: noise draws per row and condition.
        reduce: takes finished groups, `(n, draws, ...)`, or `(n, candidates * draws, ...)`.
        candidates: whether every row meets every condition.
    """

    def __init__(
        self,
        operation: Operation,
        given: Arrays,
        noise: ScoringNoise,
        conditions: Conditions | None,
        draws: int,
        reduce: Reduce,
        candidates: bool = False,
    ) -> None:
        self.operation = operation
        self._given, self._noise, self._conditions, self._draws = given, noise, conditions, draws
        self._candidates = conditions.count if candidates and conditions is not None else 0
        self._size = draws * max(1, self._candidates)
        self._groups = Groups(self._size, reduce)

    @property
    def rows(self) -> int:
        """Rows of data times conditions to try times draws."""
        return len(next(iter(self._given.values()))) * self._size

    def inputs(self, start: int, stop: int) -> Arrays:
        """Expand rows [start, stop)."""
        flat = np.arange(start, stop)
        row = flat // self._size
        inputs = {name: array[row] for name, array in self._given.items()} | self._noise.take(start, stop)
        if self._conditions is not None:
            asked = flat // self._draws % self._candidates if self._candidates else row
            inputs.update(self._conditions.of_rows(asked))
        return inputs

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        """Gather the outputs into groups."""
        self._groups.accept(outputs)
