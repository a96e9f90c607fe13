"""How the rows of several works lie in one engine call.

A kernel may add up a row's numbers in another order when the call has another number of rows, or when the row begins at
another alignment in memory; the last bits of what it answers then depend on the neighbours. `Dense` lets them.
`FixedShape` does not: every call has the same number of rows, and row r of a work always lies at a place r modulo
`LANES`, so that the same row meets the same shape and the same alignment whatever is computed beside it.

Noise that is told and noise that is given do not meet in one call: whether a row's noise is made on the device is its
own request's business, not its neighbours'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from inference.drawing import ALIGNMENT
from inference.drawn import Column, Drawn, joined
from inference.engine import Arrays, Engine, Inputs
from model_store.signature import Operation

LANES = ALIGNMENT  # float32 rows that lie so many rows apart have the same place modulo 64 bytes: one vector register
Member = tuple[int, Inputs]
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
        return _by_kind(engine, members, lambda alike: self._call(engine, operation, alike))

    def _call(self, engine: Engine, operation: Operation, members: Sequence[Member]) -> list[Arrays]:
        merged = {name: joined([inputs[name] for _, inputs in members]) for name in members[0][1]}
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
        return _by_kind(engine, members, lambda alike: self._calls(engine, operation, alike))

    def _calls(self, engine: Engine, operation: Operation, members: Sequence[Member]) -> list[Arrays]:
        places, sources, spans, gaps, end, total = [], [], [], [], 0, 0
        for place, (start, inputs) in enumerate(members):
            count, front = _rows(inputs), start % LANES
            spans.append((end + front, end + front + count))
            last = LANES if place < len(members) - 1 else self.rows
            gaps.append((front, -(end + front + count) % last))
            places.append(total + np.clip(np.arange(-front, count + gaps[-1][1]), 0, count - 1))
            end, total = end + len(places[-1]), total + count
            sources.append(inputs)
        rows = np.concatenate(places)
        merged = {name: _laid([inputs[name] for inputs in sources], gaps, rows) for name in sources[0]}
        calls = [
            engine.run(operation, {name: column[first : first + self.rows] for name, column in merged.items()})
            for first in range(0, end, self.rows)
        ]
        outputs = {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
        return [{name: array[first:last] for name, array in outputs.items()} for first, last in spans]


def _by_kind(
    engine: Engine, members: Sequence[Member], run: Callable[[Sequence[Member]], list[Arrays]]
) -> list[Arrays]:
    """`run` of all members, or where some columns are told and some given, of those that are alike; in order."""
    if not engine.draws:
        return run(members)
    kinds: dict[tuple[bool, ...], list[int]] = {}
    for place, (_, inputs) in enumerate(members):
        kinds.setdefault(tuple(isinstance(column, Drawn) for column in inputs.values()), []).append(place)
    answers: list[Arrays] = [{} for _ in members]
    for places in kinds.values():
        for place, own in zip(places, run([members[place] for place in places]), strict=True):
            answers[place] = own
    return answers


def _laid(columns: Sequence[Column], gaps: Sequence[tuple[int, int]], rows: np.ndarray) -> Column:
    """The columns one after the other with room before and after each: for `rows` of them all, or told so."""
    merged = joined(columns)
    if not isinstance(merged, Drawn):
        return merged[rows]
    told = [column for column in columns if isinstance(column, Drawn)]
    return Drawn.joined([column.extended(front, back) for column, (front, back) in zip(told, gaps, strict=True)])


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())))
