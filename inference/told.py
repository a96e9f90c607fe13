"""Columns that are told by runs of rows instead of given row by row: what says which rows they are is small."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np


class Told(ABC):
    """Rows that come in one run or more, one after the other."""

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray:
        """Rows of each run, int64 (R,)."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the array it stands for: (rows, *row shape)."""

    @abstractmethod
    def __getitem__(self, rows: slice) -> Told:
        """Rows [start, stop). A run that is not met is left out, but one of no rows stays where no row is asked."""

    @abstractmethod
    def numbers(self) -> np.ndarray:
        """The rows themselves, made here."""

    def __len__(self) -> int:
        return int(self.ends[-1])

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
        return int(self.ends[min(first + runs, len(self.ends)) - 1])

    def cut(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places of the runs that a slice keeps, and from which to which of its own rows it keeps of each: int64."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"expected rows one after the other, got a step of {step}")
        near = slice(0, 1)
        if stop > start:
            first, last = np.searchsorted(self.ends, start, "right"), np.searchsorted(self.ends, stop, "left")
            near = slice(int(first), int(last) + 1)
        lengths = self.lengths[near]
        begins = self.ends[near] - lengths
        from_row = np.clip(start - begins, 0, lengths)
        to_row = np.clip(stop - begins, from_row, lengths)
        met = np.flatnonzero((to_row > from_row) | (stop <= start))
        return met + near.start, from_row[met], to_row[met]
