"""How the rows of several works lie in one engine call.

A kernel may add up a row's numbers in another order when the call has another number of rows, or when the row begins at
another alignment in memory; the last bits of what it answers then depend on the neighbours. `Dense` lets them.
`FixedShape` does not: every call has the same number of rows, and row r of a work always lies at a place r modulo
`LANES`, so that the same row meets the same shape and the same alignment whatever is computed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from inference.drawing import ALIGNMENT
from inference.engine import Arrays, Engine
from model_store.signature import Operation

LANES = ALIGNMENT  # float32 rows that lie so many rows apart have the same place modulo 64 bytes: one vector register
Member = tuple[int, Arrays]
"""The first row of a chunk within its work, and the chunk's inputs."""


class Layout(Protocol):
    """Runs the chunks of a batch."""

    def run(self, engine: Engine, operation: Operation, members: Sequence[Member]) -> list[Arrays]:
        """The outputs of each member, in order. Raises what the engine raises."""
        ...


class Dense:
    """One call with all rows one after the other."""

    def run(self, engine: Engine, operation: Operation, members: Sequence[Member]) -> list[Arrays]:
        """See Layout."""
        if len(members) == 1:
            return [engine.run(operation, members[0][1])]
        merged = {name: np.concatenate([inputs[name] for _, inputs in members]) for name in members[0][1]}
        outputs = engine.run(operation, merged)
        own, start = [], 0
        for _, inputs in members:
            stop = start + _rows(inputs)
            own.append({name: array[start:stop] for name, array in outputs.items()})
            start = stop
        return own


class FixedShape:
    """Calls of exactly `rows` rows, a multiple of LANES; what is missing is filled up with rows that are there.

    The cost: a request of one row is computed as LANES rows, a call of few rows as `rows` rows, and a large one as
    several calls.
    """

    def __init__(self, rows: int) -> None:
        if rows < LANES or rows % LANES:
            raise ValueError(f"expected a multiple of {LANES}, got {rows}")
        self.rows = rows

    def run(self, engine: Engine, operation: Operation, members: Sequence[Member]) -> list[Arrays]:
        """See Layout."""
        places, sources, spans, end, total = [], [], [], 0, 0
        for start, inputs in members:
            count, front = _rows(inputs), start % LANES
            lanes = -(-(front + count) // LANES) * LANES
            places.append(total + np.clip(np.arange(lanes) - front, 0, count - 1))
            spans.append((end + front, end + front + count))
            end, total = end + lanes, total + count
            sources.append(inputs)
        places.append(np.zeros(-end % self.rows, np.int64))
        rows = np.concatenate(places)
        merged = {name: np.concatenate([inputs[name] for inputs in sources])[rows] for name in sources[0]}
        calls = [
            engine.run(operation, {name: array[first : first + self.rows] for name, array in merged.items()})
            for first in range(0, len(rows), self.rows)
        ]
        outputs = {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
        return [{name: array[first:last] for name, array in outputs.items()} for first, last in spans]


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
