"""Conditions that are told instead of given: one row for each run of rows that have it, for engines that draw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from inference.told import Told


@dataclass(frozen=True, eq=False)
class Repeated(Told):
    """`values_j` in each of `counts_j` rows, for run after run j.

    Args:
        values: (R, *row shape), R >= 1.
        counts: int64 (R,), no less than 0.

    >>> labels = Repeated(np.array([3, 5]), np.array([1000, 2]))
    >>> len(labels), labels[998:].numbers().tolist()
    (1002, [3, 3, 5, 5])
    """

    values: np.ndarray
    counts: np.ndarray

    @staticmethod
    def joined(several: Iterable[Repeated]) -> Repeated:
        """One after the other, at least one; rows of one shape."""
        columns = list(several)
        values, counts = [column.values for column in columns], [column.counts for column in columns]
        return Repeated(np.concatenate(values), np.concatenate(counts))

    @property
    def lengths(self) -> np.ndarray:
        """See Told."""
        return self.counts

    @property
    def shape(self) -> tuple[int, ...]:
        """See Told."""
        return (len(self), *self.values.shape[1:])

    def __getitem__(self, rows: slice | np.ndarray) -> Repeated:
        """See Told; or the rows of these places, at least one."""
        if isinstance(rows, slice):
            runs, from_row, to_row = self.cut(rows)
            return Repeated(self.values[runs], to_row - from_row)
        run = np.searchsorted(self.ends, rows, "right")
        begins = np.flatnonzero(np.diff(run, prepend=-1))
        return Repeated(self.values[run[begins]], np.diff(begins, append=len(run)))

    def astype(self, dtype: DTypeLike) -> Repeated:
        """The same with values of that type."""
        return Repeated(np.ascontiguousarray(self.values, dtype=dtype), self.counts)

    def numbers(self) -> np.ndarray:
        """The rows themselves, (rows, *row shape)."""
        return np.repeat(self.values, self.counts, axis=0)
