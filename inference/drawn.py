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
from inference.repeated import Repeated
from inference.told import Told
from model_store.signature import Part

SEED, PURPOSE_AND_PLACE, STREAM, START, STOP = range(5)


@dataclass(frozen=True, eq=False)
class Drawn(Told):
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

    @cached_property
    def lengths(self) -> np.ndarray:
        """See Told."""
        lengths: np.ndarray = self.runs[:, STOP] - self.runs[:, START]
        return lengths

    @property
    def shape(self) -> tuple[int, ...]:
        """See Told."""
        return (len(self), *self.part.shape)

    def __getitem__(self, rows: slice) -> Drawn:
        """See Told."""
        places, from_row, to_row = self.cut(rows)
        runs = self.runs[places]
        runs[:, STOP] = runs[:, START] + to_row
        runs[:, START] += from_row
        return Drawn(self.part, runs, self.scale[places])

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


Column = np.ndarray | Drawn | Repeated
"""What an engine takes for one of its inputs: rows, or what says which rows they are."""


def joined(columns: Sequence[Column]) -> Column:
    """One after the other. Raises TypeError where some are told and some given."""
    drawn = [column for column in columns if isinstance(column, Drawn)]
    repeated = [column for column in columns if isinstance(column, Repeated)]
    if not (drawn or repeated):
        return np.concatenate(columns)  # type: ignore[arg-type]
    if len(columns) not in (len(drawn), len(repeated)):
        raise TypeError("expected columns that are all told, or all given")
    return Drawn.joined(drawn) if drawn else Repeated.joined(repeated)
