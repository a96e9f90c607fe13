"""Noise that is told instead of given: which numbers of the generator a column holds, for engines that draw themselves.

An engine with `draws` takes a `Drawn` in the place of an array: a table of runs goes to the device, not the numbers.
What its generator gives are the words of `inference.noise`, and normals within 2 ulp of `Drawn.numbers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from inference.noise import NoiseSource, Run, draw_together
from model_store.signature import Part

SEED, PURPOSE_AND_PLACE, STREAM, START, STOP = range(5)


@dataclass(frozen=True, eq=False)
class Drawn:
    """`scale_j` times the numbers of indices [start_j, stop_j) of a stream, for run after run j: float32 rows.

    Args:
        part: shape and distribution of a row.
        runs: int64 (R, 5), rows `seed, purpose * 2^32 + place, stream, start, stop`: the generator's key, its stream,
            and the indices of it (`inference.noise`). R >= 1, start <= stop.
        scale: float32 (R,), the temperature of each run.

    >>> part = Part(name="z", shape=(3,))
    >>> z = Drawn.of(NoiseSource(7, 0, 0, part), [(0, 0, 50)], 1.0)
    >>> len(z), z[10:20].runs.tolist(), z[10:20].numbers().shape
    (50, [[7, 0, 0, 10, 20]], (10, 3))
    """

    part: Part
    runs: np.ndarray
    scale: np.ndarray

    @staticmethod
    def of(source: NoiseSource, runs: Sequence[Run], scale: float | np.float32) -> Drawn:
        """The runs of one source, all at one temperature."""
        return Drawn(
            source.part,
            np.array([(*source.key, *run) for run in runs], dtype=np.int64),
            np.full(len(runs), scale, dtype=np.float32),
        )

    @staticmethod
    def joined(several: Iterable[Drawn]) -> Drawn:
        """One after the other; all of one part, at least one."""
        columns = list(several)
        runs, scale = [column.runs for column in columns], [column.scale for column in columns]
        return Drawn(columns[0].part, np.concatenate(runs), np.concatenate(scale))

    def __len__(self) -> int:
        return int(self.ends[-1])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Rows of each run, int64 (R,)."""
        lengths: np.ndarray = self.runs[:, STOP] - self.runs[:, START]
        return lengths

    @cached_property
    def ends(self) -> np.ndarray:
        """The row behind each run, int64 (R,)."""
        return np.cumsum(self.lengths)

    def runs_met(self, start: int, stop: int) -> int:
        """How many runs a slice of these rows, at least one, reaches over."""
        first, last = np.searchsorted(self.ends, (start, stop - 1), "right")
        return int(last - first) + 1

    def row_after(self, start: int, runs: int) -> int:
        """The row behind the next so many runs, the one that row `start` lies in among them."""
        first = int(np.searchsorted(self.ends, start, "right"))
        return int(self.ends[min(first + runs, len(self.runs)) - 1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array it stands for: (rows, *part shape)."""
        return (len(self), *self.part.shape)

    def __getitem__(self, rows: slice) -> Drawn:
        """Rows [start, stop). A run that is not met is left out, but one of no rows stays where no row is asked."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"expected rows one after the other, got a step of {step}")
        near = slice(0, 1)
        if stop > start:
            first, last = np.searchsorted(self.ends, start, "right"), np.searchsorted(self.ends, stop, "left")
            near = slice(int(first), int(last) + 1)
        lengths, runs = self.lengths[near], self.runs[near].copy()
        begins = self.ends[near] - lengths
        from_row = np.clip(start - begins, 0, lengths)
        to_row = np.clip(stop - begins, from_row, lengths)
        runs[:, STOP] = runs[:, START] + to_row
        runs[:, START] += from_row
        met = (to_row > from_row) | (stop <= start)
        return Drawn(self.part, runs[met], self.scale[near][met])

    def extended(self, front: int, back: int) -> Drawn:
        """So many rows more before and after it, whatever they are; no more runs than needed."""
        before, after = self.runs[:1].copy(), self.runs[-1:].copy()
        before[:, START:], after[:, START:] = (0, front), (0, back)
        runs, scale = [self.runs], [self.scale]
        if front:
            runs, scale = [before, *runs], [self.scale[:1], *scale]
        if back:
            runs, scale = [*runs, after], [*scale, self.scale[-1:]]
        return Drawn(self.part, np.concatenate(runs), np.concatenate(scale))

    def numbers(self) -> np.ndarray:
        """The rows themselves, float32 (rows, *part shape), made here."""
        demands = [
            (NoiseSource(seed, key >> 32, key & 0xFFFFFFFF, self.part), [(stream, start, stop)])
            for seed, key, stream, start, stop in self.runs.tolist()
        ]
        drawn = draw_together(demands)
        numbers = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)
        if (self.scale != 1).any():
            scale = np.repeat(self.scale, self.lengths)
            numbers = numbers * scale.reshape(-1, *(1 for _ in self.part.shape))
        return numbers


Column = np.ndarray | Drawn
"""What an engine takes for one of its inputs: rows, or which numbers they are."""


def joined(columns: Sequence[Column]) -> Column:
    """One after the other. Raises TypeError where some are told and some given."""
    told = [column for column in columns if isinstance(column, Drawn)]
    if not told:
        return np.concatenate(columns)  # type: ignore[arg-type]
    if len(told) < len(columns):
        raise TypeError("expected columns that are all told, or all given")
    return Drawn.joined(told)
